"""RISE: the score under random masks."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Unpack

import keras
import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.checks import check_choice, check_integer, check_per_axis, check_positive
from keras_explain.engine import baselines, hiding, sliding
from keras_explain.engine.folding import bind, fold
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._blank import compare_to_baseline
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Baseline, InputOptions
from keras_explain.graph.axes import heatmap_axes, image_like, space_axes
from keras_explain.graph.rows import take_rows
from keras_explain.signatures import spell_out

ESTIMATORS = ("centered", "paper")
SAMPLINGS = ("sobol", "bernoulli")


@keras.saving.register_keras_serializable("keras_explain")
class RISE(Explainer):
    """The layer behind `rise`."""

    def __init__(self, model, *, samples=1024, grid=7, probability=0.5, baseline=None,
                 estimator="centered", sampling="sobol", seed=0, batch_size=64,
                 score=None, **options):
        super().__init__(model, score=score, **options)
        self.samples = check_positive("samples", samples)
        self.batch_size = check_positive("batch_size", batch_size)
        self.seed, self.grid = check_integer("seed", seed, 0), check_per_axis("grid", grid)
        check_choice("estimator", estimator, ESTIMATORS)
        check_choice("sampling", sampling, SAMPLINGS)
        if not 0 < probability < 1:
            raise ValueError(
                "Expected `probability`, the visible share of each mask, between 0 and 1,"
                f" received {probability!r}. 0.5 is usual."
            )
        self.explain_inputs(image_like(self.question.program))
        self.probability, self.estimator, self.sampling = float(probability), estimator, sampling
        self.folded = fold(self.question.program)
        self.baseline = baselines.settle_each(
            baseline, self.question.program, self.question.explained, self.keys)
        self.fills = baselines.split_each(self.baseline, self.question.explained)
        self.designs = _Designs([self._design(v) for v in self.question.explained])

    @property
    def further_maps(self):
        return ("disagreement",) if any(len(f) > 1 for f in self.fills) else ()

    def _design(self, value):
        """The cells of all masks, bool of shape (masks, ...), and their shifts in 0..1."""
        if value.spec.dtype == "string":
            raise ValueError(
                "Expected inputs of numbers, of which a part can be hidden, received strings. Use"
                " `saliency` or `LimeTextExplainer`."
            )
        axes, space = (f(self.question.program, value) for f in (heatmap_axes, space_axes))
        sizes = [value.spec.shape[a] for a in axes]
        grid = self.grid * len(space) if len(self.grid) == 1 else self.grid
        if len(grid) == len(space) < len(axes):  # channels are no places to blur, either
            grid = _with_channels(grid, axes, space, [value.spec.shape[a] for a in axes])
        if len(grid) != len(sizes):
            raise ValueError(
                f"Expected one `grid`, or {len(sizes)} (one per axis of the input"
                f" {value.spec.shape}), received {self.grid}. One number holds for all axes."
            )
        single = len(value.spec.shape) < 3  # tokens and columns are no places to blur
        grid = [n if single else n if n is None else min(g, n)
                for g, n in zip(grid, sizes, strict=True)] if None not in sizes else grid
        count = math.prod(grid)
        if self.sampling == "sobol":
            from scipy.stats import qmc

            points = qmc.Sobol(count + len(grid), rng=self.seed).random_base2(
                math.ceil(math.log2(self.samples)))[: self.samples]
        else:
            points = np.random.default_rng(self.seed).random((self.samples, count + len(grid)))
        cells = (points[:, :count] < self.probability).reshape(-1, *grid)
        return cells, points[:, count:].astype("float32")

    def compute(self, values, request):
        raw, predictions = self.question.program(values)
        clean = self.question.scores(raw, predictions)
        chosen = self.question.choose_class(clean, request)
        program, limit = bind(self.folded), self.question.rounding(raw, clean, chosen)
        heatmaps, disagreement = [], []
        for value, design, fills in zip(
                self.question.explained, self.designs.pairs, self.fills, strict=True):
            index, axes = self.question.index(value), heatmap_axes(self.question.program, value)
            image = values[index]
            sizes = [ops.shape(image)[a] for a in axes]
            fills = hiding.Fills(image, space_axes(self.question.program, value), fills,
                                 data=self._data_of(value, values), places=axes)

            def score(pairs, index=index, axes=axes, sizes=sizes, fills=fills, design=design):
                masks = _masks(design, pairs % self.samples, sizes)
                hidden = fills.take(pairs // self.samples, masks)
                rows = pairs // (self.samples * fills.count)
                seen = take_rows(values, rows)
                seen[index] = hiding.blend(seen[index], hidden, masks, axes)
                scores = self.question.scores(*program(seen)) * ops.take(chosen, rows, axis=0)
                return ops.sum(scores, axis=-1)

            found = sliding.for_all_pairs(
                score, ops.shape(image)[0], [fills.count, self.samples], self.batch_size)
            found = ops.reshape(found, (-1, self.samples))
            maps = self._average(design, found, sizes, ops.repeat(limit, fills.count))
            mean, deviation = hiding.average(maps, fills.count)
            heatmaps.append(mean)
            disagreement.append(deviation)
        further = (disagreement,) if self.further_maps else ()
        return heatmaps, predictions, *further

    def _average(self, design, scores, sizes, limit):
        """The masks, weighted by their scores."""
        centered = scores - ops.mean(scores, axis=1, keepdims=True)
        centered = sliding.unless_rounding(centered, limit)
        weights = centered / (self.samples * self.probability * (1 - self.probability))
        if self.estimator == "paper":
            reacts = ops.any(ops.not_equal(centered, 0.0), axis=1, keepdims=True)
            weights = ops.where(reacts, scores, 0.0) / (self.samples * self.probability)
        steps = -(-self.samples // self.batch_size)

        def step(i, total):
            which = i * self.batch_size + ops.arange(self.batch_size, dtype="int32")
            inside = ops.cast(which < self.samples, "float32")
            which = ops.minimum(which, self.samples - 1)
            masks = ops.reshape(_masks(design, which, sizes), (self.batch_size, -1))
            return total + ops.matmul(ops.take(weights, which, axis=1) * inside, masks)

        cells = 1
        for size in sizes:
            cells = cells * size
        zeros = ops.zeros((ops.shape(scores)[0], cells), "float32")
        return ops.reshape(backend.fori_loop(0, steps, step, zeros), (-1, *sizes))

    def blank_causes(self, values, chosen):
        return compare_to_baseline(self.question, values, self.baseline)

    def run_layers_alone(self):
        had, self.folded = self.folded is not self.question.program, self.question.program
        return had

    def get_config(self):
        return {**super().get_config(), "samples": self.samples, "grid": self.grid,
                "probability": self.probability,
                "baseline": baselines.to_config(self.baseline, self.keys),
                "estimator": self.estimator, "sampling": self.sampling, "seed": self.seed,
                "batch_size": self.batch_size}


def _with_channels(grid, axes, space, sizes):
    cells = dict(zip(space, grid, strict=True))
    return tuple(cells.get(a, size) for a, size in zip(axes, sizes, strict=True))


class _Designs:
    """Hides arrays from Keras, which would track them as attributes of the layer."""

    def __init__(self, pairs):
        self.pairs = pairs


def _masks(design, which, sizes):
    """The masks `which`, enlarged and shifted, float32 of shape (B, *sizes)."""
    cells, shifts = (ops.convert_to_tensor(x) for x in design)
    masks = ops.cast(ops.take(cells, which, axis=0), "float32")
    shifts = ops.take(shifts, which, axis=0)
    for axis, size in enumerate(sizes):
        count = cells.shape[axis + 1]
        if isinstance(size, int) and size == count:
            continue
        pitch = -(-size // count)  # pixels of a cell; the mask is one cell larger than the image
        place = ops.arange(size, dtype="float32") + 0.5
        place = place + ops.floor(shifts[:, axis : axis + 1] * ops.cast(pitch, "float32"))
        place = place * (count / ops.cast((count + 1) * pitch, "float32")) - 0.5
        place = ops.clip(place, 0.0, count - 1.0)[:, :, None]
        weights = ops.maximum(1.0 - ops.abs(place - ops.arange(count, dtype="float32")), 0.0)
        moved = ops.moveaxis(masks, axis + 1, 1)
        rest = ops.shape(moved)[2:]
        moved = ops.matmul(weights, ops.reshape(moved, (-1, count, _product(rest))))
        masks = ops.moveaxis(ops.reshape(moved, (-1, size, *rest)), 1, axis + 1)
    return masks


def _product(sizes):
    product = 1
    for size in sizes:
        product = product * size
    return product


class RISEOptions(InputOptions, total=False):
    """What `rise` takes besides."""

    samples: Annotated[
        int,
        'how many masks; powers of two suit "sobol".',
    ]
    grid: Annotated[
        int | Sequence[int],
        "cells of a mask along each axis, or one number per axis. Tokens and columns of tables "
        "are cells of their own.",
    ]
    probability: Annotated[
        float,
        "that a cell is visible.",
    ]
    baseline: Annotated[
        Baseline,
        "what is seen where the mask hides: \"mean\" (of the image, per channel), \"zero\" (the "
        "paper's), \"blur\", \"noise\" (of the image's own statistics), \"inpaint\" (from what is "
        "seen around), a number, a color, or an array of the input's shape. Or several, whose "
        "maps are averaged, at the cost of each: \"several\" (mean, blur, noise and inpaint), or "
        "an array with an axis of fills in front.",
    ]
    estimator: Annotated[
        Literal["centered", "paper"],
        '"centered" subtracts the mean score before the masks are added up, so that the map is '
        'signed and needs about a quarter of the masks; "paper" does not.',
    ]
    sampling: Annotated[
        Literal["sobol", "bernoulli"],
        '"sobol" spreads the masks evenly, "bernoulli" draws each cell on its own.',
    ]
    seed: Annotated[
        int,
        "of the masks. Keras's and NumPy's generators are not touched.",
    ]
    batch_size: Annotated[
        int,
        "forward passes at a time. It bounds the memory and changes no number.",
    ]


@spell_out(RISE)
def rise(model: keras.Model, **options: Unpack[RISEOptions]) -> ExplainedModel:
    """Build a model that shows which pixels raise the score when they are seen.

    The image is shown through many random soft masks; a pixel gets the mean score of the masks
    that show it, less that of the masks that hide it. Unlike `occlusion` it hides many places at
    once, so it also finds evidence of which one part is enough. Needs no gradient and no inner
    layer, so it explains any model, at the price of `samples` forward passes per image. The map is
    an estimate: other seeds give other maps, and few masks a cloudy one.

    Reference: Petsiuk, Das and Saenko 2018, "RISE: Randomized Input Sampling for Explanation of
    Black-box Models", https://arxiv.org/abs/1806.07421.

    Args:
        model: a built `keras.Model`, of any kind. Never changed.
        **options: those of `RISEOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape (N, H, W),
        (N, T), (N, F) or (N, D, H, W), in units of the score: its mean where the pixel is seen
        minus where it is hidden, or for "paper" its mean where the pixel is seen. With several
        fills also "disagreement", the standard deviation of the heatmap over the fills.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Flatten(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> explained = kx.rise(model, samples=64, grid=4)
        >>> out = explained.predict(np.random.rand(3, 16, 16, 1), verbose=0)
        >>> out["heatmap"].shape
        (3, 16, 16)
    """
    return RISE(model, **options).explained_model()
