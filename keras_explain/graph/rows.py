"""How many rows the values of a program have: some models fold frames or patches into the batch."""

import keras
from keras import ops, tree

from keras_explain.graph.steps import Value

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
    specs = {v: _with_batch(v.spec, BATCH) for v in program.inputs}
    for step in program.with_outputs([value]).steps:
        args, kwargs = tree.map_structure(
            lambda v: specs[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
        specs.update(zip(step.outputs, _infer(step, args, kwargs), strict=True))
    rows = specs[value].shape[0]
    return rows // BATCH if rows and rows % BATCH == 0 else None


def _infer(step, args, kwargs):
    """The symbolic outputs of a step; where it cannot tell, those of as many rows as it reads."""
    try:
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
        with keras.StatelessScope():
            return tree.flatten(step.fn.compute_output_spec(*args, **kwargs))
    except Exception:  # functions have no such method, a layer of the user's may raise anything
        given = [x.shape[0] for x in tree.flatten((args, kwargs))
                 if isinstance(x, keras.KerasTensor)]
        return [_with_batch(v.spec, given[0] if given else None) for v in step.outputs]


def _with_batch(spec, rows):
    return keras.KerasTensor((rows, *spec.shape[1:]), spec.dtype)


def take_rows(tensors, rows):
    """The examples `rows` of each tensor."""
    return [ops.take(t, rows, axis=0) for t in tensors]
