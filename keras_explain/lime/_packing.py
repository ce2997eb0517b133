"""Arrays of subjects: read-only, and in a form that JSON holds."""

import base64
from typing import Any

import numpy as np


def freeze(array: Any) -> np.ndarray:
    """A read-only copy."""
    array = np.array(array)
    array.setflags(write=False)
    return array


def array_to_dict(array):
    """An array as its type, shape and bytes."""
    contiguous = np.ascontiguousarray(array)
    return {
        "dtype": contiguous.dtype.name,
        "shape": list(contiguous.shape),
        "base64": base64.b64encode(contiguous.tobytes()).decode("ascii"),
    }


def array_from_dict(data):
    """The inverse of `array_to_dict`."""
    flat = np.frombuffer(base64.b64decode(data["base64"], validate=True), np.dtype(data["dtype"]))
    if flat.dtype.kind not in "fiub":
        raise ValueError(f"an array of {flat.dtype}")
    return flat.reshape(data["shape"])
