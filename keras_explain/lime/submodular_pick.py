"""SP-LIME: a few explanations that together show what a model does."""

import dataclasses
from typing import Any

import numpy as np

from keras_explain.checks import check_positive
from keras_explain.lime.explanation import Explanation
from keras_explain.lime.vocabulary import Vocabulary
from keras_explain.progress import Progress, Verbose


@dataclasses.dataclass(frozen=True, eq=False)
class Pick:
    """Explanations chosen to be read, and what they cover.

    Args:
        indices: positions of the chosen among all explanations, in the order of choice.
        explanations: the chosen ones.
        importance: from every feature to its global importance, largest first: the root of the sum
            of its absolute weights.
        covered: the share of the total importance that the first 1, 2, ... of them show.
        table: `(n, d)` absolute weights of all explanations, columns in the order of `importance`.
    """

    indices: tuple[int, ...]
    explanations: tuple[Explanation, ...]
    importance: dict[str, float]
    covered: tuple[float, ...]
    table: np.ndarray

    def __repr__(self) -> str:
        return f"<Pick of {list(self.indices)}, which cover {self.covered[-1]:.0%} of importance>"

    def __str__(self) -> str:
        lines = [f"{len(self.indices)} explanations cover {self.covered[-1]:.0%} of importance"]
        for index, explanation, share in zip(
            self.indices, self.explanations, self.covered, strict=True
        ):
            lines.append(f"[{index}, {share:.0%}] {str(explanation).splitlines()[0]}")
        return "\n".join(lines)


def submodular_pick(
    explanations: Any,
    budget: int = 5,
    *,
    data: Any = None,
    num_features: int = 10,
    vocabulary: Vocabulary | None = None,
    verbose: Verbose = "auto",
) -> Pick:
    """Choose the explanations that a person should read to judge a model.

    One explanation says little about a model, and nobody reads a thousand. Features that matter in
    many explanations are important; the picked explanations show as much importance as possible
    without showing the same thing twice. Picking greedily reaches at least 63 % of the coverage of
    the best possible choice.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you? Explaining the
    predictions of any classifier", KDD, section 4.

    Args:
        explanations: a list of `Explanation` of one kind; or an explainer, together with `data`.
            Of several classes the first counts.
        budget: how many to pick.
        data: the inputs that the explainer explains, with its default arguments. For other
            arguments pass
            `[explainer.explain(x, samples=500) for x in data]`.
        num_features: how many of an explanation's weights count, the largest: what a reader sees.
        vocabulary: a `Vocabulary` that makes superpixels of different images comparable; for
            images only. Words are features of texts, columns those of tables.
        verbose: progress over `data` on stderr: "auto" where it is a terminal, 0 never, 1 always.

    Returns:
        A `Pick`.

    Raises:
        TypeError: no explanations, or several kinds of them.
        ValueError: no explanation has a weight, or a budget below 1.

    Example:
        >>> from keras_explain.lime import LimeTextExplainer
        >>> score = lambda texts: np.array([(1 + ("a" in t) + 2 * ("b" in t)) / 8 for t in texts])
        >>> pick = submodular_pick(LimeTextExplainer(score), 2, data=["a", "b a", "a x", "b"])
        >>> pick.indices, list(pick.importance)
        ((1, 2), ['b', 'a', 'x'])
    """
    budget = check_positive("budget", budget, "A person reads 5 to 10.")
    check_positive("num_features", num_features, "10 are usual.")
    explanations = _collect(explanations, data, verbose)
    keys = _name_features(explanations, vocabulary)
    names, table = _tabulate(explanations, keys, num_features)
    importance = np.sqrt(table.sum(axis=0))
    if not importance.any():
        raise ValueError(
            "Expected explanations with weights, received only zeros. Look at their warnings."
        )
    order = np.argsort(-importance, kind="stable")
    table, importance = table[:, order], importance[order]
    chosen, covered = _pick_greedily(table, importance, min(budget, len(explanations)))
    return Pick(
        indices=tuple(chosen),
        explanations=tuple(explanations[i] for i in chosen),
        importance={names[i]: float(v) for i, v in zip(order, importance, strict=True)},
        covered=tuple(covered),
        table=table,
    )


def _collect(explanations, data, verbose):
    if hasattr(explanations, "explain"):
        if data is None:
            raise TypeError(
                "Expected `data` together with an explainer, received None. Pass what to explain.")
        progress, results = Progress(len(data), "explaining", verbose), []
        is_frame = hasattr(data, "iloc")
        for row in (data.iloc[i : i + 1] for i in range(len(data))) if is_frame else data:
            results.append(explanations.explain(row, verbose=0))
            progress.advance()
        progress.close()
        explanations = results
    elif data is not None:
        raise TypeError(
            "Expected `data` only with an explainer, received it with explanations. Leave it out.")
    explanations = list(explanations)
    kinds = {e.subject.kind if isinstance(e, Explanation) else type(e) for e in explanations}
    if len(kinds) != 1 or not isinstance(next(iter(kinds)), str):
        raise TypeError(
            "Expected an explainer or a list of Explanations of one kind (images, texts or rows), "
            f"received {sorted(map(str, kinds)) or 'an empty list'}. Pick from each kind apart."
        )
    return explanations


def _name_features(explanations, vocabulary):
    """For each explanation what its features are called across explanations."""
    subjects = [explanation.subject for explanation in explanations]
    if subjects[0].kind != "image":
        if vocabulary is not None:
            raise ValueError(
                f"Expected `vocabulary` only for images, received it for a {subjects[0].kind}. Its "
                "features are comparable as they are."
            )
        return [[subject.key(i) for i in range(len(subject.features))] for subject in subjects]
    words = (vocabulary or Vocabulary()).assign(subjects)
    return [[f"cluster {word}" for word in row] for row in words]


def _tabulate(explanations, keys, num_features):
    """Names of all features `(d,)`, and absolute weights `(n, d)` of the largest few."""
    names = {name: None for row in keys for name in row}
    column = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(explanations), len(names)))
    for row, (explanation, own) in enumerate(zip(explanations, keys, strict=True)):
        for feature in explanation.top(num_features):
            table[row, column[own[feature.index]]] += abs(feature.weight)
    return list(names), table


def _pick_greedily(table, importance, budget):
    """Rows by gain in covered importance; of equal gain the one with the larger weights."""
    shown, total = table > 0, table.sum(axis=1)
    seen, chosen, covered = np.zeros(len(importance), bool), [], []
    for _ in range(budget):
        gain = shown @ np.where(seen, 0.0, importance)
        gain[chosen] = -1
        best = np.flatnonzero(gain >= gain.max() * (1 - 1e-12))
        best = int(best[np.argmax(total[best])])
        chosen.append(best)
        seen |= shown[best]
        covered.append(float(importance[seen].sum() / importance.sum()))
    return chosen, covered
