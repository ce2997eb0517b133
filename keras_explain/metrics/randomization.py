"""Sanity checks: does a heatmap depend on what the model has learned?"""

import contextlib
import dataclasses
import pickle
import random
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from keras_explain.checks import check_choice, check_positive
from keras_explain.data.predicting import predict
from keras_explain.explainers._options import Target
from keras_explain.graph import targets
from keras_explain.graph.frames import without_frames
from keras_explain.graph.models import inner_layers
from keras_explain.graph.program import Program
from keras_explain.metrics._requests import add_classes
from keras_explain.metrics.evaluator import Evaluator
from keras_explain.progress import Progress, Verbose
from keras_explain.signatures import Array, Inputs
from keras_explain.terminal import escape_markdown

MODES = ("cascading", "independent")
NEW_WEIGHTS = ("shuffle", "initial")
PASS_BELOW = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Randomization:
    """How alike the heatmaps are before and after a model has lost what it learned.

    Args:
        stages: (stages,), the layer (or the first of a group) whose weights were randomized.
        correlation: (stages, N), Spearman's rank correlation of the magnitudes |heatmap|.
        signed_correlation: (stages, N), the same of the heatmaps themselves.
        ssim: (stages, N), structural similarity of the magnitudes, scaled to a maximum of 1.
        mode: "cascading", "independent" or "labels".

    A blank map has no correlation: NaN.
    """

    stages: tuple[str, ...]
    correlation: np.ndarray
    signed_correlation: np.ndarray
    ssim: np.ndarray
    mode: str

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        return f"<Randomization, {self.mode}: {verdict}, similarity {self.survives:.2f}>"

    @property
    def similarity(self) -> np.ndarray:
        """Mean over the images of the larger of rank correlation and SSIM, for each stage."""
        return np.nanmean(np.fmax(self.correlation, self.ssim), axis=1)

    @property
    def survives(self) -> float:
        """Mean similarity over all stages: 1 for a map that knows nothing of the weights."""
        return float(np.nanmean(self.similarity))

    @property
    def passed(self) -> bool:
        """Whether the heatmaps changed with the weights: `survives` below 0.5.

        A convention, not a test of significance: read the curve.
        """
        return self.survives < PASS_BELOW

    def to_markdown(self) -> str:
        """A table: one line a stage."""
        lines = ["| randomized | rank correlation | signed | SSIM |", "|---|---:|---:|---:|"]
        for i, stage in enumerate(self.stages):
            cells = [np.nanmean(a[i]) for a in (self.correlation, self.signed_correlation,
                                                self.ssim)]
            cells = [escape_markdown(stage), *(f"{c:.2f}" for c in cells)]
            lines.append("| " + " | ".join(cells) + " |")
        verdict = "passed" if self.passed else "FAILED"
        return "\n".join([*lines, "", f"{verdict} ({self.mode}): similarity {self.survives:.2f}."])


def weight_randomization(
    builder: Callable[..., Any], model: keras.Model, x: Inputs, *,
    mode: Literal["cascading", "independent"] = "cascading", stages: int | None = None,
    weights: Literal["shuffle", "initial"] = "shuffle", target: Target = None, seed: int = 0,
    batch_size: int = 32, verbose: Verbose = "auto",
) -> Randomization:
    """Randomize a copy of the model layer by layer, and see whether the heatmap changes.

    A heatmap that stays the same while the weights become random shows the image (its edges),
    not what the model learned.

    Reference: Adebayo et al. 2018, "Sanity Checks for Saliency Maps",
    https://arxiv.org/abs/1810.03292.
    Direction: lower similarity is better.
    Cost: one heatmap per image and stage.
    Weakness: passing proves little; that a map depends on the weights does not make it right.
    The class explained stays that of the trained model. A random network can be dead (blank
    maps, NaN here). Rank correlation of smooth maps fluctuates: use several images.

    Args:
        builder: function from (model, target=...) to an explained model, as
            `keras_explain.grad_cam`; with options: `functools.partial`.
        model: a built `keras.Model`. Never touched: weights change in a copy.
        x: inputs, N examples.
        mode: "cascading" randomizes from the output down and keeps what is random;
            "independent" one stage at a time, the rest as trained.
        stages: how many the layers are grouped in, from the output down. None: each layer with
            weights is one.
        weights: "shuffle" permutes the numbers of each weight, which keeps their distribution
            and the network alive; "initial" draws new ones as the layers do, as in the paper.
        target: the class, see `keras_explain.grad_cam`. None: the trained model's top class.
        seed: of the random weights. The global generators are left as they were.
        batch_size: examples at a time.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `Randomization`.

    Raises:
        ValueError: a model that cannot be copied.
    """
    check_choice("mode", mode, MODES)
    check_choice("weights", weights, NEW_WEIGHTS)
    if stages is not None:
        stages = check_positive("stages", stages)
    classes = Evaluator(model, target=target, batch_size=batch_size).classes(x)
    copy, fresh = copy_model(model, seed)
    if weights == "initial" and fresh is None:
        raise ValueError(
            'Expected weights="shuffle" for a subclassed model, whose layers cannot be made anew,'
            ' received "initial". Shuffling keeps the distribution of the weights.'
        )
    explained = builder(copy, target=targets.INPUT)
    groups = _stages(copy, stages)
    trained = {id(v): ops.convert_to_numpy(v) for _, group in groups for v in group}
    new = _new_weights(copy, groups, fresh if weights == "initial" else None, seed)

    def heatmaps():
        return predict(explained, add_classes(explained, x, classes), batch_size)["heatmap"]

    before, found = heatmaps(), []
    progress = Progress(len(groups), "randomizing", verbose)
    for _, group in groups:
        for v in group:
            v.assign(new[id(v)])
        found.append(_similarities(before, heatmaps()))
        if mode == "independent":
            for v in group:
                v.assign(trained[id(v)])
        progress.advance()
    progress.close()
    return Randomization(tuple(name for name, _ in groups), *np.moveaxis(found, 1, 0), mode)


