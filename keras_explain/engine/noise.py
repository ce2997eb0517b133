"""Random numbers without state: the same for a seed on every backend, whatever the batch.

Keras's generators differ between backends, and what they give an example depends on its place
in the batch. Here each number is a hash of its counter, in 32-bit integer arithmetic.
"""

import math

from keras import ops


def normal(shape, stream, seed):
    """Independent standard normal numbers, float32.

    Args:
        shape: sizes, ints or scalar tensors.
        stream: int32 scalar or vector tensor; each value gives other numbers.
        seed: an int.

    Returns:
        float32 of shape `shape`, or `(len(stream), *shape)`.
    """
    count = 1
    for size in shape:
        count = count * size
    key = _mix(ops.expand_dims(stream, -1) + _wrap(seed * 0x9E3779B9))
    counter = _mix(ops.arange(count, dtype="int32"))
    angle = _uniform(_mix(ops.bitwise_xor(counter, key)))
    radius = _uniform(_mix(ops.bitwise_xor(counter, _mix(key + 1))))
    numbers = ops.sqrt(-2.0 * ops.log(radius)) * ops.cos(2 * math.pi * angle)
    leading = ops.shape(stream)
    return ops.reshape(numbers, (*leading, *shape))


def _mix(x):
    """A bijection of the 32-bit integers that looks random ("lowbias32", C. Wellons)."""
    x = ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, 16), 0xFFFF))
    x = x * 0x7FEB352D
    x = ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, 15), 0x1FFFF))
    x = x * _wrap(0x846CA68B)
    return ops.bitwise_xor(x, ops.bitwise_and(ops.right_shift(x, 16), 0xFFFF))


def _uniform(x):
    """Between 0 and 1, both excluded, from the upper 23 bits."""
    bits = ops.bitwise_and(ops.right_shift(x, 9), 0x7FFFFF)
    return (ops.cast(bits, "float32") + 0.5) * 2.0**-23


def _wrap(n):
    """The signed 32-bit integer of the same bits."""
    return (n + 2**31) % 2**32 - 2**31
