"""All metrics by name: what each reads, which direction is better, what it costs."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_explain.checks import nearest
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Target
from keras_explain.metrics.axioms import completeness
from keras_explain.metrics.confidence import average_drop, increase_in_confidence
from keras_explain.metrics.curves import deletion, insertion
from keras_explain.metrics.evaluator import Evaluator
from keras_explain.metrics.localization import energy_pointing_game, pointing_game
from keras_explain.metrics.removal import infidelity, sensitivity_n
from keras_explain.metrics.robustness import max_sensitivity
from keras_explain.metrics.simplicity import complexity, sparseness
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Inputs, Score

Metrics = str | Callable[..., Any] | Sequence[str | Callable[..., Any]]


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a metric is.

    Args:
        name: of its function.
        function: what computes it.
        best: "higher" or "lower".
        reads: "model" (and inputs and heatmaps), "maps" (heatmaps alone), "regions" (heatmaps
            and where the object is) or "method" (computes heatmaps again).
        forwards: forward passes per image, in words.
    """

    name: str
    function: Callable[..., np.ndarray]
    best: Literal["higher", "lower"]
    reads: Literal["model", "maps", "regions", "method"]
    forwards: str

    def __call__(
        self, evaluator: Evaluator, x: Inputs, heatmaps: Array, target: Target = None, *,
        regions: Array | None = None, explained: keras.Model | None = None,
    ) -> np.ndarray:
        """The numbers (N,); arguments that the metric does not read are left out.

        Args:
            evaluator: of the model.
            x: inputs as the model takes them, N examples.
            heatmaps: (N, ...).
            target: the class that is watched; None for the evaluator's.
            regions: where the object is, for the pointing games.
            explained: the explained model, for metrics that compute heatmaps again.
        """
        if self.reads == "maps":
            return self.function(heatmaps)
        if self.reads == "regions":
            return self.function(heatmaps, regions)
        if self.reads == "method":
            return self.function(explained, x, verbose=evaluator.verbose)
        return self.function(evaluator, x, heatmaps, target=target)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("deletion", deletion, "lower", "model", "steps + 1"),
        Metric("insertion", insertion, "higher", "model", "steps + 1"),
        Metric("average_drop", average_drop, "lower", "model", "2"),
        Metric("increase_in_confidence", increase_in_confidence, "higher", "model", "2"),
        Metric("sensitivity_n", sensitivity_n, "higher", "model", "samples + 1"),
        Metric("infidelity", infidelity, "lower", "model", "samples + 1"),
        Metric("completeness", completeness, "lower", "model", "2"),
        Metric("max_sensitivity", max_sensitivity, "lower", "method", "samples + 1 heatmaps"),
        Metric("pointing_game", pointing_game, "higher", "regions", "0"),
        Metric("energy_pointing_game", energy_pointing_game, "higher", "regions", "0"),
        Metric("complexity", complexity, "lower", "maps", "0"),
        Metric("sparseness", sparseness, "higher", "maps", "0"),
    )
}


def find(metric: str | Callable[..., Any]) -> Metric:
    """The Metric behind a name, a metric function, or a `functools.partial` of one.

    Raises:
        ValueError: an unknown name (the nearest are listed) or function.
    """
    if isinstance(metric, Metric):
        return metric
    function = getattr(metric, "func", metric)
    for known in METRICS.values():
        if metric == known.name:
            return known
        if function is known.function:
            return dataclasses.replace(known, function=metric)
    near = nearest(metric, METRICS) or list(METRICS)
    raise ValueError(
        f"Expected a metric by name, or one of the functions of keras_explain.metrics (with"
        f" options: functools.partial), received {metric!r}. Did you mean one of {near}?"
    )


