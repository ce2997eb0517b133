"""Simple models that imitate the explained one near an input: sparse linear ones and trees.

A surrogate is any callable that takes a `Regression` and returns a `Fit`, or just the pair
`(weights, intercept)` of a linear model. Those here are small frozen dataclasses, so that
`surrogate="ridge"` and `surrogate=Ridge(alpha=0.1)` both work.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_explain.lime._odd_part import estimate_from_pairs


class Fit(NamedTuple):
    """A fitted surrogate.

    Args:
        weights: `(S,)`, what each feature contributes.
        intercept: the score with no feature at all.
        predict: from features `(N, S)` to scores `(N,)`; `None` for the linear model above.
        rules: the model as text, where it is not linear.
    """

    weights: np.ndarray
    intercept: float
    predict: Callable[..., np.ndarray] | None = None
    rules: str = ""

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The surrogate's scores `(N,)` of features `(N, S)`."""
        if self.predict is not None:
            return self.predict(features)
        return features @ self.weights + self.intercept


@dataclasses.dataclass(frozen=True)
class Regression:
    """What a surrogate is fitted to: one class's scores around one input.

    Args:
        features: `(N, S)`; 1 and 0 for features kept and taken out, or standardized changes.
        scores: `(N,)`, the explained model's.
        sample_weights: `(N,)` with a mean of 1.
        names: the features' names.
        num_features: how many features may get a weight; `None` for all.
    """

    features: np.ndarray
    scores: np.ndarray
    sample_weights: np.ndarray
    names: tuple[str, ...] = ()
    num_features: int | None = None

    @functools.cached_property
    def centers(self) -> tuple[np.ndarray, float]:
        """The weighted means of the features and of the scores."""
        w = self.sample_weights / self.sample_weights.sum()
        return w @ self.features, w @ self.scores

    @functools.cached_property
    def gram(self) -> np.ndarray:
        """`(S, S)`: weighted products of the centered features, times the number of samples."""
        centered = self.features - self.centers[0]
        return centered.T @ (centered * self.sample_weights[:, None])

    @functools.cached_property
    def cross(self) -> np.ndarray:
        """`(S,)`: weighted products of the centered features and the centered scores."""
        centered = self.scores - self.centers[1]
        return self.features.T @ (centered * self.sample_weights)

    @property
    def sparse(self) -> bool:
        """Whether fewer features may get a weight than there are."""
        return self.num_features is not None and self.num_features < self.features.shape[1]

    def fit_linear(self, chosen: np.ndarray, alpha: float) -> Fit:
        """Ridge regression on the chosen features, as a `Fit` with zeros elsewhere.

        `alpha` is relative to the features' mean variance, so that it means the same for any number
        of samples; 0 is least squares, of minimum norm where the samples do not determine it.
        """
        gram, cross = self.gram[np.ix_(chosen, chosen)], self.cross[chosen]
        weights = np.zeros(self.features.shape[1])
        if alpha:
            penalty = alpha * (np.trace(self.gram) / len(self.gram) or 1.0)
            weights[chosen] = np.linalg.solve(gram + penalty * np.eye(len(chosen)), cross)
        else:
            weights[chosen] = np.linalg.pinv(gram, rcond=1e-10, hermitian=True) @ cross
        mean, score = self.centers
        return Fit(weights, float(score - mean @ weights))


@dataclasses.dataclass(frozen=True)
class KLasso:
    """The paper's K-LASSO: choose K features on the Lasso path, then fit them by least squares.

    Efron et al.'s least angle regression gives the path in one pass. Without a number of features
    it is plain least squares.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you?", KDD, algorithm 1.
    """

    def __call__(self, problem: Regression) -> Fit:
        """The `Fit` to a `Regression`."""
        chosen = np.arange(problem.features.shape[1])
        if problem.sparse:
            chosen = _choose_on_lasso_path(problem)
        return problem.fit_linear(chosen, alpha=0.0)


@dataclasses.dataclass(frozen=True)
class ForwardSelection:
    """Ridge regression on K features, each chosen because it raises R2 most, given those before.

    `lime`'s choice for up to 6 features.

    Args:
        alpha: ridge penalty of the final fit, relative to the features' variance.
    """

    alpha: float = 1e-3

    def __call__(self, problem: Regression) -> Fit:
        """The `Fit` to a `Regression`."""
        chosen = np.arange(problem.features.shape[1])
        if problem.sparse:
            chosen = _choose_forward(problem)
        return problem.fit_linear(chosen, self.alpha)


@dataclasses.dataclass(frozen=True)
class HighestWeights:
    """Ridge regression on the K features of largest weight in a ridge regression on all.

    `lime`'s choice for more than 6 features. With no number of features, ridge regression on all.

    Args:
        alpha: ridge penalty of both fits, relative to the features' variance.
    """

    alpha: float = 1e-3

    def __call__(self, problem: Regression) -> Fit:
        """The `Fit` to a `Regression`."""
        chosen = np.arange(problem.features.shape[1])
        if problem.sparse:
            weights = problem.fit_linear(chosen, self.alpha).weights
            chosen = np.sort(np.argsort(-np.abs(weights), kind="stable")[: problem.num_features])
        return problem.fit_linear(chosen, self.alpha)


