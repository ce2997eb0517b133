"""The nearest point on the other side of a boundary, among the changes that are allowed."""

from typing import NamedTuple

import numpy as np

from keras_explain.data.columns import repeat

_STARTS = 48  # rows of the table from which the walk begins
_HALVINGS = 40
_ROUNDS = 8  # of steps along the boundary
_STEP = 1e-3  # of a standard deviation, over which slopes are measured
_FURTHER = (1.0, 1.001, 1.01, 1.05, 1.2, 1.5, 2.0)  # where a step does not reach the boundary


class Point(NamedTuple):
    """A changed row.

    Args:
        numbers: `(A,)`, its columns of numbers in standard deviations from the row.
        sources: `(B,)` ints, for each category the table's row that it is taken from; -1: as it is.
        distance: from the row.
    """

    numbers: np.ndarray
    sources: np.ndarray
    distance: float


class Space:
    """What may change in a row, and how far that is.

    Args:
        table: a `Table`.
        row: as `check_row` gives it.
        frozen, increasing, decreasing: names, see `counterfactuals`.

    Raises:
        ValueError: unknown names, or categories that are to grow or fall.
    """

    def __init__(self, table, row, frozen, increasing, decreasing):
        self.table, self.row = table, row
        names = [part.name for part in table.parts]
        for name in (*frozen, *increasing, *decreasing):
            if name not in names:
                raise ValueError(f"Expected names of columns, received {name!r}. Columns are"
                                 f" {names}.")
        is_number = [part.codes is None or part.edges is not None for part in table.parts]
        self.numbers = [p for p, n in zip(table.parts, is_number, strict=True) if n]
        self.kinds = [p for p, n in zip(table.parts, is_number, strict=True) if not n]
        for name in (*increasing, *decreasing):
            if name not in [p.name for p in self.numbers]:
                raise ValueError(f"Expected columns of numbers that grow or fall, received"
                                 f" {name!r}, which has categories. Freeze it instead.")
        self.scales = np.array([table.scale(p) or 1.0 for p in self.numbers])
        self.origin = np.array([row[p.columns[0]] for p in self.numbers], "float64")
        self.low = np.array([0.0 if p.name in (*frozen, *increasing) else -np.inf
                             for p in self.numbers])
        self.high = np.array([0.0 if p.name in (*frozen, *decreasing) else np.inf
                              for p in self.numbers])
        self._widen()
        self.fixed = np.array([p.name in frozen for p in self.kinds], bool)
        self.own = [table.code(p, row) for p in self.kinds]
        self.is_whole = np.array([
            table.columns[p.columns[0]].dtype.kind in "iu" and not
            table.frame.columns[p.columns[0]].is_date for p in self.numbers], bool)

    def _widen(self):
        """Limits where the table's values end: half of their range beyond them."""
        for i, part in enumerate(self.numbers):
            values = self.table.columns[part.columns[0]]
            ends = np.array([values.min(), values.max()], "float64")
            ends += np.array([-0.5, 0.5]) * (ends[1] - ends[0])
            low, high = (ends - self.origin[i]) / self.scales[i]
            self.low[i], self.high[i] = max(self.low[i], min(low, 0)), min(
                self.high[i], max(high, 0))

    def columns(self, numbers, sources):
        """The table's columns of points `(n, A)` and `(n, B)`."""
        columns = [repeat(value, len(numbers)) for value in self.row]
        for i, part in enumerate(self.numbers):
            moved = self.origin[i] + numbers[:, i] * self.scales[i]
            columns[part.columns[0]] = np.where(
                numbers[:, i] == 0, np.float64(self.origin[i]), moved)
            if self.is_whole[i]:
                whole = self._round_outward(moved, self.origin[i])
                columns[part.columns[0]] = whole.astype(self.table.columns[part.columns[0]].dtype)
        for i, part in enumerate(self.kinds):
            for c in part.columns:
                columns[c] = np.where(
                    sources[:, i] < 0, columns[c], self.table.columns[c][sources[:, i]])
        return columns

    def starts(self, blocked):
        """The table's rows as points, in what may change and is not `blocked`."""
        low, high, fixed = self.limits(blocked)
        rows = np.arange(len(self.table))
        numbers = np.stack([
            (self.table.columns[p.columns[0]] - o) / s
            for p, o, s in zip(self.numbers, self.origin, self.scales, strict=True)
        ], axis=1) if self.numbers else np.zeros((len(rows), 0))
        sources = np.stack([
            np.where((part.codes == own) | bool(held), -1, rows)
            for part, own, held in zip(self.kinds, self.own, fixed, strict=True)
        ], axis=1) if self.kinds else np.zeros((len(rows), 0), int)
        return np.clip(numbers, low, high), sources

    def limits(self, blocked):
        """The lowest and highest change of each number, and which categories stay."""
        stay = np.array([p.name in blocked for p in self.numbers], bool)
        return (np.where(stay, 0.0, self.low), np.where(stay, 0.0, self.high),
                self.fixed | np.array([p.name in blocked for p in self.kinds], bool))

    def distances(self, numbers, sources):
        """`(n,)`, from the row; whole numbers where they are rounded to."""
        numbers = numbers.copy()
        for i in np.flatnonzero(self.is_whole):
            moved = self.origin[i] + numbers[:, i] * self.scales[i]
            numbers[:, i] = (self._round_outward(moved, self.origin[i]) - self.origin[i]
                             ) / self.scales[i]
        return np.sqrt((numbers**2).sum(axis=1) + (sources >= 0).sum(axis=1))

    def largest_change(self, point):
        """The name of what differs most."""
        names = [p.name for p in (*self.numbers, *self.kinds)]
        sizes = np.concatenate([np.abs(point.numbers), point.sources >= 0])
        return names[int(sizes.argmax())]

    @staticmethod
    def _round_outward(moved, origin):
        near = np.round(moved)
        exact = np.abs(moved - near) < 1e-6  # rounding of the way there and back
        return np.where(exact, near, np.where(moved > origin, np.ceil(moved), np.floor(moved)))


