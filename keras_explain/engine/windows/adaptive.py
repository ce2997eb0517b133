"""Fewer positions: a coarse grid first, then those where another value changes the picture.

Two things are wanted of a map with a part of its positions: the same hot places, and much the
same order elsewhere. So values are interpolated from a coarse grid, and the rest is spent where
neighbors disagree most, compared with the distance from the value that divides the hottest
tenth from the rest; the last round measures that tenth before all others, so that the peak is
no guess. Shapes do not depend on the data: it runs inside of any graph.
"""

import dataclasses

import numpy as np
from keras import ops

ROUNDS = 2
HOTTEST = 0.1


@dataclasses.dataclass(frozen=True)
class Search:
    """Which positions to evaluate.

    Args:
        counts: positions along each axis.
        step: distance of the coarse positions.
        share: part of the positions that is evaluated.
    """

    counts: tuple
    step: int
    share: float

    @classmethod
    def of(cls, counts, grid):
        """Half of the positions; a third where patches overlap so much that values are smooth.

        Args:
            counts: positions along each axis.
            grid: (patch, stride) for each axis.
        """
        smooth = all(patch >= 4 * stride for patch, stride in grid)
        step = 4 if len(counts) == 1 else 3 if smooth else 2
        return cls(tuple(counts), step, 1 / 3 if smooth else 1 / 2)

    @property
    def lines(self):
        """The coarse positions along each axis, the last one always."""
        return [np.unique([*range(0, n, self.step), n - 1]) for n in self.counts]

    @property
    def rounds(self):
        """How many positions each round evaluates, after the coarse grid."""
        coarse = np.prod([len(line) for line in self.lines])
        left = max(0, round(self.share * np.prod(self.counts)) - int(coarse))
        return [left * (i + 1) // ROUNDS - left * i // ROUNDS for i in range(ROUNDS)]

    @property
    def evaluations(self):
        """How many positions are evaluated."""
        return int(np.prod([len(line) for line in self.lines])) + sum(self.rounds)

    def __call__(self, evaluate):
        """Drops at all positions of one image.

        Args:
            evaluate: `evaluate(positions) -> drops`, int32 (K,) to float32 (K,).

        Returns:
            float32 of shape (positions,): exact where evaluated, interpolated elsewhere.
        """
        lines, counts = self.lines, self.counts
        first = np.ravel_multi_index(np.meshgrid(*lines, indexing="ij"), counts).ravel()
        first = ops.convert_to_tensor(first.astype("int32"))
        known = evaluate(first)
        drops = _interpolate(ops.reshape(known, [len(x) for x in lines]), lines, counts)
        drops = ops.scatter_update(ops.reshape(drops, (-1,)), first[:, None], known)
        rest = ops.ones_like(drops)
        rest = ops.scatter_update(rest, first[:, None], ops.zeros_like(known))
        for i, size in enumerate(self.rounds):
            if size == 0:
                continue
            worth = ops.where(rest > 0, _worth(drops, counts, last=i == ROUNDS - 1), -1.0)
            chosen = ops.cast(ops.argsort(-worth)[:size], "int32")  # exports lack JAX's top_k
            found = evaluate(chosen)
            drops = ops.scatter_update(drops, chosen[:, None], found)
            rest = ops.scatter_update(rest, chosen[:, None], ops.zeros_like(found))
        return drops


def _interpolate(known, lines, counts):
    """Linear interpolation, axis by axis."""
    for axis, (line, count) in enumerate(zip(lines, counts, strict=True)):
        weights = np.stack([np.interp(np.arange(count), line, one) for one in np.eye(len(line))])
        weights = ops.convert_to_tensor(weights.astype("float32"))
        known = ops.moveaxis(ops.matmul(ops.moveaxis(known, axis, -1), weights), -1, axis)
    return known


def _worth(drops, counts, last):
    """What an evaluation may change: disagreement of neighbors, near the limit of the hottest.

    Args:
        last: the hottest come before all others.
    """
    grid = ops.reshape(drops, (1, *counts, 1))
    high, low = (ops.max_pool(x, 3, 1, "same", "channels_last") for x in (grid, -grid))
    limit = ops.sort(drops)[-max(1, round(HOTTEST * int(np.prod(counts))))]
    spread = ops.reshape(high + low, (-1,))
    worth = ops.divide_no_nan(spread, ops.abs(drops - limit) + 1e-3 * ops.max(spread))
    # At most 1000 by construction.
    return ops.where(drops >= limit, worth + 1e4, worth) if last else worth
