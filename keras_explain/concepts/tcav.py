"""`tcav`: does a class use a concept that examples show?"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_explain.checks import check_positive
from keras_explain.concepts._directions import Slopes, find_direction
from keras_explain.data.batches import batches
from keras_explain.data.preparing import as_arrays
from keras_explain.engine.reading import Reading
from keras_explain.explainers._choosing import choose_maps
from keras_explain.graph.question import Question
from keras_explain.progress import Progress, Verbose
from keras_explain.signatures import Inputs

LEVEL = 0.05  # of significance


@dataclasses.dataclass(frozen=True, eq=False)
class ConceptTest:
    """How the score of a class follows concepts, beside directions that mean nothing.

    Args:
        names: of the concepts.
        scores: (concepts, repeats), the share of the examples whose score rises along each
            direction that was learnt of a concept: near 1 speaks for the class, near 0 against it.
        random_scores: (repeats,), the same for directions between random examples.
        accuracies: (concepts,), how often these directions tell examples of the concept from
            random ones that they were not learnt from. Near 0.5 the layer does not know it.
        p_values: (concepts,), that scores of a concept differ from random ones so much by chance,
            corrected for the number of concepts.
        target: the class.
        layer: the path of the layer.
    """

    names: tuple[str, ...]
    scores: Any
    random_scores: Any
    accuracies: Any
    p_values: Any
    target: Any
    layer: str

    @property
    def means(self) -> np.ndarray:
        """The TCAV score of each concept, (concepts,)."""
        return self.scores.mean(axis=1)

    @property
    def significant(self) -> np.ndarray:
        """Which concepts differ from random directions, bool (concepts,), at 5 % for all."""
        return self.p_values < LEVEL

    def __str__(self) -> str:
        lines = [f"{name}: {mean:.2f} (random {self.random_scores.mean():.2f}), p = {p:.2g}"
                 for name, mean, p in zip(self.names, self.means, self.p_values, strict=True)]
        return "\n".join(lines)


def tcav(
    model: keras.Model, x: Inputs, examples: Mapping[str, Inputs], random: Inputs, *,
    target: Any = None, layer: Any = None, repeats: int = 20, seed: int = 0,
    batch_size: int = 64, verbose: Verbose = "auto",
) -> ConceptTest:
    """Test whether a class uses concepts that you show by examples, such as "striped".

    At a layer, a linear model learns to tell examples of the concept from random ones; the
    direction that it finds is the concept. The score counts for how many examples of the class the
    logit rises in this direction. A direction always means something to a network, so scores are
    compared with those of directions between random examples, by the test of Mann and Whitney,
    with Holm's correction for several concepts. Every direction is learnt from examples and random
    ones that no other direction of the concept is learnt from, so that they do not err together.

    Args:
        model: a built `keras.Model`.
        x: examples of the class, as the model takes them.
        examples: of each concept, by name: {"striped": images, ...}, at least `repeats` of each.
        random: examples like these without the concept, at least `2 * repeats`. What they differ
            by else (brightness, background) is taken for the concept.
        target: the class; None: for each example what is answered.
        layer: name, path or layer; None: the last feature map. Of a feature map the mean over the
            places counts.
        repeats: how many directions are learnt of each concept, and how many random ones. Ten give
            no significance after a correction for many.
        seed: of how examples are shared out.
        batch_size: examples of a forward pass. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `ConceptTest`.

    Raises:
        ValueError: too few examples, or a model in which no gradient flows from the layer.

    Reference: Kim et al. 2018, "Interpretability Beyond Feature Attribution: Quantitative Testing
    with Concept Activation Vectors (TCAV)", https://arxiv.org/abs/1711.11279.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="seen"),
        ...                           keras.layers.Dense(2)])
        >>> rng = np.random.default_rng(0)
        >>> right = rng.normal(size=(40, 2)) + [9, 0]
        >>> found = tcav(model, rng.normal(size=(9, 2)), {"right": right},
        ...              rng.normal(size=(80, 2)), target=1, layer="seen", verbose=0)
        >>> found.scores.shape, bool(found.accuracies[0] > 0.9)
        ((1, 20), True)
    """
    repeats, batch_size = check_positive("repeats", repeats), check_positive(
        "batch_size", batch_size)
    if not isinstance(examples, Mapping) or not examples:
        raise ValueError('Expected `examples` as {"name": examples of the concept, ...}, received'
                         f" {type(examples).__name__}. Name each concept.")
    question = Question(model, target=target)
    call = question.scored.find(layer) if layer is not None else choose_maps(
        question, None, None, None)[0].calls[0]
    reading, slopes = Reading(question, call.outputs[0]), Slopes(question, call.outputs[0])
    progress = Progress(2 + len(examples), "concepts", verbose)

    def read(data, fewest, what):
        parts = [slopes.over_places(reading(part)["value"])
                 for part, _ in batches(as_arrays(data), None, batch_size)]
        progress.advance()
        found = np.concatenate(parts)
        if len(found) < fewest:
            raise ValueError(f"Expected at least {fewest} examples {what}, received {len(found)}."
                             " Give more, or reduce `repeats`.")
        return found

    rng = np.random.default_rng(seed)
    others = _share_out(read(random, 2 * repeats, "in `random`"), 2 * repeats, rng)
    concepts = {str(name): _share_out(read(data, repeats, f"of the concept {name!r}"), repeats, rng)
                for name, data in examples.items()}
    slope = np.concatenate([slopes(part) for part, _ in batches(as_arrays(x), None, batch_size)])
    progress.advance()
    progress.close()
    by_chance = _score(slope, [find_direction(a, b) for a, b in zip(
        others[:repeats], others[repeats:], strict=True)])
    scores, accuracies = [], []
    for parts in concepts.values():
        found = [find_direction(a, b) for a, b in zip(parts, others[:repeats], strict=True)]
        scores.append(_score(slope, found))
        accuracies.append(np.mean([
            one.accuracy(parts[i - 1], others[i - 1]) for i, one in enumerate(found)]))
    return ConceptTest(
        tuple(concepts), np.array(scores), by_chance, np.array(accuracies),
        _correct([_compare(one, by_chance) for one in scores]), target, call.path)


def _share_out(features, count, rng):
    return np.array_split(features[rng.permutation(len(features))], count)


def _score(slope, directions):
    """The share of slopes (N, channels) that rise along each direction; no slope counts half."""
    along = slope @ np.stack([d.vector for d in directions], axis=1)
    return ((along > 0) + 0.5 * (along == 0)).mean(axis=0)


def _compare(one, two):
    from scipy.stats import mannwhitneyu

    if np.ptp(np.concatenate([one, two])) == 0:
        return 1.0
    return float(mannwhitneyu(one, two, alternative="two-sided").pvalue)


def _correct(p_values):
    """Holm's correction: p-values that hold for all tests together."""
    p = np.asarray(p_values, "float64")
    order = np.argsort(p)
    worse = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(worse, 1)
    return found
