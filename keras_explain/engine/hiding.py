"""What an input looks like with nothing to see: baselines and the filling of patches.

A *baseline* is what the user asks for: a word, a number, a color, an array, or several of them.
A *fill* is one of these, and `Fills` are those of a baseline on a batch.
"""

import keras
import numpy as np
from keras import ops

from keras_explain.engine import packing
from keras_explain.engine.noise import normal
from keras_explain.engine.sliding import blur

NAMED = ("mean", "zero", "blur", "noise")
OF_PARTS = (*NAMED, "inpaint", "several")
SEVERAL = ("mean", "blur", "noise", "inpaint")
# Weight of the mean of all that is seen, where nothing is seen nearby.
FAR = 1e-4


def check(name, value, spec, of_parts=False):
    """A baseline as the rest of this module takes it: one of `NAMED`, or a float32 array.

    Args:
        name: of the argument, for the error.
        value: what the user gave: a word, a number, an array, or what `packing.to_config` made
            of it.
        spec: symbolic input that it is to fit.
        of_parts: whether parts of an input are hidden, so that a fill may depend on the rest of
            it ("inpaint", "several").

    Raises:
        ValueError: another word, an array that does not fit the input, "blur" of integer tokens
            or columns.
    """
    shape = spec.shape[1:]
    if isinstance(value, str):
        allowed = OF_PARTS if of_parts else NAMED
        if value not in allowed:
            raise ValueError(
                f"Expected `{name}` to be one of {allowed}, a number, a color or an array,"
                f" received {value!r}. A number is in the units of the model's inputs."
            )
        if value in ("several", "inpaint") and len(shape) < 2:
            raise ValueError(
                f"Expected `{name}` of columns and tokens to be a word for one fill, a number or"
                f" an array, received {value!r}, which images and series know. Give some rows of"
                f" your data as one array, shape (rows, {shape[-1] if shape else ''}): each"
                " stands in once."
            )
        if value in ("blur", "noise") and "float" not in spec.dtype and len(shape) < 2:
            raise ValueError(
                f'Expected `{name}` "zero" or a number for integer tokens or columns, received'
                f" {value!r}. Give the id that stands for nothing, such as that of padding."
            )
        return value
    if spec.dtype == "string":
        raise ValueError(
            f'Expected `{name}` "zero" or "mean", because the input is text, received {value!r}.'
            ' Explain the part behind its TextVectorization to choose an id.'
        )
    if isinstance(value, dict) and not {"shape", "float32"} & set(value):
        raise ValueError(
            f"Expected `{name}` to be one of {NAMED}, a number, a color or an array, received a"
            f" dict of {list(value)}. Give one baseline by name for each input to integrated"
            " gradients, one value to others."
        )
    value = packing.from_config(value, spec)
    if not np.isfinite(value).all():
        raise ValueError(
            f"Expected `{name}` of finite numbers, received NaN or infinity. Clean it first.")
    known = tuple(1 if n is None else n for n in shape)
    one = value.shape
    if is_stack(value, spec) and len(value):
        one = one[1:]
    try:
        fits = np.broadcast_shapes(one, known) == known
    except ValueError:
        fits = False
    if not fits and None not in shape:
        raise ValueError(
            f"Expected `{name}` to be one of {NAMED}, a number, a color or an array that fits"
            f" an input of shape {tuple(shape)}, received an array of shape {value.shape}. Give it"
            " the shape of one example, or one number per channel."
        )
    return value


def split(value, spec):
    """The fills of a checked baseline: one, or several."""
    if isinstance(value, str):
        return SEVERAL if value == "several" else (value,)
    return tuple(value) if is_stack(value, spec) else (value,)


def is_stack(value, spec):
    """Whether a checked baseline is several, with an axis of them in front."""
    return not isinstance(value, str) and value.ndim == len(spec.shape)


def is_tokens(image):
    """Whether an input holds integers that are no pixels."""
    return "float" not in keras.backend.standardize_dtype(image.dtype) and len(image.shape) < 3


def expand_mask(mask, rank, axes):
    """A mask (N, *sizes) over the `axes` of a tensor of `rank`, with the axes that it lacks."""
    for axis in range(1, rank):
        if axis not in axes:
            mask = ops.expand_dims(mask, axis)
    return mask


def baseline(image, axes, value, data=None):
    """The input with nothing to see, in its shape and dtype.

    Args:
        image: the model's input, shape (N, ...).
        axes: its axes of space or time, over which "mean" and "blur" go.
        value: as `check` returns it. Tokens have no mean: "mean" gives 0.
        data: bool (N, T), False at padding, which stays as it is and counts for no mean; None
            where there is none.
    """
    if data is not None:
        seen = expand_mask(data, len(image.shape), (1,))
        if not is_tokens(image) and isinstance(value, str) and value in ("mean", "blur", "noise"):
            pixels = ops.cast(image, "float32")
            mean = _mean_of_data(pixels, seen, axes)
            filled = to_dtype(ops.where(seen, pixels, mean), image.dtype)
            base = to_dtype(mean + ops.zeros_like(pixels), image.dtype) if value == "mean" else (
                baseline(filled, axes, value))
        else:
            base = baseline(image, axes, value)
        return ops.where(seen, base, image)
    dtype = keras.backend.standardize_dtype(image.dtype)
    if not isinstance(value, str):
        base = ops.zeros_like(image, dtype="float32") + ops.convert_to_tensor(value)
        return ops.cast(base, dtype)
    if value == "zero" or is_tokens(image):
        return ops.zeros_like(image)
    pixels = ops.cast(image, "float32")
    if value == "mean":
        pixels = ops.mean(pixels, axis=axes, keepdims=True) + ops.zeros_like(pixels)
    elif value == "noise":
        pixels = _noise(pixels, axes)
    else:
        pixels = blur(pixels, axes)
    return to_dtype(pixels, dtype)


