"""Many scores, a bounded number at a time, inside of a graph."""

from keras import ops


def even(total, limit, unit=1):
    """Size of chunks of at most `limit`, so that the last one wastes little: of whole units of
    `unit`, where they fit."""
    if total % unit or limit < unit:
        unit = 1
    total, limit = total // unit, limit // unit
    return unit * -(-total // -(-total // limit))


def in_chunks(score, total, size, first=0.0):
    """`score(pairs)`, int32 (size,) to float32 (size,), for the pairs 0 to `total` - 1.

    Args:
        first: a number that has to be there before the first chunk; it changes none.

    Returns:
        float32 of shape (total,).
    """
    def step(start, scores):
        # One chunk waits for the one before it: TensorFlow would run ten at once.
        wait = ops.cast(scores[0] > float("inf"), "int32")
        pairs = ops.minimum(start + ops.arange(size, dtype="int32") + wait, total - 1)
        return start + size, ops.scatter_update(scores, pairs[:, None], score(pairs))

    _, scores = ops.while_loop(
        lambda start, scores: start < total,
        step,
        (ops.convert_to_tensor(0, "int32"), ops.zeros((total,), "float32") + 0 * first),
    )
    return scores
