"""Baselines in saved files: float32 arrays as JSON, and back.

A file may come from anywhere. What it packs is never inflated beyond the shape that it declares,
and that is held against the input before anything is inflated.
"""

import base64
import binascii
import math
import zlib

import numpy as np

SMALL = 16  # numbers that are written as a list
FREELY = 2**26  # bytes that any packed array may inflate to
RATIO = 100  # how much more than its packed bytes a larger one may have


def to_config(value):
    """A checked baseline in a form that JSON holds; large arrays as packed bytes."""
    if isinstance(value, str) or value.size <= SMALL or value.dtype == object:
        return value if isinstance(value, str) else value.tolist()
    numbers = value.astype("<f4", copy=False).tobytes()
    packed = zlib.compress(numbers)
    if not _is_plausible(len(numbers), len(packed)):
        packed = zlib.compress(numbers, 0)
    return {"shape": list(value.shape), "float32": base64.b64encode(packed).decode()}


def from_config(value, spec=None):
    """The float32 array that `to_config` packed; arrays and lists pass through.

    Args:
        value: a number, an array, or the dict of `to_config`.
        spec: symbolic input that a packed array, or each of its rows, is to fit.

    Raises:
        ValueError: a dict that `to_config` does not write, or that does not fit the input.
    """
    if not isinstance(value, dict):
        return np.asarray(value, "float32")
    shape = _shape(value.get("shape"), spec)
    size = 4 * math.prod(shape)
    numbers = _inflate(value.get("float32"), size)
    if len(numbers) != size:
        raise _error(f"bytes for another number of values than the shape {shape} has")
    return np.frombuffer(numbers, "<f4").astype("float32", copy=False).reshape(shape)


def _shape(shape, spec):
    if not isinstance(shape, (list, tuple)) or not all(
            isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise _error(f"the shape {shape!r:.60}")
    if spec is not None:
        sizes = tuple(spec.shape[1:])
        each = shape[1:] if len(shape) == len(sizes) + 1 else shape
        if len(each) > len(sizes) or any(
                n not in (1, known) and known is not None
                for n, known in zip(each[::-1], sizes[::-1], strict=False)):
            raise ValueError(
                f"Expected a baseline that fits an input of shape {sizes}, received one of shape"
                f" {tuple(shape)} in a saved file. The file is damaged: build the explained model"
                " again."
            )
    return tuple(shape)


def _inflate(packed, size):
    """At most `size` bytes, and one more where there are more."""
    try:
        raw = base64.b64decode(packed, validate=True)
        if not _is_plausible(size, len(raw)):
            raise _error(f"{len(raw)} bytes for a shape of {size} bytes")
        unpacking = zlib.decompressobj()
        numbers = unpacking.decompress(raw, size + 1)
    except (TypeError, binascii.Error, UnicodeEncodeError, zlib.error) as error:
        raise _error(f"bytes that cannot be unpacked ({error})") from error
    if len(numbers) == size and not unpacking.eof:
        raise _error("bytes without their checksum")
    return numbers


def _is_plausible(size, packed):
    return size <= FREELY or size <= RATIO * packed


def _error(received):
    return ValueError(
        "Expected a packed baseline as `get_config` writes it, with the shape and the bytes of"
        f" float32 values, received {received}. The file is damaged: build the explained model"
        " again."
    )
