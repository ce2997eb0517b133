"""SmoothGrad: the gradient, averaged over noisy copies of the input."""

from typing import Annotated, Literal, Unpack

import keras
import numpy as np
from keras import ops

from keras_explain.checks import check_bool, check_choice, check_integer, check_positive
from keras_explain.engine import hiding, packing
from keras_explain.engine.baselines import noise_axes, noise_scales
from keras_explain.engine.noise import normal
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Baseline, SignedInputOptions
from keras_explain.explainers._repeated import RepeatedGradients
from keras_explain.explainers.saliency import maps_of
from keras_explain.signatures import spell_out

FORMS = ("mean", "squared", "variance")


@keras.saving.register_keras_serializable("keras_explain")
class SmoothGrad(RepeatedGradients):
    """The layer behind `smooth_grad`."""

    def __init__(self, model, *, samples=32, noise=0.1, form="mean", signed=False, seed=0,
                 baseline=None, **options):
        super().__init__(model, **options)
        samples, seed = check_positive("samples", samples), check_integer("seed", seed, 0)
        check_choice("form", form, FORMS)
        if not noise >= 0:
            raise ValueError(
                "Expected `noise` of at least 0, the standard deviation as a share of each"
                f" image's range, received {noise!r}. 0.1 to 0.2 is usual."
            )
        if signed and form != "mean":
            raise ValueError(
                f'Expected form="mean" with signed=True, received form={form!r}, which has no'
                " sign. Leave `signed` out."
            )
        self.samples, self.noise, self.form = samples, noise, form
        self.signed, self.seed = check_bool("signed", signed), seed
        self.scales = noise_scales(baseline, self.question, self.keys)

    def compute(self, values, request):
        points, head, fast = self.split(values)
        scores, predictions = head(points)
        chosen = self.question.choose_class(scores, request)
        widths = [self.noise * width for width in self._widths(points, values)]

        def vary(rows, which):
            noisy = []
            for i, (point, width) in enumerate(zip(points, widths, strict=True)):
                numbers = normal(ops.shape(point)[1:], which, self.seed + i)
                numbers = numbers * ops.take(width, rows, axis=0)
                noisy.append(ops.take(point, rows, axis=0) + ops.cast(numbers, point.dtype))
            return noisy

        def terms(gradients, rows, which):
            if self.form == "mean":
                return gradients
            if self.form == "squared":
                return [ops.square(g) for g in gradients]
            shifted = [g - ops.take(c, rows, axis=0)
                       for g, c in zip(gradients, centers, strict=True)]
            return [*shifted, *[ops.square(s) for s in shifted]]

        lists = 1
        if self.form == "variance":  # of differences from the clean gradient, which round less
            _, centers, _ = self.question.differentiate(values, request, self.cut)
            centers, lists = [ops.cast(c, "float32") for c in centers], 2
        sums = self.sums(points, fast, chosen, self.samples, vary, terms, lists)
        means = [s / self.samples for s in sums]
        if self.form == "variance":
            count = len(points)
            means = [ops.maximum(square - ops.square(mean), 0.0)
                     for mean, square in zip(means[:count], means[count:], strict=True)]
        return maps_of(self, means, self.signed), predictions

    def _widths(self, points, values):
        """What noise is a share of at each point, with the point's axes; 0 at padding."""
        found, explained = [], self.question.explained
        for cut, point in zip(self.cut, points, strict=True):
            if cut not in explained:
                found.append(_range(point, range(1, len(point.shape))))
                continue
            scale, data = self.scales[explained.index(cut)], self._data_of(cut, values)
            if data is not None:
                data = hiding.expand_mask(data, len(point.shape), (1,))
            if scale is None:
                width = _range(point, noise_axes(self.question.program, cut), data)
            else:
                width = ops.convert_to_tensor(scale) + ops.zeros_like(point, dtype="float32")
            found.append(width if data is None else ops.where(data, width, 0.0))
        return found

    def get_config(self):
        ranges = {str(k): packing.to_config(np.stack([0 * s, s]))
                  for k, s in zip(self.keys, self.scales, strict=True) if s is not None}
        given = next(iter(ranges.values())) if len(self.keys) == len(ranges) == 1 else ranges
        return {**super().get_config(), "samples": self.samples, "noise": self.noise,
                "baseline": given or None,
                "form": self.form, "signed": self.signed, "seed": self.seed}


def _range(point, axes, data=None):
    """Largest minus smallest number of each example along axes, float32 of shape (N, 1, ...)."""
    point, axes = ops.cast(point, "float32"), tuple(axes)
    low = point if data is None else ops.where(data, point, np.inf)
    high = point if data is None else ops.where(data, point, -np.inf)
    found = ops.max(high, axis=axes, keepdims=True) - ops.min(low, axis=axes, keepdims=True)
    return found if data is None else ops.maximum(found, 0.0)


class SmoothGradOptions(SignedInputOptions, total=False):
    """What `smooth_grad` takes besides."""

    samples: Annotated[
        int,
        "noisy copies of each image.",
    ]
    noise: Annotated[
        float,
        "standard deviation as a share of each image's own range (largest minus smallest value; "
        "of the embedding for tokens, of each channel for series, of each column of `baseline` "
        "for tables).",
    ]
    baseline: Annotated[
        Baseline,
        "background data (`X_train`), whose range in each column noise is a share of. Tables need "
        "them, because the columns of one row have no range; others take their own range.",
    ]
    form: Annotated[
        Literal["mean", "squared", "variance"],
        '"mean" of the gradients, mean of their squares ("squared"), or their "variance".',
    ]
    seed: Annotated[
        int,
        "of the noise. Keras's generators are not touched.",
    ]
    batch_size: Annotated[
        int,
        "copies that are differentiated at a time. It bounds the memory and changes no number.",
    ]


@spell_out(SmoothGrad)
def smooth_grad(model: keras.Model, **options: Unpack[SmoothGradOptions]) -> ExplainedModel:
    """Build a model that shows how strongly each pixel moves the score, without the noise.

    The gradient of a deep network jumps from pixel to pixel. Its mean over noisy copies of the
    image is the gradient of a smoothed score, and easier to look at. Costs `samples` times what
    saliency costs. The class is the one of the clean image; the noise of an image depends on the
    seed alone, not on its place in a batch, and is the same on every backend.

    Reference: Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise",
    https://arxiv.org/abs/1706.03825. "squared": Hooker et al. 2019, "A Benchmark for
    Interpretability Methods in Deep Neural Networks", https://arxiv.org/abs/1806.10758.
    "variance": Adebayo et al. 2018, "Local Explanation Methods for Deep Neural Networks Lack
    Sensitivity to Parameter Values", https://arxiv.org/abs/1810.03307.

    Args:
        model: a built `keras.Model`; subclassed models need not be traceable. Never changed.
        signed: True keeps the sign of the mean, summed over the channels; else the largest
            magnitude over the channels.
        **options: those of `SmoothGradOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape (N, H, W)
        for images, (N, T) for sequences and tokens, (N, F) for tables, in units of the logit per
        unit of input, squared for the two other forms.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> out = kx.smooth_grad(model, samples=4).predict(np.random.rand(3, 16, 16, 1), verbose=0)
        >>> out["heatmap"].shape
        (3, 16, 16)
    """
    return SmoothGrad(model, **options).explained_model()
