"""What `TimeDistributed` does to each frame, recorded as steps over all frames."""

import keras
from keras import tree

from keras_explain.graph.frames import OverFrames, find_places
from keras_explain.graph.inside import Opaque
from keras_explain.graph.masks import carry_masks
from keras_explain.graph.rows import count_all_rows
from keras_explain.graph.steps import Call, Step, Value


def is_time_distributed(op):
    """Whether a layer runs another on each frame, as Keras wrote it."""
    return type(op) is keras.layers.TimeDistributed


def frame_of(source):
    """A Value for one frame of the Value `source`, as the inner layer is called on it."""
    shape = source.spec.shape
    return Value(keras.KerasTensor((None, *shape[2:]), source.spec.dtype))


def spread_over_frames(steps, calls, frame, source):
    """Steps that read `frame`, as steps that read `source`: each for all frames at once.

    Returns:
        The steps, the calls, and {Value of one frame: that of all of them}.

    Raises:
        Opaque: rows are not frames any more in between, or masks are set, which are lost from
            one step to the next.
    """
    rows, spread, found = count_all_rows(steps, [frame]), {frame: source}, []
    if carry_masks(steps):
        raise Opaque
    for step in steps:
        places = find_places(step.args, step.kwargs,
                             lambda v: isinstance(v, Value) and v in spread)
        if not places:
            found.append(step)
            continue
        for value in step.outputs:
            if rows[value] not in (None, 1) or value.spec.shape[:1] != (None,):
                raise Opaque
            shape = (*source.spec.shape[:2], *value.spec.shape[1:])
            spread[value] = Value(keras.KerasTensor(shape, value.spec.dtype))
        args, kwargs = tree.map_structure(
            lambda v: spread.get(v, v) if isinstance(v, Value) else v, (step.args, step.kwargs))
        found.append(Step(OverFrames(step.fn, places), args, kwargs,
                          [spread[v] for v in step.outputs], step.path))
    calls = [Call(c.path, c.layer, [spread.get(v, v) for v in c.outputs], c.index) for c in calls]
    return found, calls, spread
