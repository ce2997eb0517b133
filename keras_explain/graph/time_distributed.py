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


def record_frames(layer, source, path, tracer):
    """What a layer does to one frame, as steps that read `source`: each for all frames at once.

    Args:
        layer: the inner one.
        source: the Value of all frames, (N, T, ...).
        path: of the outer layer.
        tracer: a new one, that records the inner layer.

    Returns:
        The steps, the calls and the Value of the output.

    Raises:
        Opaque: rows are not frames any more in between, or masks are set, which are lost from
            one step to the next.
    """
    frame = Value(keras.KerasTensor((None, *source.spec.shape[2:]), source.spec.dtype))
    output = tracer.call(layer, (frame,), {}, path)
    steps, spread, found = tracer.steps, {frame: source}, []
    if not isinstance(output, Value) or carry_masks(steps):
        raise Opaque
    rows = count_all_rows(steps, [frame])
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
    calls = [Call(c.path, c.layer, [spread.get(v, v) for v in c.outputs], c.index)
             for c in tracer.calls]
    return found, calls, spread[output]