@dataclasses.dataclass(frozen=True)
class Ridge:
    """Ridge regression on all features; a number of features is refused.

    Args:
        alpha: relative to the features' variance.
    """

    alpha: float = 1e-3

    def __call__(self, problem: Regression) -> Fit:
        """The `Fit` to a `Regression`."""
        return problem.fit_linear(np.arange(problem.features.shape[1]), self.alpha)


@dataclasses.dataclass(frozen=True)
class DecisionTree:
    """A regression tree with at most K splits: for evidence that counts only together.

    A tree has no coefficients. The weight of a feature is how much the tree's prediction falls, on
    average over the samples, when that feature alone is taken out; the rules themselves are in
    `Explanation.rules`. Features the tree does not split on have weight 0. Needs features that are
    kept or taken out: tables want `bins=`.

    Args:
        max_splits: the number of splits where the explainer is given no number of features.
    """

    max_splits: int = 10

    def __call__(self, problem: Regression) -> Fit:
        """The `Fit` to a `Regression`."""
        from sklearn.tree import DecisionTreeRegressor, export_text

        splits = problem.num_features or self.max_splits
        tree = DecisionTreeRegressor(max_leaf_nodes=splits + 1, random_state=0)
        tree.fit(problem.features, problem.scores, sample_weight=problem.sample_weights)
        weights = np.zeros(problem.features.shape[1])
        share = problem.sample_weights / problem.sample_weights.sum()
        for feature in np.unique(tree.tree_.feature[tree.tree_.feature >= 0]):
            kept, out = problem.features.copy(), problem.features.copy()
            kept[:, feature], out[:, feature] = 1, 0
            weights[feature] = share @ (tree.predict(kept) - tree.predict(out))
        nothing = float(tree.predict(np.zeros((1, len(weights))))[0])
        rules = export_text(tree, feature_names=list(problem.names), decimals=3)
        return Fit(weights, nothing, tree.predict, rules)


@dataclasses.dataclass(frozen=True)
class ShapleyRegression:
    """Shapley values: the weights sum to the score of the input minus that of nothing.

    Of all subsets by KernelSHAP's least squares, which then is exact. Of pairs of a mask and its
    complement, the full and the empty one first, by a model of the interactions that least squares
    takes for noise.

    Reference: Lundberg and Lee 2017, "A unified approach to interpreting model predictions",
    NeurIPS.

    Needs the full and the empty mask among the samples.
    """

    def __call__(self, problem: Regression) -> Fit:
        """The `Fit` to a `Regression`."""
        even = len(problem.scores) // 2 * 2
        pairs = problem.features[:even]
        if pairs[0].all() and (pairs[::2] + pairs[1::2] == 1).all():
            weights = estimate_from_pairs(pairs, problem.scores[:even])
            return Fit(weights, float(problem.scores[1]))
        kept = problem.features.sum(axis=1)
        empty = problem.scores[np.argmin(kept)]
        total = problem.scores[np.argmax(kept)] - empty
        rest, last = problem.features[:, :-1], problem.features[:, -1]
        root = np.sqrt(problem.sample_weights)
        target = problem.scores - empty - last * total
        design = (rest - last[:, None]) * root[:, None]
        weights = np.linalg.lstsq(design, target * root, rcond=None)[0]
        return Fit(np.append(weights, total - weights.sum()), float(empty))


def measure_fit(
    scores: np.ndarray, predicted: np.ndarray, sample_weights: np.ndarray
) -> float:
    """The share of the scores' weighted variance that the surrogate predicts; 1 of no variance."""
    weights = sample_weights / (sample_weights.sum() or 1.0)
    variance = weights @ np.square(scores - weights @ scores)
    error = weights @ np.square(scores - predicted)
    noise = np.square(1e-6 * np.abs(scores).max(initial=0.0))  # float32 scores of a constant model
    return 1.0 if variance <= noise else float(1 - error / variance)


def _choose_on_lasso_path(problem):
    from sklearn.linear_model import lars_path_gram

    with warnings.catch_warnings():  # of features alike at the far end of the path
        warnings.simplefilter("ignore")
        _, _, path = lars_path_gram(
            problem.cross, problem.gram, n_samples=len(problem.scores), method="lasso"
        )
    sizes = np.count_nonzero(path, axis=0)
    last = np.flatnonzero(sizes <= problem.num_features)[-1]
    return np.flatnonzero(path[:, last])


def _choose_forward(problem):
    """Greedy, with the remaining features kept orthogonal to those chosen (Cholesky updates)."""
    gram, cross = problem.gram.copy(), problem.cross.copy()
    floor = 1e-9 * max(gram.diagonal().max(), 1e-300)
    chosen = []
    for _ in range(problem.num_features):
        variance = gram.diagonal()
        gain = np.where(variance > floor, cross**2 / np.maximum(variance, floor), -1.0)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        if gain[best] < 0:
            break
        chosen.append(best)
        column = gram[:, best] / gram[best, best]
        cross -= column * cross[best]
        gram -= np.outer(column, gram[best])
    return np.sort(np.array(chosen, int))


SURROGATES = {
    "k_lasso": KLasso(),
    "forward_selection": ForwardSelection(),
    "highest_weights": HighestWeights(),
    "ridge": Ridge(),
    "decision_tree": DecisionTree(),
}
