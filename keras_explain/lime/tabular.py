"""LIME for tables: which values of a row speak for a class."""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from keras_explain.checks import check_integer
from keras_explain.data.columns import repeat
from keras_explain.lime._arguments import Arguments
from keras_explain.lime._background import (
    DistinctRows,
    draw_background,
    summarize_background,
)
from keras_explain.lime._base import LimeExplainer, make_explanation
from keras_explain.lime._local import Problem
from keras_explain.lime._options import ExplainerOptions, ExplainOptions
from keras_explain.lime._subjects import TabularSubject
from keras_explain.lime._table_scores import TableScores
from keras_explain.lime.explanation import Explanation
from keras_explain.lime.surrogate import DecisionTree
from keras_explain.lime.table import Table
from keras_explain.signatures import spell_out

_NUM_FEATURES = 10
_ROWS = 512  # at once: calls of less cost more than the rows in them


class LimeTabularExplainer(LimeExplainer):
    """Explains a classifier or regressor of tables by the values that raise or lower its score.

    A feature is taken out by giving it the value of a random example that differs in it (another
    quartile, another category), so perturbed rows stay within what occurs. The weight is what is
    lost when the row's own value is gone. With `kernel="shapley"` a feature that is out is averaged
    over examples.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you? Explaining the
    predictions of any classifier", KDD, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model of rows `(N, F)`, a callable from rows to scores `(N,)` or
            `(N, classes)`, or a `Predictor`. A callable gets tables of the kind that `data` is;
            so does a Keras model with several inputs, one for each column.
        data: a `Table`, which also says what is categorical and what belongs together, or just
            examples: a NumPy array `(n, F)`, a data frame of pandas or polars, a sparse matrix, or
            a dict from names to columns `(n,)`.
        preprocess: from a batch of rows like `data` to the model's input.
        batch_size: the largest number of rows that the model sees at once. None: 512, and 4,096
            with `kernel="shapley"`, which averages over rows.
        background: how many examples `kernel="shapley"` averages over: those nearest to the
            centers of so many clusters (k-means), each as heavy as its cluster. 25 to 50 cost less
            than the default, None: all of up to 100 examples, else 100 at random for each seed.
        **options: those of `ExplainerOptions`.

    Raises:
        TypeError, ValueError: an argument is none of the above, or missing values.

    Example:
        >>> import numpy as np
        >>> from keras_explain.lime import LimeTabularExplainer
        >>> data = np.random.default_rng(0).normal(size=(200, 3))
        >>> explainer = LimeTabularExplainer(lambda rows: 1.0 * (rows[:, 1] > 0), data)
        >>> explainer.explain([0.1, 2.0, 0.3], target=1).top(1)[0].name
        '1 > 0.6888'
    """

    @spell_out(LimeExplainer, positional=2)
    def __init__(
        self,
        model: Any,
        data: Any,
        *,
        preprocess: Callable[..., Any] | None = None,
        batch_size: int | None = None,
        background: int | None = None,
        **options: Unpack[ExplainerOptions],
    ) -> None:
        is_shapley = options.get("kernel") == "shapley"
        self._most_rows = batch_size or (_ROWS * 8 if is_shapley else _ROWS)
        super().__init__(model, preprocess, num_features=_NUM_FEATURES,
                         batch_size=_ROWS if batch_size is None else batch_size,
                         distance="l2", default_surrogate="k_lasso", **options)
        self._table = data if isinstance(data, Table) else Table(data)
        self._background = self._summarize(background)
        self._rows = TableScores(self._predictor, self._table)
        continuous = any(part.codes is None for part in self._table.parts)
        if continuous and isinstance(self._local.surrogate, DecisionTree):
            raise ValueError(
                "Expected a number of bins with surrogate='decision_tree', which splits features"
                " into kept and taken out, received bins=None. Pass Table(data, bins=4)."
            )

    @spell_out(Arguments)
    def explain(
        self, x: Any, *, samples: int = 2000, **options: Unpack[ExplainOptions]
    ) -> Explanation:
        """Explain one row.

        Args:
            x: a row: `(F,)` values in the columns' order, a dict, a pandas Series or a DataFrame
                of one row.
            samples: how many perturbed rows are drawn, the row itself included.
            **options: those of `ExplainOptions`.

        Returns:
            An `Explanation`. Features whose value all examples share have weight 0.

        Raises:
            TypeError, ValueError: a row of another length or with missing values, an argument that
                is none of the above, or scores that are not finite.
        """
        arguments = self._check_arguments(samples, **options)
        predictor = self._predictor_for(arguments)
        row = self._table.check_row(x)
        if self._local.is_shapley:
            problem, kept = self._make_shapley_problem(row, arguments.seed, predictor)
        else:
            problem, kept = self._make_problem(row, arguments, predictor)
        result = self._local.explain(problem, arguments)
        weights = np.zeros((len(result.classes), len(self._table.parts)))
        weights[:, kept] = result.weights
        subject = self._describe(row)
        return make_explanation(subject, result._replace(weights=weights), arguments)

    def _summarize(self, count):
        if count is None:
            return None
        check_integer("background", count, 1, "25 to 50 are usual.")
        if not self._local.is_shapley:
            raise ValueError(
                "Expected `background` to be None without kernel='shapley', because LIME draws"
                f" from all examples, received {count}. Pass both, or neither."
            )
        return summarize_background(self._table, count)

    def _describe(self, row):
        table, exact = self._table, self._local.is_shapley
        return TabularSubject(
            features=tuple(table.describe(part, row, exact) for part in table.parts),
            columns=tuple(part.name for part in table.parts),
            values=tuple(table.value(part, row) for part in table.parts),
        )

    def _make_problem(self, row, arguments, predictor):
        """Values out are those of random examples that differ, or normal shifts of either sign."""
        table = self._table
        samples, rng = arguments.samples, np.random.default_rng([arguments.seed, 1])
        pools = [None if p.codes is None else table.alternatives(p, row) for p in table.parts]
        kept = [i for i, pool in enumerate(pools) if pool is None or len(pool)]
        parts, pools = [table.parts[i] for i in kept], [pools[i] for i in kept]
        continuous = np.array([part.codes is None for part in parts], bool)
        draws = np.zeros((samples, len(parts)))
        for column, pool in enumerate(pools):
            if pool is None:  # a mask and its complement take the same shift up and down
                shifts = np.abs(rng.standard_normal(-(-samples // 2)))
                draws[1:, column] = np.repeat(shifts, 2)[: samples - 1]
            else:
                draws[:, column] = rng.choice(pool, samples)

        def features(masks):
            shifts = draws[: len(masks)] * np.where(masks, 1.0, -1.0)
            return np.where(continuous, shifts, masks)

        def scores(masks, start):
            columns = [repeat(value, len(masks)) for value in row]
            for i, part in enumerate(parts):
                drawn, keep = draws[start : start + len(masks), i], masks[:, i]
                if part.codes is None:
                    shift = drawn * np.where(keep, 1.0, -1.0) * table.scale(part)
                    columns[part.columns[0]] = row[part.columns[0]] + shift
                    continue
                for c in part.columns:
                    columns[c] = np.where(keep, columns[c], table.columns[c][drawn.astype(int)])
            return self._score(columns, predictor)

        names = tuple(table.describe(part, row) for part in parts)
        problem = Problem(names, scores, features, 1.0 - continuous, repeatable=False,
                          is_ambiguous=predictor.is_ambiguous)
        return problem, kept

    def _make_shapley_problem(self, row, seed, predictor):
        """Values out are averaged over the same examples for every mask."""
        table = self._table
        background, weights = self._background or draw_background(table, seed)
        columns = [column[background] for column in table.columns]
        distinct = DistinctRows(columns, row)
        part_of = np.zeros(len(row), int)
        for i, part in enumerate(table.parts):
            part_of[list(part.columns)] = i

        def scores(masks, start):
            keep = masks[:, part_of]
            rows, which = distinct.find(keep)
            mask, other = np.divmod(rows, len(background))
            mixed = [np.where(keep[mask, c], repeat(row[c], len(rows)), column[other])
                     for c, column in enumerate(columns)]
            received = self._score(mixed, predictor)[which]
            received = received.reshape(len(masks), len(background), -1)
            return np.einsum("mbc,b->mc", received, weights, dtype=np.float64)

        names = tuple(table.describe(part, row, exact=True) for part in table.parts)
        problem = Problem(names, scores, is_ambiguous=predictor.is_ambiguous)
        return problem, list(range(len(names)))

    def _score(self, columns, predictor):
        """Scores of rows given by columns, never more than `batch_size` at once."""
        count = len(columns[0])
        size = min(self._most_rows, max(_ROWS, 1 << (count - 1).bit_length()))  # few are traced
        return self._rows(columns, predictor, size)
