"""Occlusion: the drop of the score when a patch of the input is hidden."""

import math
import warnings
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_explain.checks import check_choice, check_per_axis, check_positive
from keras_explain.engine import baselines, hiding, sliding
from keras_explain.engine.folding import bind, fold
from keras_explain.engine.precision import is_native, reduce_precision
from keras_explain.engine.windows.adaptive import Search
from keras_explain.engine.windows.plan import Plan
from keras_explain.engine.windows.run import by_chunks, drops, image_by_image
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._blank import compare_to_baseline
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import OcclusionOptions
from keras_explain.explainers._plans import (
    SizedPlans,
    check_search,
    make_grid,
    make_plan,
    report_plan,
)
from keras_explain.graph.axes import heatmap_axes, image_like, space_axes
from keras_explain.graph.categories import is_category
from keras_explain.graph.rows import take_rows
from keras_explain.graph.sizing import has_free_sizes
from keras_explain.graph.tokens import places
from keras_explain.graph.vectorizer import find as find_vectorizer
from keras_explain.signatures import spell_out

ENGINES = ("auto", "incremental", "full")
PRECISIONS = ("float32", "bfloat16")
SEARCHES = ("full", "adaptive")


@keras.saving.register_keras_serializable("keras_explain")
class Occlusion(Explainer):
    """The layer behind `occlusion`."""

    signed = True

    @property
    def further_maps(self):
        return ("disagreement",) if any(len(f) > 1 for f in self.fills) else ()

    def __init__(self, model, *, patch_size=None, stride=None, baseline=None,
                 batch_size=64, score=None, engine="auto",
                 precision="float32", search="full", **options):
        super().__init__(model, score=score, **options)
        self.explain_inputs(image_like(self.question.program))
        self.patch_size = _pixels("patch_size", patch_size)
        self.stride = _pixels("stride", stride)
        self.batch_size = check_positive("batch_size", batch_size)
        program = self.question.program
        self.baseline = baselines.settle_each(
            baseline, program, self.question.explained, self.keys)
        self.fills = baselines.split_each(self.baseline, self.question.explained)
        self.slid = tuple(_find_slid(program, v) for v in self.question.explained)
        self.stem, self.head = None, None
        if self.slid != self.question.explained:  # texts, whose words are hidden
            self.stem, self.head = program.split(self.slid)
            self.fills = tuple(
                _fill_slid(program, v, slid, fills) for v, slid, fills in zip(
                    self.question.explained, self.slid, self.fills, strict=True))
            program = self.head
        self.grids = tuple(make_grid(program, v, self.patch_size, self.stride)
                           for v in self.slid)
        check_choice("engine", engine, ENGINES)
        check_choice("precision", precision, PRECISIONS)
        check_choice("search", search, SEARCHES)
        self.engine, self.precision, self.search = engine, precision, search
        for value in self.slid:
            check_search(search, value)
        self.folded = fold(program)
        self.plans = tuple(make_plan(self.folded, v, grid, engine, precision, search) for v, grid
                           in zip(self.slid, self.grids, strict=True))
        self.sized = None
        if engine == "auto" and precision == "float32" and not self.stem and (
                has_free_sizes(program)):
            self.sized = SizedPlans(program, self.question.explained, self.grids)

    @property
    def plans_by_size(self):
        return self.sized is not None

    @property
    def program(self):
        """The part of the model that runs again and again, from what the patches slide along."""
        return self.head or self.question.program

    def report(self):
        """What the engine does: for each step its window and saving, as text to print."""
        return "\n\n".join(
            report_plan(self.program, value, plan, grid, self.search)
            for value, plan, grid in zip(self.slid, self.plans, self.grids, strict=True))

    def compute(self, values, request):
        drops, predictions, sizes = self._drops_of_fills(values, request)
        heatmaps, disagreement = [], []
        for lost, size, grid, fills in zip(drops, sizes, self.grids, self.fills, strict=True):
            lost = ops.reshape(lost, (-1, *ops.shape(lost)[2:]))
            mean, deviation = hiding.average(sliding.spread(lost, size, grid), len(fills))
            heatmaps.append(mean)
            disagreement.append(deviation)
        further = (disagreement,) if self.further_maps else ()
        return heatmaps, predictions, *further

    def drops(self, values, request=None):
        """The score lost at each position, before it is spread over pixels.

        Returns:
            A list with one tensor (N, positions per axis...) for each explained input, the mean
            over the fills, and the predictions.
        """
        found, predictions, _ = self._drops_of_fills(values, request)
        return [ops.mean(lost, axis=1) for lost in found], predictions

    def _drops_of_fills(self, values, request):
        """The same for each fill, (N, fills, positions per axis...), and the sizes slid along."""
        raw, predictions = self.question.program(values)
        scores = self.question.scores(raw, predictions)
        chosen = self.question.choose_class(scores, request)
        folded, plans = (self.sized and self.sized.at(values)) or (self.folded, self.plans)
        fast = bind(folded)  # once a call, outside of the loop over positions
        rounding = 4 * self.question.rounding(raw, scores, chosen)
        inner = values if self.stem is None else self.stem(values)
        found, sizes = [], []
        for source, value, grid, plan, fills in zip(
                self.question.explained, self.slid, self.grids, plans, self.fills, strict=True):
            image = inner[self.program.inputs.index(value)]
            axes, space = (f(self.program, value) for f in (heatmap_axes, space_axes))
            sizes.append([ops.shape(image)[a] for a in axes])
            sigmas = [max(1.0, grid[axes.index(a)][0] / 2) for a in space]
            fills = hiding.Fills(image, space, fills, sigmas, self._data_of(source, values), axes)
            if isinstance(plan, Plan):
                lost = self._drops_by_windows(fast, inner, plan, fills, chosen)
            else:
                lost = self._drops(fast, inner, value, grid, fills, chosen)
            found.append(sliding.unless_rounding(lost, rounding))
        return found, predictions, sizes

    def _drops_by_windows(self, program, values, plan, fills, chosen):
        """Score lost at each position, shape (N, fills, positions per axis...)."""
        def score(outputs, image):
            scores = self.question.scores(*outputs) * ops.take(chosen, image, axis=0)
            return ops.sum(scores, axis=-1)

        exact = None
        if self._reduces():
            rows = plan.rows[plan.first_reduced():]
            exact = program
            program = reduce_precision(self.folded, [(row.step, row.macs) for row in rows])
        search = None
        if self.search == "adaptive":
            search = Search.of(plan.counts, plan.grid)
        lost = drops(plan, program, values, fills, score, self.batch_size, exact, search)
        return ops.reshape(lost, (-1, fills.count, *plan.counts))

    def _reduces(self):
        """Whether to compute in less than float32, which needs a machine that can."""
        if self.precision == "float32" or is_native():
            return self.precision != "float32"
        warnings.warn(
            f"This machine has no instructions for {self.precision}; occlusion runs in float32.",
            stacklevel=2,
        )
        return False

    def _drops(self, program, values, value, grid, fills, chosen):
        """The same, by one run of the whole model for each position."""
        index = self.program.inputs.index(value)
        image, axes = values[index], heatmap_axes(self.program, value)
        sizes = [ops.shape(image)[a] for a in axes]
        counts = [sliding.count(size, *step) for size, step in zip(sizes, grid, strict=True)]
        clean = ops.sum(self.question.scores(*program(values)) * chosen, axis=-1)

        def score(pairs):
            which, masks = sliding.masks(pairs, sizes, counts, grid)
            patch = fills.take(which, ops.logical_not(masks))
            which = which // fills.count
            rows = take_rows(values, which)
            masks = hiding.expand_mask(masks, len(image.shape), axes)
            rows[index] = ops.where(masks, patch, rows[index])
            lost = self.question.scores(*program(rows)) * ops.take(chosen, which, axis=0)
            return ops.take(clean, which) - ops.sum(lost, axis=-1)

        images = ops.shape(image)[0]
        if self.search == "full":
            found = sliding.for_all_pairs(
                score, images, [fills.count, *counts], self.batch_size)
            return ops.reshape(found, (-1, fills.count, *counts))
        search, total = Search.of(counts, grid), math.prod(counts)
        found = image_by_image(
            lambda row: search(lambda positions: by_chunks(
                lambda p: score(row * total + p), positions, self.batch_size)),
            images * fills.count, total)
        return ops.reshape(found, (-1, fills.count, *counts))

    def blank_causes(self, values, chosen):
        if self.stem is not None:
            return [None] * len(chosen)
        return compare_to_baseline(self.question, values, self.baseline)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "stride": self.stride,
            "baseline": baselines.to_config(self.baseline, self.keys),
            "batch_size": self.batch_size,
            "engine": self.engine,
            "precision": self.precision,
            "search": self.search,
        }


