"""Many scores, a bounded number at a time, inside of a graph."""

from keras import ops

from keras_explain import backend


def even(total, limit, unit=1):
    """Size of chunks of at most `limit`, so that the last one wastes little: of whole units of
    `unit`, where they fit."""
    if unit > 1 and (total % unit or limit < unit):
        unit = 1
    total, limit = total // unit, limit // unit
    return unit * -(-total // -(-total // limit))


def in_chunks(score, total, size):
    """`score(pairs)`, int32 (size,) to float32 (size,), for the pairs 0 to `total` - 1.

    Returns:
        float32 of shape (total,).
    """
    def step(start, scores):
        pairs = ops.minimum(start + ops.arange(size, dtype="int32"), total - 1)
        return start + size, ops.scatter_update(scores, pairs[:, None], score(pairs))

    _, scores = backend.while_loop(
        lambda start, scores: start < total,
        step,
        (ops.convert_to_tensor(0, "int32"), ops.zeros((total,), "float32")),
    )
    return scores
