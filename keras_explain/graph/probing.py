"""What functions and steps do to random numbers: how the library tells what they compute."""

import math

import keras
import numpy as np
from keras import ops

from keras_explain import backend

FEW = 32
TOLERANCE = {"float16": 0.02, "bfloat16": 0.1}


def random_numbers(spec, free=3, scale=1.5):
    """Random numbers of a Value's shape and type, `free` where a size is free: a few rows."""
    row = [free if n is None else n for n in spec.shape[1:]]
    shape = (2 if math.prod(row) > FEW else FEW, *row)
    rng = np.random.default_rng(0)
    if "float" not in spec.dtype:
        return ops.convert_to_tensor(rng.integers(0, 2, shape), spec.dtype)
    return ops.convert_to_tensor(rng.normal(size=shape) * scale, spec.dtype)


def try_to_run(fn, *args):
    """The numbers that `fn` gives, float64; None where it cannot be run on such arguments."""
    try:
        with backend.no_gradient(), keras.StatelessScope():  # no state of a layer moves
            return to_float64(fn(*args))
    except Exception:  # a layer of the user's may refuse numbers like these with any error
        return None


def to_float64(x):
    """A tensor as NumPy."""
    return np.asarray(ops.convert_to_numpy(ops.cast(x, "float32")), "float64")


def tolerance(*values):
    """What may differ where Values have the types that they have."""
    return max(TOLERANCE.get(v.spec.dtype, 1e-3) for v in values)


def equals(found, wanted, share):
    """Whether arrays are equal but for a share of the range of `wanted`, NaN at the same places."""
    found, wanted = (np.asarray(x, "float64") for x in (found, wanted))
    size = max(np.ptp(wanted) if wanted.size else 0, 1e-2 * np.abs(wanted).max(initial=0), 1e-12)
    return np.allclose(found, wanted, rtol=0, atol=share * size, equal_nan=True)
