"""A step that gives its own numbers, with the gradient of the linear map that it is at a point."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain.graph.masks import get_mask, set_mask

SMALL = 1e-4  # below this a ratio is its limit at zero
_points, _weights = np.polynomial.legendre.leggauss(12)
POINTS, WEIGHTS = (_points + 1) / 2, _weights / 2  # on 0..1, by which a gradient is averaged


class Held:
    """`fn` in homogeneous coordinates: what does not come from the input is multiplied by `one`.

    Called with one tensor more in front, `one` (N,): ones. The numbers are those of `fn`. The
    gradient by the kept arguments and by `one` is that of a map that is linear in them together,
    so that arguments times gradients add up to the numbers (Euler).

    Args:
        fn: of the step.
        kept: places, among the flat arguments, of those that the map is linear in.
        held: places of the others that depend on the input: no gradient passes.
        way: what makes it linear: a name in `WAYS`.
        center: axes whose mean "scale" subtracts first.
        offset: what it gives at zero: None (nothing), "bias" (that of the layer) or "zeros" (run).
        small: whether one number stands for all, where it is run at zero.
        alone: whether what it gives at zero is the same for each example.
        rows: how many rows there are for each example.
    """

    def __init__(self, fn, kept, held=(), way="own", *, center=(), offset=None, small=False,
                 alone=True, rows=1):
        self.fn, self.kept, self.held, self.way = fn, tuple(kept), tuple(held), way
        self.center, self.offset, self.rows = tuple(center), offset, rows
        self.small, self.alone = small, alone

    def __call__(self, one, *args, **kwargs):
        leaves = tree.flatten((args, kwargs))
        for place in self.held:
            leaves[place] = with_mask_of(leaves[place], ops.stop_gradient(leaves[place]))

        def run(values):
            filled = list(leaves)
            for place, value in zip(self.kept, values, strict=True):
                filled[place] = with_mask_of(leaves[place], value)
            given, options = tree.pack_sequence_as((args, kwargs), filled)
            return self.fn(*given, **options)

        kept = [leaves[place] for place in self.kept]
        y, zero = run(kept), self._at_zero(run, kept)
        found = WAYS[self.way](self, run, kept, y, zero)
        if zero is not None:
            found = tree.map_structure(lambda a, z: self._with_offset(a, z, one), found, zero)
        return tree.map_structure(with_mask_of, y, found)

    def at_zero(self, x):
        """Zeros in place of the argument `x`, as few as will do."""
        if self.small:
            return ops.zeros((1,) * len(x.shape), x.dtype)
        return ops.zeros_like(x[:1] if self.alone else x)

    def _at_zero(self, run, kept):
        if self.offset is None:
            return None
        if self.offset == "bias":
            return ops.convert_to_tensor(self.fn.bias)
        return tree.map_structure(ops.stop_gradient, run([self.at_zero(x) for x in kept]))

    def _with_offset(self, y, zero, one):
        """`y`, of which the part `zero` is in proportion to `one`."""
        if self.rows > 1:
            one = ops.repeat(one, self.rows)
        extra = ops.reshape(one - 1.0, (-1, *[1] * (len(y.shape) - 1)))
        return y + ops.cast(extra, y.dtype) * ops.cast(zero, y.dtype)


def with_mask_of(source, x):
    """`x` with the Keras mask of `source`, if it has none."""
    mask = get_mask(source)
    if mask is not None and get_mask(x) is None:
        set_mask(x, mask)
    return x


def with_gradient_of(y, x):
    """The numbers `y` with the gradient of `x`."""
    return ops.stop_gradient(y) + (x - ops.stop_gradient(x))


# Ways to be linear: (held, run, kept, y, zero) -> y with another gradient ---------------------


def _keep(held, run, kept, y, zero):
    """Linear already, or so along the line through zero: max(x, 0)."""
    return y


def _share(held, run, kept, y, zero):
    """A product of what depends on the input: each factor gets its share."""
    return tree.map_structure(lambda a: with_gradient_of(a, a / len(kept)), y)


def _ratio(held, run, kept, y, zero):
    """A function of each number alone: its ratio, y / x; near zero the limit of that."""
    x = _float(kept[0])
    near, nothing = ops.abs(x) < SMALL, held.at_zero(kept[0])
    limit = (run([nothing + SMALL]) - run([nothing - SMALL])) / (2 * SMALL)
    ratio = ops.where(near, ops.cast(limit, x.dtype),
                      _rise(y, zero, x) / ops.where(near, ops.ones_like(x), x))
    return with_gradient_of(y, ops.cast(x * ops.stop_gradient(ratio), y.dtype))


def _scale(held, run, kept, y, zero):
    """A normalization: the mean stays, what it divides by is held."""
    x = _float(kept[0])
    if held.center:
        x = x - ops.mean(x, axis=held.center, keepdims=True)
    ratio = ops.divide_no_nan(_rise(y, zero, x), x)
    return with_gradient_of(y, ops.cast(x * ops.stop_gradient(ratio), y.dtype))


def _mean(held, run, kept, y, zero):
    """Any smooth function: its gradient averaged on the way from zero."""
    parts = [run([x * float(t) for x in kept]) * float(w / t)
             for t, w in zip(POINTS, WEIGHTS, strict=True)]
    return with_gradient_of(y, sum(parts[1:], parts[0]))


def _rise(y, zero, x):
    y = ops.cast(y, x.dtype)
    return y if zero is None else y - ops.cast(zero, x.dtype)


def _float(x):
    wide = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    return ops.cast(x, wide)


WAYS = {"own": _keep, "share": _share, "ratio": _ratio, "scale": _scale, "mean": _mean}
