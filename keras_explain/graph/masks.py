"""Keras masks in a program: which Values carry one, and steps that set and read them.

Keras attaches a mask to a tensor, and a program runs the same calls on the same kind of tensors,
so most masks pass by themselves. What `call` of a user's layer does with masks itself is Python
that runs when a model is traced, not in the program: there symbolic tensors carry symbolic masks,
and what becomes of them is recorded.
"""

import warnings

import keras
from keras import ops, tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.models import inner_layers
from keras_explain.graph.steps import Value

CARRIERS = ("KeepMask", "SetMask")  # steps that hand their first argument on


def get_mask(tensor):
    """The Keras mask attached to a tensor, or None."""
    return keras.src.backend.get_keras_mask(tensor)


def set_mask(tensor, mask):
    """Attach a Keras mask to a tensor."""
    keras.src.backend.set_keras_mask(tensor, mask)


def free_of_lengths(op, values):
    """What stands in a layer of Keras for its causal mask, which asks for the length of texts."""
    attends = isinstance(op, (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention))
    ranks = {len(v.spec.shape) for v in values if "float" in v.spec.dtype}
    return {"_compute_causal_mask": _causal_mask} if attends and ranks == {3} else {}


def _causal_mask(query, value=None):
    """Which values each query may see, bool of shape (N, T, S), for any lengths."""
    here, there = (ops.cumsum(ops.ones_like(x[:, :, :1], dtype="int32"), axis=1)
                   for x in (query, query if value is None else value))
    return ops.greater_equal(here, ops.transpose(there, (0, 2, 1)))


def carry_masks(steps, before=()):
    """{Value: symbolic mask} for what carries a Keras mask when `steps` run.

    Nothing is asked of Keras's layers before the first mask: most models have none.
    """
    masks = dict(before)
    for step in steps:
        if isinstance(step.fn, SetMask):
            mask = step.args[1]
            found = [mask.spec if isinstance(mask, Value) else mask]
        elif masks.keys() & step.reads or may_make_masks(step.fn):
            found = _masks_after(step, masks)
        else:
            continue
        masks.update((v, mask) for v, mask in zip(step.outputs, found, strict=True)
                     if mask is not None)
    return masks


def _masks_after(step, masks):
    symbols = {}
    for value in step.reads:
        symbols[value] = keras.KerasTensor(value.spec.shape, value.spec.dtype)
        set_mask(symbols[value], masks.get(value))
    args, kwargs = tree.map_structure(
        lambda v: symbols[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
    try:
        outputs = spec_with_masks(step.fn, args, kwargs)
    except Exception:  # it cannot be asked without numbers
        return [None] * len(step.outputs)
    return list(map(get_mask, tree.flatten(outputs)))


def may_make_masks(fn):
    """Whether a mask may come out of a step although none goes in."""
    if isinstance(fn, keras.layers.Layer):
        return any(isinstance(x, keras.layers.Masking) or getattr(x, "mask_zero", False)
                   or not kinds.is_built_in(x) for x in [fn, *inner_layers(fn)])
    return False


class _Probe(keras.Operation):
    """Runs a function on tensors with masks; gives its outputs and their masks."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def call(self, args, kwargs, masks):
        for place, leaf in enumerate(tree.flatten((args, kwargs))):
            if str(place) in masks:
                set_mask(leaf, masks[str(place)])
        outputs = self.fn(*args, **kwargs)
        found = {str(i): get_mask(x) for i, x in enumerate(tree.flatten(outputs))}
        return outputs, {i: mask for i, mask in found.items() if mask is not None}


def spec_with_masks(fn, args, kwargs):
    """What `fn` returns for symbolic tensors, with the masks that it would carry."""
    masks = {str(i): get_mask(x) for i, x in enumerate(tree.flatten((args, kwargs)))
             if isinstance(x, keras.KerasTensor) and get_mask(x) is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs, found = _Probe(fn).compute_output_spec(args, kwargs, masks)
    flat = tree.flatten(outputs)
    if not all(isinstance(x, keras.KerasTensor) for x in flat if x is not None):
        raise ValueError(f"Expected tensors, received {outputs}. Return arrays from the layer.")
    for i, mask in found.items():
        set_mask(flat[int(i)], mask)
    return outputs


class SetMask:
    """Attaches a mask to a tensor, or takes it away."""

    def __call__(self, x, mask):
        set_mask(x, mask)
        return x


class GetMask:
    """The mask of a tensor."""

    def __call__(self, x):
        return get_mask(x)


class KeepMask:
    """Gives a tensor the mask of another, if it has none."""

    def __call__(self, x, source):
        mask = get_mask(source)
        if mask is not None and get_mask(x) is None:
            set_mask(x, mask)
        return x
