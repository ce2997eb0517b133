"""Scores of methods by metrics: means, intervals, rankings, and how they are written down."""

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_explain.metrics import _comparison_figure
from keras_explain.signatures import Inputs
from keras_explain.terminal import escape_markdown

if TYPE_CHECKING:
    import matplotlib.figure

RESAMPLES = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Scores of every method by every metric.

    Args:
        scores: {method: {metric: (N,)}}; NaN where a metric says nothing.
        best: {metric: "higher" or "lower"}.
        baselines: names of the methods that know nothing of the model.
        seconds: {method: time per image to compute its heatmaps, the first trace included}.
        heatmaps: {method: (N, ...)}.
        x: the inputs.
        classes: (N,), the explained class of each.
        confidence: of the intervals.
        seed: of everything random.
        disagreement: {method: (N, ...)} for those that average several fills: the spread between
            them, by which their maps are faded where `report` draws them.
    """

    scores: dict[str, dict[str, np.ndarray]]
    best: dict[str, str]
    baselines: tuple[str, ...]
    seconds: dict[str, float]
    heatmaps: dict[str, np.ndarray]
    x: Inputs
    classes: np.ndarray
    confidence: float
    seed: int
    disagreement: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """The names of the methods."""
        return list(self.scores)

    def mean(self, method: str, metric: str) -> float:
        """Mean over the images for which the metric has a value."""
        return self._estimate(self.scores[method][metric])[0]

    def interval(self, method: str, metric: str) -> tuple[float, float]:
        """Bootstrap confidence interval (percentiles over images) of the mean: (low, high)."""
        return self._estimate(self.scores[method][metric])[1:]

    def difference(self, method: str, other: str, metric: str) -> tuple[float, float, float]:
        """Mean paired difference of two methods and its interval: (mean, low, high).

        Images differ more than methods do, so the paired difference is what tells them apart.
        """
        return self._estimate(self.scores[method][metric] - self.scores[other][metric])

    def beats_baselines(self, method: str, metric: str) -> bool:
        """Whether the method is better than each baseline, by the paired interval."""
        if method in self.baselines:
            return False
        sign = 1 if self.best[metric] == "higher" else -1
        bounds = [self.difference(method, b, metric)[1:] for b in self.baselines]
        return all(min(sign * low, sign * high) > 0 for low, high in bounds)

    def ranking(self, metric: str) -> list[str]:
        """The methods, best first; those without a value come last."""
        sign = -1 if self.best[metric] == "higher" else 1
        means = {m: sign * self.mean(m, metric) for m in self.methods}
        return sorted(means, key=lambda m: (np.isnan(means[m]), means[m]))

    def rows(self) -> list[dict[str, Any]]:
        """One dict for each method and metric: method, metric, mean, low, high, count, ..."""
        found = []
        for method, by_metric in self.scores.items():
            for metric, numbers in by_metric.items():
                mean, low, high = self._estimate(numbers)
                found.append({
                    "method": method, "metric": metric, "best": self.best[metric], "mean": mean,
                    "low": low, "high": high, "count": int(np.isfinite(numbers).sum()),
                    "beats_baselines": self.beats_baselines(method, metric),
                    "seconds": self.seconds[method],
                })
        return found

    def to_pandas(self) -> Any:
        """The rows as a `pandas.DataFrame`; pandas is not a dependency of keras_explain."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "Expected pandas, found none. Run: pip install pandas, or use `rows()`."
            ) from error
        return pandas.DataFrame(self.rows())

    def to_markdown(self) -> str:
        """A table: one line a method, one column a metric, intervals in brackets."""
        arrow = {"higher": "↑", "lower": "↓"}
        heads = [f"{m} {arrow[b]}" for m, b in self.best.items()]
        lines = ["| method | " + " | ".join(heads) + " | s/image |",
                 "|---|" + "---:|" * (len(heads) + 1)]
        leaders = {m: self._find_leaders(m) for m in self.best}
        for method in self.methods:
            name = escape_markdown(method)
            name = f"*{name}*" if method in self.baselines else name
            cells = [self._cell(method, metric, leaders[metric]) for metric in self.best]
            seconds = self.seconds[method]
            time = "" if method in self.baselines else f"{seconds:.2g}"
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {time} |")
        lines += ["", f"{len(self.classes)} images; mean [{self.confidence:.0%} bootstrap"
                  " interval]; **bold**: the best, and what cannot be told from it image by image;"
                  " ✓: better than every *baseline*, image by image."]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        methods = [m for m in self.methods if m not in self.baselines]
        return (f"<Comparison of {', '.join(methods)} by {', '.join(self.best)} on"
                f" {len(self.classes)} inputs>")

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def figure(self) -> "matplotlib.figure.Figure":
        """Mean and interval of every method, a panel for each metric: a matplotlib Figure."""
        return _comparison_figure.draw(self)

    def report(self, folder: str | os.PathLike) -> str:
        """Write comparison.md, scores.png and, for images, maps.png.

        Returns:
            The path of the Markdown file.
        """
        os.makedirs(folder, exist_ok=True)
        self.figure().savefig(os.path.join(folder, "scores.png"))
        parts = ["# Comparison of explanations", "", self.to_markdown(), "", "![](scores.png)", ""]
        picture = _comparison_figure.maps(self)
        if picture is not None:
            picture.savefig(os.path.join(folder, "maps.png"))
            parts += ["The first image:", "", "![](maps.png)", ""]
        parts += [f"Seed {self.seed}. A metric's weakness is in its docstring:"
                  " `keras_explain.metrics`.", ""]
        path = os.path.join(folder, "comparison.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(parts))
        return path

    def _find_leaders(self, metric):
        """The best method, and those whose paired difference from it may be none."""
        first = self.ranking(metric)[0]
        found = {first}
        for method in self.methods:
            _, low, high = self.difference(method, first, metric)
            if low <= 0 <= high:
                found.add(method)
        return found

    def _cell(self, method, metric, leaders):
        mean, low, high = self._estimate(self.scores[method][metric])
        if np.isnan(mean):
            return "–"
        text = f"**{mean:.3g}**" if method in leaders else f"{mean:.3g}"
        mark = " ✓" if self.beats_baselines(method, metric) else ""
        return f"{text} [{low:.3g}, {high:.3g}]{mark}"

    def _estimate(self, numbers):
        numbers = numbers[np.isfinite(numbers)]
        if len(numbers) == 0:
            return (float("nan"),) * 3
        rng = np.random.default_rng(self.seed)
        means = numbers[rng.integers(0, len(numbers), (RESAMPLES, len(numbers)))].mean(axis=1)
        tail = (1 - self.confidence) / 2
        return float(numbers.mean()), *map(float, np.quantile(means, [tail, 1 - tail]))