def label_randomization(
    builder: Callable[..., Any], model: keras.Model, x: Inputs, fit: Callable[..., Any],
    y: Array, *, target: Target = None, seed: int = 0, batch_size: int = 32,
    verbose: Verbose = "auto",
) -> Randomization:
    """Train a fresh copy of the model on permuted labels, and see whether the heatmap changes.

    A model that learned random labels by heart has learned nothing about what is in the images;
    a map that looks the same for both does not show what was learned.

    Paper, direction: see `weight_randomization`.
    Cost: one training, two heatmaps per image.
    Weakness: the copy must really fit the random labels (look at its accuracy in `fit`).

    Args:
        builder, model, x, target, batch_size, verbose: see `weight_randomization`.
        fit: function (fresh model, permuted classes) that compiles and trains the model.
        y: true classes of the training examples; the first axis is permuted.
        seed: of the permutation and of the fresh weights.

    Returns:
        A `Randomization` of one stage, "labels".

    Raises:
        ValueError: a subclassed model, which cannot be made anew.
    """
    classes = Evaluator(model, target=target, batch_size=batch_size).classes(x)
    copy, fresh = copy_model(model, seed)
    if fresh is None:
        raise ValueError(
            "Expected a Functional or Sequential model, whose layers can be made anew, received"
            f" {type(model).__name__}. For others there is"
            ' `weight_randomization` with weights="shuffle".'
        )
    copy.set_weights(fresh)
    fit(copy, np.random.default_rng(seed).permutation(np.asarray(y)))
    maps = [predict(e, add_classes(e, x, classes), batch_size, verbose)["heatmap"]
            for e in (builder(m, target=targets.INPUT) for m in (model, copy))]
    return Randomization(("labels",), *np.moveaxis([_similarities(*maps)], 1, 0), "labels")


def copy_model(model, seed=0):
    """A copy with weights of its own, and the weights that new layers start with (or None).

    Raises:
        ValueError: neither Functional, Sequential nor serializable.
    """
    with _keep_generators(seed):
        try:
            copy = keras.models.clone_model(model)
            fresh = copy.get_weights()
        except ValueError:
            try:
                copy, fresh = pickle.loads(pickle.dumps(model)), None
            except Exception as error:
                raise ValueError(
                    "Expected a model that can be copied (Functional, Sequential, or a subclass"
                    f" with `get_config`), received {type(model).__name__}, which cannot be"
                    f" serialized ({error}). Give the model a `get_config`."
                ) from error
    copy.set_weights(model.get_weights())
    return copy, fresh


@contextlib.contextmanager
def _keep_generators(seed):
    """Keras draws the seeds of new layers from Python's generator: give it back as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _stages(model, count):
    """(name, weights) of each layer, or group of layers, from the output down."""
    _, program = Program.trace(model)
    seen, layers = set(), []
    for step in program.steps:
        fn = without_frames(step.fn)
        if not isinstance(fn, keras.layers.Layer):
            continue
        for layer in [*inner_layers(fn), fn]:
            own = [v for v in layer.weights if id(v) not in seen]
            inner = any(v in own for x in inner_layers(layer) for v in x.weights)
            if own and not inner:
                seen.update(id(v) for v in own)
                name = step.path if layer is fn else f"{step.path}/{layer.name}"
                layers.append((name, own))
    layers.reverse()
    if count is None:
        return layers
    groups = np.array_split(np.arange(len(layers)), min(count, len(layers)))
    return [(layers[g[0]][0], [v for i in g for v in layers[i][1]]) for g in groups]


def _new_weights(model, stages, fresh, seed):
    """{id(variable): its random numbers}; the same whatever the grouping into stages."""
    if fresh is not None:
        return {id(v): w for v, w in zip(model.weights, fresh, strict=True)}
    new = {}
    for index, v in enumerate(v for _, group in stages for v in group):
        numbers = ops.convert_to_numpy(v)
        rng = np.random.default_rng([seed, index])
        new[id(v)] = rng.permutation(numbers.ravel()).reshape(numbers.shape)
    return new


def _similarities(before, after):
    """Three rows of N numbers: rank correlation of magnitudes, of the maps, SSIM."""
    sizes = [_scale(np.abs(m).astype("float64")) for m in (before, after)]
    ranks = [[_rank_correlation(*pair) for pair in zip(*maps, strict=True)]
             for maps in (sizes, (before, after))]
    return [*ranks, [_ssim(*pair) for pair in zip(*sizes, strict=True)]]


def _scale(maps):
    largest = maps.max(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def _rank_correlation(one, two):
    a, b = (rankdata(m) for m in (one, two))
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return a @ b / scale if scale > 0 else np.nan


def _ssim(one, two):
    window = min(7, *one.shape)
    window -= 1 - window % 2
    if window < 3 or not one.any() or not two.any():
        return np.nan
    return structural_similarity(one, two, win_size=window, data_range=1.0)