def _mean_of_data(pixels, seen, axes):
    weights = ops.cast(seen, "float32") + ops.zeros_like(pixels)
    return ops.divide_no_nan(ops.sum(pixels * weights, axis=axes, keepdims=True),
                             ops.sum(weights, axis=axes, keepdims=True))


def to_dtype(pixels, dtype):
    """Float32 pixels as an input's dtype."""
    dtype = keras.backend.standardize_dtype(dtype)
    return ops.cast(pixels if "float" in dtype else ops.round(pixels), dtype)


def _noise(pixels, axes):
    """Normal noise of each channel's own mean, deviation and range; the same for every batch."""
    low, mean, high = (f(pixels, axis=axes, keepdims=True) for f in (ops.min, ops.mean, ops.max))
    deviation = ops.std(pixels, axis=axes, keepdims=True)
    numbers = normal(ops.shape(pixels)[1:], ops.zeros((), "int32"), seed=0)[None]
    return ops.clip(mean + deviation * numbers, low, high)


def inpaint(pixels, seen, axes, sigmas=None):
    """Each pixel as the mean of those that are seen around it, weighted by a Gaussian.

    A normalized convolution (Knutsson, Westin 1993). Where nothing is seen nearby, the mean of
    all that is seen.

    Args:
        pixels: float32 of shape (N, ...).
        seen: how much each place is seen, 0 to 1, shape (N, *sizes), or of as many axes.
        axes: of the places.
        sigmas: standard deviation in pixels for each axis; None: a twentieth of it.
    """
    if len(seen.shape) < len(pixels.shape):
        seen = expand_mask(seen, len(pixels.shape), axes)
    visible = pixels * seen
    mean = ops.divide_no_nan(ops.sum(visible, axis=axes, keepdims=True),
                             ops.sum(seen, axis=axes, keepdims=True))
    weights = blur(seen, axes, sigmas)
    return (blur(visible, axes, sigmas) + FAR * mean) / (weights + FAR)


class Fills:
    """What stands in for the hidden parts of a batch: one fill, or several.

    Args:
        image: the model's input, shape (N, ...).
        axes: see `baseline`.
        fills: as `split` gives them.
        sigmas: of "inpaint", see there.
        data: see `baseline`.
        places: axes of what is seen or hidden, where these are not `axes` alone.
    """

    def __init__(self, image, axes, fills, sigmas=None, data=None, places=None):
        self.places = axes if places is None else places
        self.image, self.axes, self.sigmas, self.count = image, axes, sigmas, len(fills)
        named = [i for i, f in enumerate(fills) if isinstance(f, str) and f == "inpaint"]
        self.inpainted = named[0] if named else None
        self.data = None if data is None else expand_mask(data, len(image.shape), (1,))
        self.rows = None
        if self.count > 1 and not any(isinstance(fill, str) for fill in fills):
            self.rows = ops.cast(ops.convert_to_tensor(np.stack(fills)), image.dtype)
            return
        # A fill that depends on what is seen is made when that is known; see `take`.
        self.each = [baseline(image, axes, "zero" if i == self.inpainted else fill, data)
                     for i, fill in enumerate(fills)]

    def take(self, which, seen):
        """What stands in for the rows `which`: example times fills plus fill, int32 (B,).

        Args:
            seen: how much each place of these rows is seen, 0 to 1, (B, *sizes).
        """
        return self._keep_padding(self._take(which, seen), which)

    def _take(self, which, seen):
        if self.rows is not None:  # background data, which no example changes
            found = ops.take(self.rows, which % self.count, axis=0)
            return found + ops.zeros_like(ops.take(self.image, which // self.count, axis=0))
        if self.count == 1:
            found = ops.take(self.each[0], which, axis=0)
        else:
            stack = ops.stack(self.each, axis=1)
            found = ops.take(ops.reshape(stack, (-1, *ops.shape(stack)[2:])), which, axis=0)
        if self.inpainted is None:
            return found
        pixels = ops.cast(ops.take(self.image, which // self.count, axis=0), "float32")
        seen = expand_mask(ops.cast(seen, "float32"), len(pixels.shape), self.places)
        painted = inpaint(pixels, seen, self.axes, self.sigmas)
        painted = to_dtype(painted, found.dtype)
        chosen = ops.equal(which % self.count, self.inpainted)
        return ops.where(ops.reshape(chosen, (-1, *[1] * (len(found.shape) - 1))), painted, found)

    def _keep_padding(self, found, which):
        if self.data is None:
            return found
        rows = which // self.count
        return ops.where(ops.take(self.data, rows, axis=0), found,
                         ops.take(self.image, rows, axis=0))


def blend(image, hidden, seen, axes):
    """The image as far as it is seen, `hidden` elsewhere; tokens are one or the other.

    Args:
        image, hidden: (B, ...).
        seen: bool or 0 to 1, (B, *sizes).
        axes: of the places.
    """
    seen = expand_mask(ops.cast(seen, "float32"), len(image.shape), axes)
    if is_tokens(image):
        return ops.where(seen > 0.5, image, hidden)
    pixels, hidden = ops.cast(image, "float32"), ops.cast(hidden, "float32")
    mixed = seen * pixels + (1.0 - seen) * hidden  # each of the two exactly where alone
    return to_dtype(mixed, image.dtype)


def average(maps, count):
    """The mean over fills, and their standard deviation.

    Args:
        maps: float32 of shape (N * count, ...).
        count: fills.

    Returns:
        Two tensors of shape (N, ...).
    """
    maps = ops.reshape(maps, (-1, count, *ops.shape(maps)[1:]))
    return ops.mean(maps, axis=1), ops.std(maps, axis=1)
