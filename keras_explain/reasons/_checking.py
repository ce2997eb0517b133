"""Does a second method agree, and is the first better than chance on this very input?"""

import warnings

import numpy as np

from keras_explain.metrics.curves import deletion, insertion

CELLS = 14  # along the longer side of a picture: fine maps and coarse ones damage it alike
STEPS, CHANCES = 10, 8
AGREES, PARTLY = 0.5, 0.2  # correlations, by convention


def find_cell(kind, shape):
    """The side of the cells in which maps of this shape (N, ...) are compared."""
    return max(1, round(max(shape[1:]) / CELLS)) if kind == "image" else 1


def pool(maps, side):
    """Means over cells, the last ones smaller: (N, cells), and the cells' shape."""
    if side == 1:
        return maps.reshape(len(maps), -1), maps.shape[1:]
    for axis in range(1, maps.ndim):
        starts = np.arange(0, maps.shape[axis], side)
        sums = np.add.reduceat(maps, starts, axis=axis)
        counts = np.diff([*starts, maps.shape[axis]])
        maps = sums / counts.reshape([-1 if a == axis else 1 for a in range(maps.ndim)])
    return maps.reshape(len(maps), -1), maps.shape[1:]


def compare_maps(first, second, side):
    """Correlation of two maps of each example, over cells: (N,).

    Pearson's, in which what counts much decides; ranks of cells that count for nothing are noise.

    Where one of the methods has no negative numbers, only what speaks for the answer is compared.
    """
    a, b = pool(first, side)[0], pool(second, side)[0]
    if (a >= 0).all() or (b >= 0).all():
        a, b = np.maximum(a, 0), np.maximum(b, 0)
    return np.array([correlate(*pair) for pair in zip(a, b, strict=True)])


def correlate(a, b):
    """Pearson's correlation of two rows; 0 where one of them is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def name_agreement(correlation):
    """"agree", "agree in part" or "disagree"."""
    if correlation >= AGREES:
        return "agree"
    return "agree in part" if correlation >= PARTLY else "disagree"


def beat_chance(choice, x, maps, side, seed):
    """How many orders at random a map's order is better than, as a share: (N,).

    An order is good where its first cells alone raise the answer soon (insertion) and their loss
    lowers it soon (deletion): the difference of the two areas, in log-odds where the answers are
    probabilities, which saturate. The random orders have the same numbers in other cells.
    """
    evaluator = choice.evaluator
    score = "log_odds" if choice.first.explainer.question.activation else "probability"
    cells, shape = pool(maps, side)
    rng = np.random.default_rng(seed)
    orders = [cells, *(np.take_along_axis(cells, np.argsort(rng.random(cells.shape)), 1)
                       for _ in range(CHANCES))]
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chance: what is blank, what disagrees
        for order in orders:
            spread = _spread(order.reshape(len(maps), *shape), side, maps.shape)
            given = {"steps": min(STEPS, cells.shape[1]), "patch_size": side,
                     "score": score}
            scores.append(insertion(evaluator, x, spread, **given)
                          - deletion(evaluator, x, spread, **given))
    own, others = scores[0], np.stack(scores[1:])
    return ((others < own).mean(0) + 0.5 * (others == own).mean(0)).astype("float32")


def _spread(cells, side, shape):
    """Each cell's number at each of its places."""
    for axis in range(1, len(shape)):
        cells = np.repeat(cells, side, axis=axis).take(np.arange(shape[axis]), axis=axis)
    return cells
