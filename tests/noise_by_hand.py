"""The noise of `engine/noise.py`, written once more with NumPy."""

import numpy as np


def reference(shape, stream, seed):
    """The same hash in unsigned arithmetic."""

    def mixed(x):
        x = x ^ (x >> np.uint32(16))
        x = x * np.uint32(0x7FEB352D)
        x = x ^ (x >> np.uint32(15))
        x = x * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))

    def uniform(x):
        return ((x >> np.uint32(9)) + 0.5) * 2.0**-23

    with np.errstate(over="ignore"):
        start = np.uint32(seed * 0x9E3779B9 % 2**32)
        key = mixed(np.uint32(stream) + start)
        counter = mixed(np.arange(np.prod(shape), dtype="uint32"))
        angle = uniform(mixed(counter ^ key))
        radius = uniform(mixed(counter ^ mixed(key + np.uint32(1))))
    return (np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle)).reshape(shape)