class Nearest:
    """Looks for the nearest point with a margin above 0.

    Args:
        space: a `Space`.
        margin: from the table's columns to `(n,)` numbers.
    """

    def __init__(self, space, margin):
        self.space, self._margin = space, margin

    def __call__(self, blocked):
        """The nearest `Point` that leaves the names in `blocked` as they are; None without any."""
        space = self.space
        limits = space.limits(blocked)[:2]
        numbers, sources = self._add_slopes(*space.starts(blocked), limits)
        reached = self._ask(numbers, sources) > 0
        numbers, sources = numbers[reached], sources[reached]
        order = np.argsort(space.distances(numbers, sources), kind="stable")[:_STARTS]
        numbers, sources = numbers[order], sources[order]
        if not len(numbers):
            return None
        for _ in range(2):  # what is taken back may let the rest come nearer
            numbers = self._come_near(numbers, sources, limits)
            numbers, sources = self._take_back(numbers, sources)
        distances = space.distances(numbers, sources)
        best = int(distances.argmin())
        return Point(numbers[best], sources[best], float(distances[best]))

    def _add_slopes(self, numbers, sources, limits):
        """The starts, and points along the slopes at the row: no row may lie far enough."""
        if not numbers.shape[1]:
            return numbers, sources
        own, stay = np.zeros_like(numbers[:1]), np.full_like(sources[:1], -1)
        slopes = self._find_free(self._slopes(own, stay), limits)
        size = (slopes**2).sum()
        step = -self._ask(own, stay)[0] * slopes / size if size > 0 else own
        reach = np.concatenate([np.clip(step * f, *limits) for f in (*_FURTHER, 4.0, 16.0)])
        return np.concatenate([numbers, reach]), np.concatenate(
            [sources, np.repeat(stay, len(reach), axis=0)])

    def _ask(self, numbers, sources):
        if not len(numbers):
            return np.zeros(0)
        return self._margin(self.space.columns(numbers, sources))

    def _come_near(self, numbers, sources, limits):
        """The same categories, with numbers on the boundary, at its nearest point."""
        numbers = self._bisect(numbers, sources)
        for _ in range(_ROUNDS):
            steps = self._project(numbers, self._slopes(numbers, sources), limits)
            tried = np.zeros_like(numbers)
            done = np.zeros(len(numbers), bool)
            for factor in _FURTHER:
                further = np.clip(steps * factor, *limits)
                hit = ~done & (self._ask(further, sources) > 0)
                tried[hit], done = further[hit], done | hit
            nearer = self._bisect(tried[done], sources[done])
            better = (nearer**2).sum(axis=1) < (numbers[done] ** 2).sum(axis=1) * (1 - 1e-9)
            if not better.any():
                break
            numbers[np.flatnonzero(done)[better]] = nearer[better]
        return numbers

    def _bisect(self, numbers, sources):
        """The first point with a margin above 0 on the way from the row, to rounding."""
        low, high = np.zeros(len(numbers)), np.ones(len(numbers))
        without = self._ask(numbers * 0.0, sources) > 0
        high[without] = 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            hit = self._ask(numbers * middle[:, None], sources) > 0
            low, high = np.where(hit, low, middle), np.where(hit, middle, high)
        return numbers * high[:, None]

    def _slopes(self, numbers, sources):
        """How the margin follows each number, `(n, A)`."""
        count, size = numbers.shape
        moves = np.concatenate([np.eye(size), -np.eye(size)]) * _STEP
        around = (numbers[:, None] + moves).reshape(-1, size)
        asked = self._ask(around, np.repeat(sources, 2 * size, axis=0)).reshape(count, 2, size)
        return (asked[:, 0] - asked[:, 1]) / (2 * _STEP)

    def _project(self, numbers, slopes, limits):
        """The nearest point to the row in the plane through a point, within the limits."""
        slopes = self._find_free(slopes, limits)
        size = (slopes**2).sum(axis=1)
        needed = (slopes * numbers).sum(axis=1)
        return slopes * (needed / np.where(size > 0, size, 1.0))[:, None]

    @staticmethod
    def _find_free(slopes, limits):
        """The slopes, 0 where a number may not follow them."""
        held = ((limits[0] == 0) & (slopes < 0)) | ((limits[1] == 0) & (slopes > 0))
        return np.where(np.isfinite(slopes) & ~held, slopes, 0.0)

    def _take_back(self, numbers, sources):
        """Without the changes that are not needed, the smallest first."""
        numbers, sources = numbers.copy(), sources.copy()
        for turn in range(numbers.shape[1]):
            place = np.argsort(np.abs(numbers), axis=1, kind="stable")[:, turn]
            self._try(numbers, sources, numbers, place, 0.0)
        for kind in range(sources.shape[1]):
            self._try(numbers, sources, sources, np.full(len(sources), kind), -1)
        return numbers, sources

    def _try(self, numbers, sources, changed, place, value):
        rows = np.arange(len(changed))
        before = changed[rows, place].copy()
        changed[rows, place] = value
        failed = ~(self._ask(numbers, sources) > 0)
        changed[rows[failed], place[failed]] = before[failed]
