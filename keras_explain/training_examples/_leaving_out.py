"""A last layer without one of its training examples: one Newton step, in closed form."""

import numpy as np

from keras_explain.training_examples._head import probabilities

MOST_WEIGHTS = 6000  # of a last layer whose second derivatives are solved for


def leave_out(head, queries, target, source, penalty, batch_size):
    """What the score of each query loses without each example, (N, examples).

    The step is exact where the loss is quadratic. The second derivatives without the example come
    from those with all by the formula of Sherman, Morrison and Woodbury.

    Args:
        head: a `Head`.
        queries, target: features (N, F), and a class for each.
        source: batches of features and labels.
        penalty: of the kernel, beside a mean loss.
        batch_size: examples at a time.

    Raises:
        ValueError: too many weights for their second derivatives.
    """
    classes, size = head.bias.size, head.kernel.shape[0] + 1
    if classes * size > MOST_WEIGHTS:
        raise ValueError(
            f'Expected at most {MOST_WEIGHTS} weights in the last layer for method="leave_one_out",'
            f' received {classes * size}. Use method="tracin".')
    second, parts = np.zeros((classes, size, classes, size)), []
    for features, labels in source:
        rows = _with_one(features)
        logits = head.logits(features)
        pull, curve = head.pull(logits, labels), _curve(logits, head.truth(labels)[1])
        second += np.einsum("nkl,nf,ng->kflg", curve, rows, rows, optimize=True)
        parts.append((rows, pull, curve))
    rows, pull, curve = map(np.concatenate, zip(*parts, strict=True))
    second = second.reshape(classes * size, classes * size)
    kernel = np.tile(np.arange(size) < size - 1, classes)
    second[kernel, kernel] += 2 * penalty * len(rows)
    # Softmax does not see what all biases have in common: nothing pulls there.
    inverse = np.linalg.pinv(second, rcond=1e-12, hermitian=True).reshape(
        classes, size, classes, size)
    pushed = np.einsum("nf,nfkg->nkg", _with_one(queries), inverse[target])
    found = []
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        own = np.einsum("nf,kflg,ng->nkl", rows[part], inverse, rows[part], optimize=True)
        step = np.linalg.solve(np.eye(classes) - curve[part] @ own, pull[part][..., None])[..., 0]
        found.append(-np.einsum("qkg,ng,nk->qn", pushed, rows[part], step, optimize=True))
    return np.concatenate(found, axis=1)


def _with_one(features):
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _curve(logits, kind):
    """Second derivatives of each example's loss by its logits, (N, classes, classes)."""
    count = logits.shape[1]
    if kind == "squared":
        return np.broadcast_to(2 * np.eye(count) / count, (len(logits), count, count))
    p = probabilities(logits, kind)
    if kind == "sigmoid":
        return (p * (1 - p))[..., None] * np.eye(count)
    return p[..., None] * np.eye(count) - p[:, :, None] * p[:, None, :]