class Meter:
    """Metrics of batches of heatmaps as plain numbers, for callbacks and logs.

    Builds each graph once, and follows the model's weights: make one, call it every epoch.

    Args:
        model: a `keras.Model` or an explained model.
        metrics: names, functions or partials of metrics that need only the model, inputs and
            heatmaps. Deletion and insertion take 20 steps unless a partial says more.
        target: the class that is watched. None: each example's top class, or the target of the
            explained model.
        output, input: name or index, for models with several.
        score: "probability" or "logit"; None leaves the choice to each metric.
        batch_size: forward passes at a time. It bounds the memory and changes no number.
        verbose: whether progress is shown: 0 never, 1 always, "auto" on a terminal.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(2, activation="softmax")])
        >>> explained, x = kx.saliency(model), np.random.rand(4, 8, 8, 3)
        >>> meter = Meter(explained, metrics=["deletion", "sparseness"])
        >>> list(meter(x, explained(x)["heatmap"]))
        ['deletion', 'sparseness']
    """

    def __init__(
        self, model: keras.Model, metrics: Metrics = ("deletion", "insertion"), *,
        target: Target = None, output: str | int | None = None, input: str | int | None = None,
        score: Score | None = None, batch_size: int = 64, verbose: Verbose = 0,
    ) -> None:
        self.metrics = _of_batches(metrics)
        self.evaluator = Evaluator(model, target=target, output=output, input=input, score=score,
                                   batch_size=batch_size, verbose=verbose)

    def __call__(
        self, x: Inputs, heatmaps: Array, *, target: Target = None
    ) -> dict[str, float]:
        """Mean over the batch of each metric, {name: float}; NaN where none has a value."""
        found = {}
        for metric in self.metrics:
            numbers = np.asarray(metric(self.evaluator, x, heatmaps, target))
            numbers = numbers[np.isfinite(numbers)]
            found[metric.name] = float(numbers.mean()) if len(numbers) else math.nan
        return found


def logged(
    *metrics: str | Callable[..., Any], output: str | int | None = None,
    input: str | int | None = None, score: Score | None = None, batch_size: int = 64,
) -> dict[str, Callable[..., np.ndarray]]:
    """Metrics as `ExplanationCallback` takes them: {name: function of an epoch's heatmaps}.

    Args:
        *metrics: names, functions or partials of metrics that need only the model, inputs and
            heatmaps.
        output, input: name or index, for models with several.
        score: "probability" or "logit"; None leaves the choice to each metric.
        batch_size: forward passes at a time. It bounds the memory and changes no number.

    Returns:
        A dict from the metric's name to a function `(explained, inputs, columns)` that gives one
        number for each example.

    Example:
        >>> list(logged("deletion", "insertion"))  # ExplanationCallback(metrics=...)
        ['deletion', 'insertion']
    """
    evaluators = {}

    def function(metric):
        def run(explained, inputs, columns):
            if id(explained) not in evaluators:  # kept with its key, so that no id comes back
                model = explained if isinstance(explained, ExplainedModel) else explained.model
                evaluators[id(explained)] = Evaluator(
                    model, output=output, input=input, score=score, batch_size=batch_size,
                    verbose=0), explained
            evaluator, _ = evaluators[id(explained)]
            if len(columns) != 1:
                raise ValueError(
                    "Expected heatmaps of one input, received those of"
                    f" {len(columns)}. Build the explanation with `input=`."
                )
            (column,) = columns.values()
            maps = column.maps if column.maps is not None else np.stack(column.weights)
            return metric(evaluator, inputs, maps)

        return run

    return {metric.name: function(metric) for metric in _of_batches(metrics)}


def _of_batches(metrics):
    """Metrics that need the model, inputs and heatmaps only; curves with fewer steps."""
    names = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics
    found = [find(m) for m in names]
    for metric in found:
        if metric.reads not in ("model", "maps"):
            raise ValueError(
                "Expected metrics that need the model, inputs and heatmaps only, received"
                f" {metric.name!r}. Call keras_explain.metrics.{metric.name} itself."
            )
    return [dataclasses.replace(m, function=functools.partial(m.function, steps=20))
            if m.function in (deletion, insertion) else m for m in found]