def _find_slid(program, value):
    """What patches slide along: an input, or the ids or counts that its texts become."""
    if value.spec.dtype != "string":
        return value
    place = places(program, value)[0]  # an error where nothing turns them into numbers
    step = find_vectorizer(program, value)[1]
    return place.read if is_category(program, value) or step is None else step.outputs[0]


def _fill_slid(program, value, slid, fills):
    """The fills of an input as those of what patches slide along."""
    if value is slid:
        return fills
    if not is_category(program, value):
        return ("zero",)
    texts = np.stack(fills)
    texts = np.broadcast_to(texts.reshape(len(fills), -1), (len(fills), 1))
    inputs = [np.zeros((len(fills), *[1] * (len(v.spec.shape) - 1))) for v in program.inputs]
    inputs = [ops.convert_to_tensor(
        texts.reshape(-1, *v.spec.shape[1:]).tolist() if v is value else
        np.full(x.shape, "") if v.spec.dtype == "string" else x.astype(v.spec.dtype))
        for v, x in zip(program.inputs, inputs, strict=True)]
    (ids,) = program.with_outputs([slid])(inputs)
    return tuple(ops.convert_to_numpy(ids).astype("float32"))


def _pixels(name, value):
    return None if value is None else check_per_axis(
        name, value, "Give a number of pixels, not a share of the input.")


