"""How many rows the values of a program have: some models fold frames or patches into the batch."""

import keras
from keras import ops, tree

from keras_explain.graph.frames import without_frames
from keras_explain.graph.masks import spec_with_masks
from keras_explain.graph.steps import Value, is_built_in

BATCH = 2


def check_rows(program, value, name):
    """Refuse a feature map in which an example has several rows.

    Raises:
        ValueError: it has: there is no one map for the example.
    """
    rows = count_rows(program, value)
    if rows not in (None, 1):
        raise ValueError(
            f"Expected a layer with one feature map for each example, received {name!r}, where"
            f" the model has folded {rows} of them into the batch (frames or patches of one"
            " input). Name a layer before or after that, or use `saliency` or `occlusion`."
        )


def count_rows(program, value):
    """How many rows an example has at a Value; None where the steps do not tell.

    Nothing is computed: the shapes are worked out for a batch of two.
    """
    return count_all_rows(program.with_outputs([value]).steps, program.inputs)[value]


def count_all_rows(steps, inputs):
    """The same for all Values that `steps` compute from `inputs`: {Value: rows or None}."""
    specs = {v: _with_batch(v.spec, BATCH) for v in inputs}
    for step in steps:
        args, kwargs = tree.map_structure(
            lambda v: specs[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
        specs.update(zip(step.outputs, _infer(step, args, kwargs), strict=True))
    rows = {v: spec.shape[0] if spec.shape else None for v, spec in specs.items()}
    return {v: n // BATCH if n and n % BATCH == 0 else None for v, n in rows.items()}


def _infer(step, args, kwargs):
    """The symbolic outputs of a step; where it cannot tell, those of as many rows as it reads."""
    try:
        if _declares_shapes(step.fn):
            return tree.flatten(spec_with_masks(step.fn, args, kwargs))
    except Exception:  # it needs numbers
        pass
    try:
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
        with keras.StatelessScope():
            return tree.flatten(step.fn.compute_output_spec(*args, **kwargs))
    except Exception:  # functions have no such method, a layer of the user's may raise anything
        given = [x.shape[0] for x in tree.flatten((args, kwargs))
                 if isinstance(x, keras.KerasTensor)]
        return [_with_batch(v.spec, given[0] if given else None) for v in step.outputs]


def _declares_shapes(fn):
    """Whether a user may have said what shapes a layer gives, which need not count the rows."""
    fn = without_frames(fn)
    return isinstance(fn, keras.layers.Layer) and (
        isinstance(fn, keras.layers.Lambda) or not is_built_in(fn))


def _with_batch(spec, rows):
    return keras.KerasTensor((rows, *spec.shape[1:]), spec.dtype)


def take_rows(tensors, rows):
    """The examples `rows` of each tensor."""
    return [ops.take(t, rows, axis=0) for t in tensors]
