"""`audit`: what does a model use, on a whole data set?"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import keras_explain
from keras_explain.auditing._grouping import group
from keras_explain.auditing._intervening import intervene
from keras_explain.auditing._passing import choose_classes, explain_all, find_examples
from keras_explain.auditing._pooling import hottest, spread
from keras_explain.auditing.findings import Audit, Group
from keras_explain.checks import check_positive
from keras_explain.data.predicting import predict
from keras_explain.explainers import METHODS
from keras_explain.explainers._choice import name_of
from keras_explain.explainers._explained_model import BlankHeatmapWarning, ExplainedModel
from keras_explain.explainers.integrated_gradients import integrated_gradients
from keras_explain.metrics.comparison import name_methods
from keras_explain.progress import Progress, Verbose
from keras_explain.signatures import Array, Data

SAMPLE = 64  # members, mates and others of a group that take part in its intervention
SHOWN = 6  # typical members
SMALLEST = 5  # members of a group


def audit(
    model: keras.Model, data: Data, y: Array | None = None, *,
    method: str | Callable[..., Any] | ExplainedModel = "auto",
    class_names: Sequence[str] | None = None, seed: int = 0, batch_size: int = 32,
    verbose: Verbose = "auto",
) -> Audit:
    """Find out what a classifier uses on a whole data set, and whether it is what it should use.

    One heatmap convinces, a thousand inform. All examples are explained, those of each predicted
    class are grouped by where their evidence lies, and for each group an intervention measures
    what the picture suggests: what the group looks at is pasted into examples of other classes.
    Groups are ranked by how suspicious they are: small, strong, and away from where the rest of
    the class looks, as a watermark or a border is that a network has learnt by mistake.

    Args:
        model: a built classifier with one output.
        data: arrays, or what gives batches as `model.fit` takes them. It is gone through twice.
        y: true classes, indices or one-hot rows; None takes those that come with the data.
        method: the name of a builder, a builder, or an explained model. "auto" is
            `integrated_gradients` with 16 steps.
        class_names: one for each class.
        seed: of the examples that are chosen for interventions.
        batch_size: examples of a forward pass. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        An `Audit`.

    Raises:
        ValueError: no examples, data that cannot be gone through twice, or no classifier.

    Reference: Lapuschkin et al. 2019, "Unmasking Clever Hans Predictors and Assessing What Machines
    Really Learn", https://arxiv.org/abs/1902.10178.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(2, activation="softmax")])
        >>> found = kx.audit(model, np.random.rand(20, 8, 8, 1))
        >>> len(found.predicted), found.accuracy
        (20, None)
    """
    batch_size = check_positive("batch_size", batch_size)
    explained = _build(model, method)
    names = _check_names(class_names, explained.explainer.question)
    with warnings.catch_warnings():  # blank maps are counted and told in the notes
        warnings.simplefilter("ignore", BlankHeatmapWarning)
        seen = explain_all(explained, data, y, batch_size, verbose)
    groups, notes = _find_groups(seen, seed), _tell_limits(seen, names)
    found = _measure(explained, data, seen, groups, seed, batch_size, verbose)
    return Audit(tuple(sorted(found, key=lambda g: -g.score)), seen.predicted, seen.y, names,
                 _facts(explained, seen, seed), notes)


def _build(model, method):
    if isinstance(method, ExplainedModel):
        return method
    if method == "auto":
        return integrated_gradients(model, steps=16)
    (build,) = name_methods([method]).values()
    return build(model)


def _check_names(names, question):
    classes = question.classes
    if classes < 2:
        raise ValueError(
            f"Expected a classifier, received {question.model.name!r}, which answers one number"
            " that is no probability. Explain its examples one by one.")
    names = [str(i) for i in range(classes)] if names is None else list(map(str, names))
    if len(names) != classes:
        raise ValueError(f"Expected {classes} `class_names`, received {len(names)}. Name every"
                         " class that the model scores, in its order.")
    return names


def _find_groups(seen, seed):
    """Pairs of a class and the examples of one of its groups."""
    found = []
    for target in np.unique(seen.predicted):
        rows = np.flatnonzero((seen.predicted == target) & seen.shares.any(axis=1))
        numbers = group(seen.shares[rows], SMALLEST, seed)
        found += [(int(target), rows[numbers == n]) for n in range(numbers.max(initial=-1) + 1)]
    return found


def _measure(explained, data, seen, groups, seed, batch_size, verbose):
    """Each group with its intervention."""
    rng = np.random.default_rng(seed)
    plans = [_plan(seen, target, members, rng) for target, members in groups]
    if not plans:
        return []
    rows = np.unique(np.concatenate([np.concatenate(list(p.values())) for p in plans]))
    examples = find_examples(data, seen.keys[rows], batch_size)
    question, progress = explained.explainer.question, Progress(len(groups), "groups", verbose)

    def take(chosen):
        return examples[np.searchsorted(rows, chosen)]

    def ask(x):
        return choose_classes(predict(question.model, x, batch_size))

    found = []
    for (target, members), plan in zip(groups, plans, strict=True):
        heat = seen.shares[members].mean(axis=0)
        rest = np.setdiff1d(np.flatnonzero(seen.predicted == target), members)
        region = spread(hottest(heat), seen.shape)
        rates = intervene(ask, target, take(plan["members"]), take(plan["mates"]),
                          take(plan["others"]), region, rng)
        overlap = np.minimum(heat, seen.shares[rest].mean(axis=0)).sum() if len(rest) else 1.0
        accuracy = None if seen.y is None else float((seen.y[members] == target).mean())
        found.append(Group(
            target, members, len(members) + len(rest), heat, region, float(overlap),
            accuracy=accuracy, examples=take(plan["typical"]),
            example_maps=seen.shares[plan["typical"]], **rates))
        progress.advance()
    progress.close()
    return found


def _plan(seen, target, members, rng):
    """Which examples take part."""
    same = seen.predicted == target
    mates = np.setdiff1d(np.flatnonzero(same), members)
    shares = np.sqrt(seen.shares[members])
    far = np.square(shares - shares.mean(axis=0)).sum(axis=1)

    def sample(rows):
        return np.sort(rng.choice(rows, min(SAMPLE, len(rows)), replace=False))

    return {"members": sample(members), "mates": sample(mates),
            "others": sample(np.flatnonzero(~same)),
            "typical": members[np.argsort(far, kind="stable")[:SHOWN]]}


def _tell_limits(seen, names):
    """What this audit cannot say, in sentences."""
    notes, blank = [], int((~seen.shares.any(axis=1)).sum())
    if blank:
        notes.append(f"{blank} of {len(seen.predicted)} heatmaps are blank: nothing speaks for the"
                     " answer by this method. They are in no group.")
    counts = np.bincount(seen.predicted, minlength=seen.classes)
    few = [names[i] for i in np.flatnonzero(counts < 2 * SMALLEST)]
    if few:
        notes.append(f"Too few examples (below {2 * SMALLEST}) were called {', '.join(few)}:"
                     " these classes have no groups.")
    if (counts > 0).sum() == 1:
        notes.append("The model calls everything the same: there are no other examples to paste"
                     " into, so no group can be called suspicious.")
    return tuple(notes)


def _facts(explained, seen, seed):
    model = explained.explainer.question.model
    weights = hashlib.sha256()
    for variable in model.weights:
        weights.update(keras.ops.convert_to_numpy(variable).tobytes())
    name = name_of(explained)
    return {
        "model": {"name": model.name, "parameters": model.count_params(),
                  "weights_sha256": weights.hexdigest()},
        "data": {"examples": len(seen.predicted), "sha256": seen.checksum,
                 "heatmap_shape": list(map(int, seen.shape))},
        "method": {"name": name or type(explained.explainer).__name__,
                   "class": METHODS.get(name, type(explained.explainer).__name__)},
        "seed": seed,
        "versions": {"keras_explain": keras_explain.__version__, "keras": keras.__version__,
                     "backend": keras.backend.backend(), "numpy": np.__version__},
    }
