"""Where the cells of a feature map lie over the input, by the arithmetic of receptive fields.

A cell looks at a window of the input. Convolutions without padding, crops, padding, slices,
flips, transpositions and strides move and scale these windows; each rule says how one kind of
step does so. A step for which there is no rule is measured.
"""

import dataclasses
import functools

import keras

from keras_explain import backend
from keras_explain.engine.placing import moving, sliding
from keras_explain.engine.placing.axis import Axis, is_python, larger, real, smaller
from keras_explain.engine.placing.measuring import measure
from keras_explain.engine.placing.tokens import measure_tokens
from keras_explain.engine.windows.pointwise import OVER_CHANNELS, POINTWISE
from keras_explain.graph.frames import OverFrames
from keras_explain.graph.steps import (
    CONVOLUTIONS,
    has_weights,
    is_attention,
    is_built_in,
    kind,
    see_one_frame,
)

# Layers of Keras, besides the pointwise ones, that leave each row of a map where it is.
_IN_PLACE = ("Dense", "EinsumDense", "Embedding", "LSTM", "GRU", "SimpleRNN", "GroupNormalization",
             "Normalization", "PReLU", "Softmax", "Masking")


def place(program, source, axes, value, sizes):
    """Where the cells of `value` lie over the input `source`.

    Args:
        program: a `Program` that computes `value`.
        axes: the axes of the input that count.
        sizes: how many pixels each of them has: ints or scalar tensors.

    Returns:
        A tuple of one `Axis` for each of `axes`, None where it was lost; and the path of the
        step that lost it, or None.
    """
    if value is source:
        return _start(axes, sizes), None
    found = follow(program.with_outputs(value), source, axes, sizes)
    lost = None
    places = found.get(value, (None,) * len(axes))
    if None in places:
        lost = next((s.path or kind(s.fn) for s in program.with_outputs(value).steps
                     if None in found.get(s.outputs[0], ()) and all(
                         None not in found.get(v, ()) for v in s.reads)), "")
    return tuple(a and a.settle() for a in places), lost


def place_tokens(program, source, axes, value, grid, sizes):
    """Where tokens lie that were cut from a map of `grid` cells: as the last such map before.

    Returns as `place` does.
    """
    found = follow(program.with_outputs(value), source, axes, sizes)
    for places in reversed(found.values()):
        if None not in places and tuple(a.size for a in places) == tuple(grid):
            return places, None
    return (None,) * len(axes), ""


def follow(program, source, axes, sizes):
    """{Value: tuple of `Axis` or None} for all values that `source` reaches."""
    found = {source: _start(axes, sizes)}
    for step in program.steps:
        if any(v in found for v in step.reads):
            known = {v: found[v] for v in step.reads if v in found}
            for k, value in enumerate(step.outputs):
                found[value] = _through(step, known, value, k)
    return found


def _start(axes, sizes):
    return tuple(Axis(a, n, high=real(n) - 1.0) for a, n in zip(axes, sizes, strict=True))


def _through(step, known, value, k):
    if all(axis is None for places in known.values() for axis in places):
        return next(iter(known.values()))
    if isinstance(step.fn, OverFrames):
        return _over_frames(step, known, value, k)
    rule = _rule(step)
    if rule is None:
        return measure_tokens(step, known, value, k) or measure(step, known, value, k)
    try:
        return tuple(a and _check(a, value) for a in rule(step, known, value))
    except (TypeError, ValueError, AttributeError, IndexError):  # an option that is not foreseen
        return measure(step, known, value, k)


def _check(axis, value):
    size = value.spec.shape[axis.axis]
    if axis.packed:
        return axis
    if isinstance(axis.size, int) and size not in (None, axis.size):
        raise ValueError(f"{axis.size} cells by the rule, {size} in fact")
    return axis if size is None else dataclasses.replace(axis, size=size)


def _rule(step):
    fn, name = step.fn, kind(step.fn)
    keras_own = type(fn).__module__.startswith(("keras.", "keras_explain.")) and (
        not has_weights(fn) or is_built_in(fn))
    if _is_keras_activation(fn):
        return _merge
    if not keras_own or name == "Activation" and not _is_keras_activation(fn.activation):
        return None
    if is_attention(fn):
        return _keep_queries
    if name in POINTWISE or name in OVER_CHANNELS or name in _IN_PLACE:
        return _merge
    if name in _RULES:
        return _RULES[name]
    ends = [end for end in _FAMILIES if name.rstrip("123D") == end]
    return _FAMILIES[ends[0]] if ends else None


def _is_keras_activation(fn):
    return fn is backend.swish or fn is not None and (
        fn is getattr(keras.activations, getattr(fn, "__name__", ""), None))


