"""Integrated gradients, and expected gradients over several hiding."""

from typing import Annotated, Literal, Unpack

import keras
import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.checks import check_choice, check_positive
from keras_explain.engine import baselines, hiding
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Baseline, InputOptions
from keras_explain.explainers._repeated import RepeatedGradients
from keras_explain.explainers.saliency import maps_of
from keras_explain.graph.axes import space_axes
from keras_explain.signatures import spell_out

METHODS = ("gauss_legendre", "midpoint")


@keras.saving.register_keras_serializable("keras_explain")
class IntegratedGradients(RepeatedGradients):
    """The layer behind `integrated_gradients`."""

    signed = True
    figures = ("completeness_gap",)

    def __init__(self, model, *, baseline=None, steps=32, method="gauss_legendre", **options):
        super().__init__(model, **options)
        steps = check_positive("steps", steps)
        check_choice("method", method, METHODS)
        self.steps, self.method = steps, method
        self.baseline = baselines.settle_each(
            baseline, self.question.program, self.question.explained, self.keys, "zero", False)
        self.stacked = tuple(hiding.is_stack(b, v.spec) for b, v in zip(
            self.baseline, self.question.explained, strict=True))
        counts = {len(b) for b, several in zip(self.baseline, self.stacked, strict=True) if several}
        if len(counts) > 1:
            raise ValueError(
                "Expected stacks of equally many baselines for each input, received"
                f" {sorted(counts)}. The first baselines of all inputs go together, and so on."
            )
        self.baseline_count = counts.pop() if counts else 1

    def compute(self, values, request):
        points, head, fast = self.split(values)
        scores, predictions = head(points)
        chosen = self.question.choose_class(scores, request)
        bases = [self._base(cut, point, values)
                 for cut, point in zip(self.cut, points, strict=True)]
        nodes, weights = (ops.convert_to_tensor(x) for x in _quadrature(self.method, self.steps))

        def bases_of(rows, which):
            return [ops.take(base, which if self.stacked[self._input_of(cut)] else rows, axis=0)
                    for base, cut in zip(bases, self.cut, strict=True)]

        def vary(rows, which):
            varied = []
            for point, base in zip(points, bases_of(rows, which // self.steps), strict=True):
                share = ops.take(nodes, which % self.steps, axis=0)
                share = ops.cast(ops.reshape(share, (-1, *[1] * (len(base.shape) - 1))), base.dtype)
                varied.append(base + share * (ops.take(point, rows, axis=0) - base))
            return varied

        def terms(gradients, rows, which):
            found = []
            weight = ops.take(weights, which % self.steps, axis=0)
            for gradient, point, base in zip(
                gradients, points, bases_of(rows, which // self.steps), strict=True
            ):
                moved = ops.cast(ops.take(point, rows, axis=0) - base, "float32")
                share = ops.reshape(weight, (-1, *[1] * (len(base.shape) - 1)))
                found.append(share * moved * gradient)
            return found

        rows = ops.arange(ops.shape(scores)[0], dtype="int32")

        def add_base_score(which, total):
            base_scores, _ = fast(bases_of(rows, ops.zeros_like(rows) + which))
            return total + ops.sum(base_scores * chosen, axis=-1)

        count = self.baseline_count * self.steps
        sums = self.sums(points, fast, chosen, count, vary, terms)
        start = ops.zeros_like(scores[:, 0])
        if self.baseline_count == 1:  # the usual case, which compiles faster without a loop
            start = add_base_score(0, start)
        else:
            start = backend.fori_loop(0, self.baseline_count, add_base_score, start)
        gap = start / self.baseline_count - ops.sum(scores * chosen, axis=-1)
        totals = [total / self.baseline_count for total in sums]
        for total in totals:
            gap = gap + ops.sum(total, axis=tuple(range(1, len(total.shape))))
        return maps_of(self, totals, signed=True), predictions, gap

    def _input_of(self, cut):
        """The place of the input that is differentiated at `cut`, among the explained ones."""
        return self.question.explained.index(next(p.value for p in self.places if p.cut is cut))

    def _base(self, cut, point, values):
        """The baselines at `cut`, one per example or per baseline."""
        i = self._input_of(cut)
        value, given = self.question.explained[i], self.baseline[i]
        if cut is value:
            return ops.cast(self._base_input(i, values), point.dtype)
        if isinstance(given, str):  # no token: zero, or the mean of the sentence
            several = given == "mean" and len(point.shape) > 2
            mean = ops.mean(point, axis=1, keepdims=True) if several else 0
            return ops.zeros_like(point) + mean
        bases = {v: self._base_of_dtype(j, values)
                 for j, v in enumerate(self.question.explained)
                 if not isinstance(self.baseline[j], str)}
        inputs = [bases.get(v, x)
                  for v, x in zip(self.question.program.inputs, values, strict=True)]
        (base,) = self.question.program.with_outputs([cut])(inputs)
        return ops.cast(base, point.dtype)

    def _base_of_dtype(self, i, values):
        base, value = self._base_input(i, values), self.question.explained[i]
        return base if value.spec.dtype == "string" else ops.cast(
            base, values[self.question.index(value)].dtype)

    def _base_input(self, i, values):
        value, given = self.question.explained[i], self.baseline[i]
        x = values[self.question.index(value)]
        if value.spec.dtype == "string":
            texts = ops.convert_to_tensor(given.tolist())
            return texts if self.stacked[i] else ops.broadcast_to(texts, ops.shape(x))
        if self.stacked[i]:
            return ops.zeros_like(x[:1], dtype="float32") + ops.convert_to_tensor(given)
        return hiding.baseline(x, space_axes(self.question.program, value), given,
                               self._data_of(value, values))

    def get_config(self):
        return {**super().get_config(), "steps": self.steps, "method": self.method,
                "baseline": baselines.to_config(self.baseline, self.keys)}


def _quadrature(method, steps):
    """Nodes and weights of the integral from 0 to 1, float32."""
    if method == "midpoint":
        nodes, weights = (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)
    else:
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        nodes, weights = (nodes + 1) / 2, weights / 2
    return nodes.astype("float32"), weights.astype("float32")


class IntegratedGradientsOptions(InputOptions, total=False):
    """What `integrated_gradients` takes besides."""

    baseline: Annotated[
        Baseline,
        "\"zero\" (the default), \"mean\" (of the image, per channel), \"blur\", a number, a "
        "color, an array of the input's shape, or background data (`X_train`), whose results are "
        "averaged over at most 64 rows. For models of tokens \"zero\" and \"mean\" are "
        "embeddings, numbers and arrays token ids. Tables need rows of data, a value per column "
        "or a number. With several inputs, a dict may hold one for each (by name, or index).",
    ]
    steps: Annotated[
        int,
        "points on the way.",
    ]
    method: Annotated[
        Literal["gauss_legendre", "midpoint"],
        'where they lie: "gauss_legendre" or "midpoint" (the Riemann sum).',
    ]
    batch_size: Annotated[
        int,
        "points that are differentiated at a time. It bounds the memory and changes no number.",
    ]


@spell_out(IntegratedGradients)
def integrated_gradients(
    model: keras.Model, **options: Unpack[IntegratedGradientsOptions]
) -> ExplainedModel:
    """Build a model that shares the score out over the pixels, so that the shares add up.

    The gradient of the class's logit, averaged along the straight way from a baseline (an input
    with nothing to see) to the image, times the way. The shares add up to the difference of the
    two scores; by how much the sum misses it is reported for each image, so that one sees
    whether `steps` are enough. Costs `steps` times what saliency costs, for each baseline.
    Pixels that look like the baseline get nothing: several baselines (expected gradients) help.

    Reference: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks",
    https://arxiv.org/abs/1703.01365. Several baselines: Erion et al. 2021, "Improving performance
    of deep learning models with axiomatic attribution priors and expected gradients",
    https://arxiv.org/abs/1906.10670.

    Args:
        model: a built `keras.Model`; subclassed models need not be traceable. Never changed.
        **options: those of `IntegratedGradientsOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap", "completeness_gap"}; the heatmap is signed,
        float32 of shape (N, H, W) for images, (N, T) for sequences and tokens, (N, F) for
        tables, in units of the logit; the gap, of shape (N,), is the sum of the shares minus the
        difference of the scores.

    Raises:
        TypeError, ValueError: see `grad_cam`; a baseline that does not fit the input.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3, activation="silu"),
        ...     keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> explained = kx.integrated_gradients(model)
        >>> out = explained.predict(np.random.rand(3, 16, 16, 1), verbose=0)
        >>> out["heatmap"].shape, bool((abs(out["completeness_gap"]) < 1e-3).all())
        ((3, 16, 16), True)
    """
    return IntegratedGradients(model, **options).explained_model()
