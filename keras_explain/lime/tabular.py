"""LIME for tables: which values of a row speak for a class."""

import numpy as np

from keras_explain.lime._explainer import Explainer
from keras_explain.lime._local import Problem
from keras_explain.lime.explanation import make
from keras_explain.lime.subjects import TabularSubject
from keras_explain.lime.surrogate import DecisionTree
from keras_explain.lime.table import Table

_NUM_FEATURES = 10
_BACKGROUND = 100  # rows over which KernelSHAP averages a feature that is out


class LimeTabularExplainer(Explainer):
    """Explains a classifier or regressor of tables by the values that raise or lower its score.

    A feature is taken out by giving it the value of a random example that differs in it (another
    quartile, another category), so perturbed rows stay within what occurs. The weight is what is
    lost when the row's own value is gone.

    Reference: Ribeiro, Singh and Guestrin, "Why should I trust you? Explaining the predictions of
    any classifier", KDD 2016, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model of rows `(N, F)`, a callable from rows to scores `(N,)` or
            `(N, classes)`, or a `Predictor`. A callable gets arrays, or DataFrames if `data` is
            one.
        data: a `Table`, which also says what is categorical and what belongs together, or just
            examples: a NumPy array `(n, F)` or a pandas DataFrame.
        preprocess: from a batch of rows like `data` to the model's input.
        sampler: `"hadamard"`, `"bernoulli"`, `"uniform"`, `"sobol"` or a callable; see
            `keras_explain.lime.sampling`. By default `"hadamard"`.
        kernel: how samples are weighted: `"exponential"` of the L2 distance, another
            `Exponential(width, distance)`, a callable, or `"shapley"` for KernelSHAP: a feature
            that is out is averaged over up to 100 examples.
        surrogate: `"k_lasso"`, `"highest_weights"`, `"forward_selection"`, `"ridge"`,
            `"decision_tree"` or a callable. By default `"k_lasso"`.
        class_names: the classes' names.
        batch_size: the largest number of rows that the model sees at once.

    Raises:
        TypeError, ValueError: an argument is none of the above, or missing values.

    Example:
        >>> import numpy as np
        >>> from keras_explain.lime import LimeTabularExplainer
        >>> data = np.random.default_rng(0).normal(size=(200, 3))
        >>> explainer = LimeTabularExplainer(lambda rows: 1.0 * (rows[:, 1] > 0), data)
        >>> explainer.explain([0.1, 2.0, 0.3], classes=[1]).top(1)[0].name
        '1 > 0.6888'
    """

    def __init__(
        self,
        model,
        data,
        *,
        preprocess=None,
        sampler=None,
        kernel="exponential",
        surrogate=None,
        class_names=None,
        batch_size=512,
    ):
        super().__init__(
            model,
            preprocess,
            class_names,
            num_features=_NUM_FEATURES,
            sampler=sampler,
            kernel=kernel,
            surrogate=surrogate,
            batch_size=batch_size,
            distance="l2",
            default_surrogate="k_lasso",
        )
        self._table = data if isinstance(data, Table) else Table(data)
        self._as_floats = self._predictor.is_keras and self._predictor.preprocess is None
        if self._as_floats and not self._table.is_numeric:
            raise ValueError(
                "Expected preprocess= from rows to the model's input, because data has columns of "
                "text, received none. Or encode them first."
            )
        shape = self._predictor.input_spec[0]
        if self._as_floats and shape is not None and len(shape) == 2:
            if shape[1] not in (None, len(self._table.names)):
                raise ValueError(
                    f"Expected data with {shape[1]} columns, which {self._predictor.name} takes, "
                    f"received {len(self._table.names)}."
                )
        continuous = any(part.codes is None for part in self._table.parts)
        if continuous and isinstance(self._local.surrogate, DecisionTree):
            raise ValueError(
                "Expected Table(bins=...) with surrogate='decision_tree', which splits features "
                "into kept and taken out, received bins=None."
            )

    def explain(
        self,
        row,
        classes=None,
        num_samples=2000,
        num_features=None,
        seed=0,
        tolerance=None,
        verbose="auto",
    ):
        """Explain one row.

        Args:
            row: `(F,)` values in the columns' order, a dict, a pandas Series or a DataFrame of one
                row.
            classes: `None` for the top class, an int for so many top classes, or a list of class
                indices and names; a regressor's single score is class 0. All come from one set of
                samples.
            num_samples: how many perturbed rows are drawn, the row itself included.
            num_features: how many features may get a weight (K in the paper), by default 10, or
                all with `"shapley"` and `"ridge"`.
            seed: the same seed gives the same explanation. The global generators are not used.
            tolerance: stop as soon as the weights' relative standard error is below this.
            verbose: `"auto"` shows progress on a terminal's stderr; 0 never, 1 always.

        Returns:
            An `Explanation`. Features whose value all examples share have weight 0.

        Raises:
            TypeError, ValueError: a row of another length or with missing values, an argument that
                is none of the above, or scores that are not finite.
        """
        request = self._request(classes, num_samples, num_features, seed, tolerance, verbose)
        row = self._table.row(row)
        if self._local.is_shapley:
            problem, kept = self._shapley_problem(row, seed)
        else:
            problem, kept = self._problem(row, num_samples, seed)
        result = self._local.explain(problem, request)
        weights = np.zeros((len(result.classes), len(self._table.parts)))
        weights[:, kept] = result.weights
        subject = self._subject(row)
        return make(subject, result._replace(weights=weights), self._class_names, seed)

    def _subject(self, row):
        table, exact = self._table, self._local.is_shapley
        return TabularSubject(
            features=tuple(table.describe(part, row, exact) for part in table.parts),
            columns=tuple(part.name for part in table.parts),
            values=tuple(table.value(part, row) for part in table.parts),
        )

    def _problem(self, row, num_samples, seed):
        """Values out are those of random examples that differ, or normal steps of either sign."""
        table = self._table
        rng = np.random.default_rng([seed, 1])
        pools = [None if p.codes is None else table.alternatives(p, row) for p in table.parts]
        kept = [i for i, pool in enumerate(pools) if pool is None or len(pool)]
        parts, pools = [table.parts[i] for i in kept], [pools[i] for i in kept]
        continuous = np.array([part.codes is None for part in parts], bool)
        draws = np.zeros((num_samples, len(parts)))
        for column, pool in enumerate(pools):
            if pool is None:  # a mask and its complement take the same step up and down
                steps = np.abs(rng.standard_normal(-(-num_samples // 2)))
                draws[1:, column] = np.repeat(steps, 2)[: num_samples - 1]
            else:
                draws[:, column] = rng.choice(pool, num_samples)

        def features(masks):
            steps = draws[: len(masks)] * np.where(masks, 1.0, -1.0)
            return np.where(continuous, steps, masks)

        def scores(masks, start):
            columns = [np.full(len(masks), value) for value in row]
            for i, part in enumerate(parts):
                drawn, keep = draws[start : start + len(masks), i], masks[:, i]
                if part.codes is None:
                    step = drawn * np.where(keep, 1.0, -1.0) * table.scale(part)
                    columns[part.columns[0]] = row[part.columns[0]] + step
                    continue
                for c in part.columns:
                    columns[c] = np.where(keep, columns[c], table.columns[c][drawn.astype(int)])
            return self._scores(columns)

        names = tuple(table.describe(part, row) for part in parts)
        return Problem(names, scores, features, 1.0 - continuous, repeatable=False), kept

    def _shapley_problem(self, row, seed):
        """Values out are averaged over the same examples for every mask."""
        table = self._table
        background = np.arange(len(table))
        if len(background) > _BACKGROUND:
            rng = np.random.default_rng([seed, 1])
            background = np.sort(rng.choice(background, _BACKGROUND, replace=False))

        def scores(masks, start):
            count = len(background)
            keep = np.repeat(masks, count, axis=0)
            columns = [None] * len(row)
            for i, part in enumerate(table.parts):
                for c in part.columns:
                    values = np.tile(table.columns[c][background], len(masks))
                    columns[c] = np.where(keep[:, i], np.full(len(keep), row[c]), values)
            received = self._scores(columns)
            return received.reshape(len(masks), count, -1).mean(axis=1, dtype=np.float64)

        names = tuple(table.describe(part, row, exact=True) for part in table.parts)
        return Problem(names, scores), list(range(len(names)))

    def _scores(self, columns):
        """Scores of rows given by columns, never more than `batch_size` at once."""
        size, received = self._local.batch_size, []
        for start in range(0, len(columns[0]), size):
            part = [column[start : start + size] for column in columns]
            if self._as_floats:
                batch = np.stack([column.astype(np.float32) for column in part], axis=1)
            else:
                batch = self._table.assemble(part)
            received.append(self._predictor(batch, size))
        return np.concatenate(received)
