"""What an input looks like with nothing to see: baselines and the filling of patches."""

import base64
import zlib

import keras
import numpy as np
from keras import ops

from keras_explain.engine.sliding import blurred

NAMED = ("mean", "zero", "blur")


def check(name, value, spec):
    """A baseline as the rest of this module takes it: one of `NAMED`, or a float32 array.

    Args:
        name: of the argument, for the error.
        value: what the user gave: a word, a number, an array, or what `to_config` made of it.
        spec: symbolic input that it is to fit.

    Raises:
        ValueError: another word, an array that does not fit the input, "blur" of integer tokens
            or columns.
    """
    shape = spec.shape[1:]
    if isinstance(value, str):
        if value not in NAMED:
            raise ValueError(
                f"Expected `{name}` to be one of {NAMED}, a number, a color or an array,"
                f" received {value!r}."
            )
        if value == "blur" and "float" not in spec.dtype and len(shape) < 2:
            raise ValueError(
                f'Expected `{name}` "zero" or a number for integer tokens or columns, received'
                f" {value!r}."
            )
        return value
    if spec.dtype == "string":
        raise ValueError(
            f'Expected `{name}` "zero" or "mean", because the input is text, received {value!r}.'
        )
    value = from_config(value)
    known = tuple(1 if n is None else n for n in shape)
    try:
        fits = np.broadcast_shapes(value.shape, known) == known
    except ValueError:
        fits = False
    if not fits and None not in shape:
        raise ValueError(
            f"Expected `{name}` to be one of {NAMED}, a number, a color or an array that fits"
            f" an input of shape {tuple(shape)}, received an array of shape {value.shape}."
        )
    return value


def to_config(value):
    """A checked baseline in a form that JSON holds; large arrays as packed bytes."""
    if isinstance(value, str) or value.size <= 16:
        return value if isinstance(value, str) else value.tolist()
    packed = base64.b64encode(zlib.compress(value.tobytes())).decode()
    return {"shape": list(value.shape), "float32": packed}


def from_config(value):
    """The float32 array that `to_config` packed; arrays and lists pass through."""
    if isinstance(value, dict):
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(value["float32"])), "float32")
        return numbers.reshape(value["shape"])
    return np.asarray(value, "float32")


def is_tokens(image):
    """Whether an input holds integers that are no pixels."""
    return "float" not in keras.backend.standardize_dtype(image.dtype) and len(image.shape) < 3


def expand_mask(mask, rank, axes):
    """A mask (N, *sizes) over the `axes` of a tensor of `rank`, with the axes that it lacks."""
    for axis in range(1, rank):
        if axis not in axes:
            mask = ops.expand_dims(mask, axis)
    return mask


def baseline(image, axes, value):
    """The input with nothing to see, in its shape and dtype.

    Args:
        image: the model's input, shape (N, ...).
        axes: its axes of space or time, over which "mean" and "blur" go.
        value: as `check` returns it. Tokens have no mean: "mean" gives 0.
    """
    dtype = keras.backend.standardize_dtype(image.dtype)
    if not isinstance(value, str):
        base = ops.zeros_like(image, dtype="float32") + ops.convert_to_tensor(value)
        return ops.cast(base, dtype)
    if value == "zero" or is_tokens(image):
        return ops.zeros_like(image)
    pixels = ops.cast(image, "float32")
    if value == "mean":
        pixels = ops.mean(pixels, axis=axes, keepdims=True) + ops.zeros_like(pixels)
    else:
        pixels = blurred(pixels, axes)
    return ops.cast(pixels if "float" in dtype else ops.round(pixels), dtype)
