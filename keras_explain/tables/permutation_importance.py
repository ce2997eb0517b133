"""Permutation importance: what is lost when the values of a column are shuffled."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_explain.checks import check_positive
from keras_explain.lime._table_scores import make_scores
from keras_explain.lime.table import Table
from keras_explain.progress import Progress, Verbose
from keras_explain.signatures import Array


@dataclasses.dataclass(frozen=True, eq=False)
class PermutationImportance:
    """By how much the loss rises when a column tells nothing, with its uncertainty.

    Args:
        names: of the columns, `(F,)`; one-hot columns that belong together are one.
        means: `(F,)`, the mean rise of the loss.
        errors: `(F,)`, the standard errors of these means over the rows, each of which counts
            where it gets another value and where it gives its own (a U-statistic's).
        loss: the mean loss of the table as it is.
    """

    names: tuple[str, ...]
    means: Array
    errors: Array
    loss: float

    @property
    def intervals(self) -> np.ndarray:
        """`(F, 2)`: where each mean lies with a confidence of 95 %."""
        return self.means[:, None] + 1.96 * np.array([-1.0, 1.0]) * self.errors[:, None]

    def order(self) -> np.ndarray:
        """Indices of the columns, the most important first."""
        return np.argsort(-self.means, kind="stable")


def permutation_importance(
    model: Any, data: Any, y: Any, *, preprocess: Callable[..., Any] | None = None,
    loss: Callable[..., Any] | None = None, repeats: int = 5, seed: int = 0,
    batch_size: int = 512, verbose: Verbose = "auto",
) -> PermutationImportance:
    """Shuffle one column after the other and measure how much worse the model answers.

    It speaks of the model on these data: use examples that it was not trained on. Columns that
    say the same share their importance, so that both may look idle; and shuffled rows may be ones
    that do not occur.

    Reference: Breiman 2001, "Random Forests", https://doi.org/10.1023/A:1010933404324; Fisher,
    Rudin and Dominici 2019, "All Models are Wrong, but Many are Useful",
    https://arxiv.org/abs/1801.01489.

    Args:
        model: a Keras model of rows or of an input for each column, a callable from rows to
            scores `(N,)` or `(N, classes)`, or a `lime.Predictor`.
        data: a table, see `lime.Table`; or a `Table`, whose groups are shuffled together.
        y: `(N,)`, true classes as integers from 0, or true numbers.
        preprocess: from a batch of rows like `data` to the model's input.
        loss: from `y` and the scores `(N, classes)` to a loss for each row, `(N,)`. None: the
            squared error of a single score, the logarithmic loss of several.
        repeats: how often each column is shuffled.
        seed: of the shuffles.
        batch_size: the largest number of rows that the model sees at once.
        verbose: "auto", 0 or 1, whether progress is shown.

    Returns:
        A `PermutationImportance`; `plots.importance` draws it.

    Raises:
        ValueError: another number of answers than rows, or losses that are not one for each row.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(500, 2))
        >>> model = lambda rows: 3.0 * rows[:, 0]
        >>> found = permutation_importance(model, rows, 3.0 * rows[:, 0], verbose=0)
        >>> bool(abs(found.means[0] - 18) < 3), float(found.means[1])
        (True, 0.0)
    """
    table = data if isinstance(data, Table) else Table(data, bins=None)
    repeats, y = check_positive("repeats", repeats), np.asarray(y)
    if len(y) != len(table):
        raise ValueError(f"Expected an answer in `y` for each of the {len(table)} rows of `data`,"
                         f" received {len(y)}. Give both in one order.")
    ask = make_scores(model, table, preprocess)
    measure = loss or _loss
    clean = _check(measure(y, ask(table.columns, batch_size=batch_size)), len(y))
    rng = np.random.default_rng(seed)
    progress = Progress(len(table.parts) * repeats, "shuffles", verbose)
    rises = np.zeros((len(table.parts), 2, len(y)))  # where a row gets values, and gives its own
    for i, part in enumerate(table.parts):
        for _ in range(repeats):
            columns, order = list(table.columns), rng.permutation(len(y))
            for column in part.columns:
                columns[column] = columns[column][order]
            scores = ask(columns, batch_size=batch_size)
            rise = (_check(measure(y, scores), len(y)) - clean) / repeats
            rises[i, 0] += rise
            rises[i, 1, order] += rise
            progress.advance(1)
    progress.close("")
    return PermutationImportance(
        tuple(part.name for part in table.parts), rises[:, 0].mean(axis=1),
        rises.sum(axis=1).std(axis=1, ddof=1) / np.sqrt(len(y)), float(clean.mean()))


def _loss(y, scores):
    """The squared error, or the logarithmic loss of probabilities or logits."""
    if scores.shape[1] == 1:
        return (np.reshape(y, (-1,)) - scores[:, 0]) ** 2
    scores = scores.astype("float64")
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        scores = np.log(np.maximum(scores, 1e-12))
    highest = scores.max(axis=1, keepdims=True)
    sums = np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0]
    chosen = np.reshape(y, (-1,))
    if chosen.dtype.kind not in "biu" or chosen.min() < 0 or chosen.max() >= scores.shape[1]:
        raise ValueError(
            f"Expected classes from 0 to {scores.shape[1] - 1} in `y`, because the model has so"
            f" many scores, received {chosen[:3].tolist()} and others. Number them in the order of"
            " the scores, or pass `loss`.")
    return sums - scores[np.arange(len(y)), chosen.astype(int)]


def _check(losses, count):
    losses = np.asarray(losses, "float64")
    if losses.shape != (count,):
        raise ValueError(f"Expected `loss` to give one number for each row, shape ({count},),"
                         f" received {losses.shape}. Leave out its mean.")
    return losses