def _over_frames(step, known, value, k):
    """The axis of the frames stays; the others go where the step on one frame takes them."""
    inner, frames = see_one_frame(step)
    per_frame = {frames[v]: tuple(
        None if a is None or a.axis == 1 else dataclasses.replace(a, axis=a.axis - 1)
        for a in places) for v, places in known.items() if v in frames}
    found = _through(inner, per_frame, frames[value], k) if per_frame else ()
    result = []
    for n, axis in enumerate(found):
        over = [places[n] for v, places in known.items()
                if v in frames and places[n] is not None and places[n].axis == 1]
        result.append(_middle(over) if over else axis and dataclasses.replace(
            axis, axis=axis.axis + 1))
    return tuple(result) or _lose(step, known, value)


# Steps that keep or join maps -----------------------------------------------------------------


def _merge(step, known, value):
    """Maps of one size are joined cell by cell: the middle of where they lie.

    A cell that looks at places far apart, as where a picture is joined with its mirror image,
    has no place of its own.
    """
    rank, result = len(value.spec.shape), []
    first = next(iter(known.values()))
    joined = getattr(step.fn, "axis", None) if kind(step.fn) == "Concatenate" else None
    for k in range(len(first)):
        found = []
        for read, places in known.items():
            axis = places[k]
            if axis is None:
                continue
            at = axis.axis + rank - len(read.spec.shape)
            if joined is not None and joined % rank == at:
                found.append(_join(axis, step, read, known))
                continue
            if at > 0 and axis.axis > 0 and read.spec.shape[axis.axis] == value.spec.shape[at]:
                found.append(dataclasses.replace(axis, axis=at))
        result.append(_middle(found))
    return result


def _join(axis, step, read, known):
    """Tokens behind others that are no cells, as the class token."""
    if not axis.packed or any(v is not read and None not in a for v, a in known.items()):
        raise ValueError("joined along the map")
    before = step.reads[: step.reads.index(read)]
    return dataclasses.replace(axis, skipped=axis.skipped + sum(
        v.spec.shape[axis.axis] for v in before))


def _keep_queries(step, known, value):
    """Each row of an attention layer stays where its query is."""
    query = step.reads[0]
    return _merge(step, {query: known.get(query, _lose(step, known, value))}, value)


def _middle(axes):
    if len(axes) < 2:
        return axes[0] if axes else None
    one = axes[0]
    if any((a.axis, a.block, a.skipped) != (one.axis, one.block, one.skipped) for a in axes):
        return None
    if any(a.margin != one.margin for a in axes):
        axes = [a.settle() for a in axes]
        one = axes[0]
    if any(_lie_apart(one, a) for a in axes[1:]):
        return None
    low, high = one.low, one.high
    for a in axes[1:]:
        low, high = smaller(low, a.low), larger(high, a.high)
    count = len(axes)
    return dataclasses.replace(
        one, offset=sum(a.offset for a in axes) / count, scale=sum(a.scale for a in axes) / count,
        reach=functools.reduce(larger, [a.reach for a in axes]), low=low, high=high)


def _lie_apart(one, two):
    """Whether cells of one number lie farther apart than a cell and its window reach."""
    if not is_python(one.offset, one.scale, one.reach, one.size,
                     two.offset, two.scale, two.reach):
        return False
    if one.scale * two.scale <= 0:
        return True
    apart = max(abs(one.offset + one.scale * i - two.offset - two.scale * i)
                for i in (0, one.size - 1))
    return apart > max(abs(one.scale), abs(two.scale)) + max(one.reach, two.reach)


def _lose(step, known, value):
    """What is summed over a map has no place on it."""
    return [None] * len(next(iter(known.values())))


_FAMILIES = {
    "Conv": sliding.follow_sliding, "DepthwiseConv": sliding.follow_sliding,
    "SeparableConv": sliding.follow_sliding, "MaxPooling": sliding.follow_sliding,
    "AveragePooling": sliding.follow_sliding, "UpSampling": sliding.follow_repeated,
    "ZeroPadding": moving.follow_padded, "Cropping": moving.follow_padded,
    "GlobalAveragePooling": _lose, "GlobalMaxPooling": _lose,
}
_RULES = {
    **{name: sliding.follow_transposed if "Transpose" in name else sliding.follow_sliding
       for name in CONVOLUTIONS},
    **{f"Conv{n}DTranspose": sliding.follow_transposed for n in (1, 2, 3)},
    "MaxPool": sliding.follow_sliding, "AveragePool": sliding.follow_sliding,
    "ExtractPatches": sliding.follow_sliding, "Resizing": sliding.follow_resized,
    "Resize": sliding.follow_resized, "Pad": moving.follow_padded_by,
    "Flip": moving.follow_flipped, "Rot90": moving.follow_rotated,
    "Permute": moving.follow_ordered, "Transpose": moving.follow_ordered,
    "Swapaxes": moving.follow_ordered, "Moveaxis": moving.follow_ordered,
    "Reshape": moving.follow_reshaped, "Squeeze": moving.follow_reshaped,
    "ExpandDims": moving.follow_reshaped, "GetItem": moving.follow_sliced,
    "CenterCrop": moving.follow_center_cropped, "Flatten": _lose,
}