@spell_out(Occlusion)
def occlusion(model: keras.Model, **options: Unpack[OcclusionOptions]) -> ExplainedModel:
    """Build a model that hides one patch after the other and records what the score loses.

    What people understand best, and faithful by construction: each number is a measured drop.
    A pixel gets the mean drop over the patches that cover it. It needs no gradient and no inner
    layer, so it explains any model. Every position is a forward pass; in models of convolutions
    only the window of each activation that the patch can reach is computed again, which gives
    the same numbers up to rounding and is many times faster (docs/occlusion_engine.md).

    Reference: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks",
    https://arxiv.org/abs/1311.2901.

    Args:
        model: a built `keras.Model`, of any kind. Never changed.
        **options: those of `OcclusionOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is the signed drop, float32
        of shape (N, H, W), (N, T), (N, F) or (N, D, H, W): positive where hiding the patch
        lowers the score. With several fills also "disagreement", of the heatmap's shape: the
        standard deviation of the drop over the fills.

    Raises:
        TypeError, ValueError: see `grad_cam`; a patch that is larger than the input; a model
            that cannot run by windows with engine="incremental".

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Flatten(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> explained = kx.occlusion(model, patch_size=4, stride=2)
        >>> explained.predict(np.random.rand(3, 16, 16, 1), verbose=0)["heatmap"].shape
        (3, 16, 16)
    """
    return Occlusion(model, **options).explained_model()
