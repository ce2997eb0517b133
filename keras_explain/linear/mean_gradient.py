"""The average gradient of a model over data: a linear model that stands for it."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np

from keras_explain.checks import is_integer
from keras_explain.data.batches import batches
from keras_explain.graph import targets
from keras_explain.graph.vectorizer import feature_names as vocabulary_of
from keras_explain.linear._input_gradient import InputGradient
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Data, Score


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature's average slope: its name, the mean and the standard error of the mean."""

    name: str
    mean: float
    standard_error: float


@dataclasses.dataclass(frozen=True)
class MeanGradient:
    """What `mean_gradient` found.

    Attributes:
        mean: float64 `(features...)` for one class, `(classes, features...)` for all.
        standard_error: of each mean, same shape: its standard deviation over the data divided
            by the root of `count`. 0 for a linear model.
        intercept: `()` or `(classes,)`: with it the linear model `mean . x + intercept` has the
            model's own average score.
        count: number of examples.
        target: the class, or None for all.
        feature_names: of the features, or None.
        score: "logit", "log_odds" or "probability".
    """

    mean: np.ndarray
    standard_error: np.ndarray
    intercept: np.ndarray
    count: int
    target: int | None = None
    feature_names: list[str] | None = None
    score: Score = "logit"

    def scores(self, points: Array) -> np.ndarray:
        """Scores of the linear model, `(N, classes)`, at `points` of shape `(N, features...)`."""
        intercept = np.atleast_1d(self.intercept)
        weights = self.mean.reshape(len(intercept), -1)
        return np.reshape(points, (len(points), -1)).astype("float64") @ weights.T + intercept

    def top(
        self, k: int = 10, *, target: int | None = None
    ) -> tuple[list[Feature], list[Feature]]:
        """The features with the largest and the smallest mean, as two lists of `Feature`.

        Args:
            k: how many of each.
            target: the class, where `mean` has one row for each.
        """
        mean, error = self.mean, self.standard_error
        if np.ndim(self.intercept):
            if target is None or not 0 <= target < len(mean):
                raise ValueError(
                    f"Expected `target` from 0 to {len(mean) - 1}, the class whose features are"
                    f" ranked, received {target!r}. The gradient was taken of every class."
                )
            mean, error = mean[target], error[target]
        mean, error = mean.ravel(), error.ravel()
        order = np.argsort(mean, kind="stable")
        names = self.feature_names or [str(i) for i in range(len(mean))]

        def features(indices):
            return [Feature(names[i], float(mean[i]), float(error[i])) for i in indices]

        return features(order[::-1][:k]), features(order[:k])


def mean_gradient(
    model: keras.Model, data: Data, *, target: int | None = None,
    output: str | int | None = None, input: str | int | None = None, score: Score = "logit",
    feature_names: Sequence[str] | None = None, batch_size: int = 128, verbose: Verbose = "auto",
) -> MeanGradient:
    """Average the gradient of the score over data: what the model learned, feature by feature.

    A coefficient of a linear model says how the score moves with a feature. For any other
    model that slope depends on the example; its average says what a linear model would say,
    and its standard error how much to believe it. Features are words of a bag of words,
    columns of a table, pixels. With strings going in, the gradient is taken behind the
    `TextVectorization` layer and features are its vocabulary.

    Reference: Hechtlinger 2016, "Interpretation of Prediction Models Using the Input Gradient",
    https://arxiv.org/abs/1611.07634.

    Args:
        model: a built `keras.Model`; never changed.
        data: anything that `model.fit` takes; labels are ignored. Read once, batch by batch:
            memory does not grow with the data.
        target: a class; None is every class, or the only one of a single unit.
        output, input: name or index, for models with several.
        score: "logit", "log_odds" or "probability".
        feature_names: names of the features, in order.
        batch_size: rows of a batch, where `data` is arrays.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `MeanGradient`.

    Raises:
        TypeError: `model` is no `keras.Model`, or `target` no class.
        ValueError: a class out of range, no data, features whose number differs between
            batches (token sequences), not as many names as features, or a model that keeps state
            from call to call.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.layers[0].set_weights([np.array([[3.0], [-1.0]]), np.array([2.0])])
        >>> gradient = mean_gradient(model, np.random.rand(10, 2), feature_names=["good", "bad"])
        >>> [feature.name for feature in gradient.top(1)[0]]
        ['good']
    """
    gradient = InputGradient(model, score=score, input=input, output=output)
    return average(gradient, data, target, feature_names, batch_size, verbose)


def average(gradient, data, target=None, feature_names=None, batch_size=128, verbose=0):
    """`mean_gradient` with an `InputGradient` that is compiled already."""
    question = gradient.question
    target = _check_target(target, question.classes)
    chosen = gradient.classes() if target is None else [target]
    slopes, points, levels = [_Moments() for _ in chosen], _Moments(), _Moments()
    for x, _ in batches(data, None, batch_size, verbose):
        for moments, index in zip(slopes, chosen, strict=True):
            out = gradient(x, index)
            moments.add(out["gradient"])
        points.add(out["point"])
        levels.add(out["scores"][:, chosen])
    if not points.count:
        raise ValueError("Expected data to average over, received none. Pass some examples.")
    mean = np.stack([m.mean for m in slopes])
    error = np.stack([m.standard_error() for m in slopes])
    intercept = levels.mean - mean.reshape(len(chosen), -1) @ points.mean.ravel()
    if len(chosen) == 1:
        mean, error, intercept = mean[0], error[0], intercept[0]
    names = feature_names
    if names is None:
        names = vocabulary_of(question.program, gradient.cut[0])
    if names is not None and len(names) != points.mean.size:
        raise ValueError(
            f"Expected `feature_names` for {points.mean.size} features, received {len(names)}. Name"
            " every feature, in the order of the inputs."
        )
    return MeanGradient(
        mean, error, intercept, points.count, chosen[0] if len(chosen) == 1 else None,
        None if names is None else [str(name) for name in names], question.score,
    )


class _Moments:
    """Mean and squared deviations of rows that come in batches, in float64.

    Welford's update in the form for batches: Chan, Golub, LeVeque 1979.
    """

    def __init__(self):
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, rows):
        rows = rows.astype("float64")
        if self.count and rows.shape[1:] != self.mean.shape:
            raise ValueError(
                f"Expected the same features in every batch, received shapes {self.mean.shape} and"
                f" {rows.shape[1:]}. Pad all batches to one length."
            )
        count, mean = len(rows), rows.mean(axis=0)
        shift, total = mean - self.mean, self.count + count
        self.squares = (self.squares + ((rows - mean) ** 2).sum(axis=0)
                        + shift**2 * (self.count * count / total))
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def standard_error(self):
        if self.count < 2:
            return np.full_like(self.mean, np.nan)
        return np.sqrt(self.squares / (self.count - 1) / self.count)


def _check_target(target, classes):
    if target is None:
        return None
    if not is_integer(target):
        raise TypeError(
            f"Expected `target` to be None (every class) or a class index, received {target!r}."
            " Count classes from 0."
        )
    return targets.check(target, classes)
