"""LIME for images: which superpixels speak for a class."""

import warnings
from collections.abc import Callable
from typing import Any, Literal, Unpack

import numpy as np
from keras import ops

from keras_explain import superpixels
from keras_explain.checks import check_choice, nearest
from keras_explain.engine.precision import is_native
from keras_explain.engine.windows.run import PROBES
from keras_explain.lime._arguments import Arguments
from keras_explain.lime._base import LimeExplainer, make_explanation
from keras_explain.lime._filling import NAMED, SEVERAL, average, make_fill
from keras_explain.lime._inputs import pad
from keras_explain.lime._local import Problem
from keras_explain.lime._options import ExplainerOptions, ExplainOptions
from keras_explain.lime._subjects import ImageSubject
from keras_explain.lime.explanation import Explanation
from keras_explain.signatures import spell_out
from keras_explain.superpixels._canvas import check_image


class LimeImageExplainer(LimeExplainer):
    """Explains an image classifier by the superpixels that raise or lower a class's score.

    Needs nothing but scores, so it works for every model. Superpixels are replaced by a
    baseline, the perturbed images are made and scored inside one compiled function, and a sparse
    linear model of the scores gives each superpixel a weight for each class.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you? Explaining the
    predictions of any classifier", KDD, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model, a callable from images `(N, ...)` to scores `(N, classes)`, or a
            `Predictor`.
        segments: how superpixels are found, as `method` of `superpixels.segment`: `"slic"`,
            `"seeds"`, `"lsc"`, `"quickshift"`, `"felzenszwalb"`, `"grid"`, a number of SLIC
            superpixels, labels `(H, W)` or a callable.
        baseline: what replaces a superpixel: `"mean"`, its mean color, as in `lime`; `"blur"`;
            `"noise"` of the image's own statistics; `"inpaint"`, from the pixels around it; a
            number or color in the image's own units; an array of the image's shape.
            `"several"` explains with the four named ones, at the cost of each, and averages.
        preprocess: from a batch of images like the explained one to the model's input.
        batch_size: the largest number of images that the model sees at once; memory is bounded by
            it, whatever the number of samples.
        precision: `"float32"`, or `"bfloat16"`: about twice as fast where the processor computes
            it natively. It is checked on the first batch of each explanation; where the scores'
            correlation with exact ones is below about 0.99 they are exact, with a warning.
        **options: those of `ExplainerOptions`.

    Raises:
        TypeError, ValueError: an argument is none of the above; bfloat16 with a batch below 16 or
            anything but a Keras model of one input with convolutions.

    Example:
        >>> import numpy as np
        >>> from keras_explain.lime import LimeImageExplainer
        >>> left = lambda images: images[:, :, :4].mean(axis=(1, 2))  # brightness on the left
        >>> image = np.zeros((8, 8))
        >>> image[:, :2] = 1
        >>> stripes = np.repeat([[0, 0, 1, 1, 2, 2, 3, 3]], 8, axis=0)
        >>> explainer = LimeImageExplainer(left, segments=stripes, baseline=0.5)
        >>> explanation = explainer.explain(image, target=1)
        >>> explanation.weights.round(2)[0].tolist()
        [0.25, -0.25, 0.0, 0.0]
    """

    @spell_out(LimeExplainer)
    def __init__(
        self,
        model: Any,
        *,
        segments: Any = "slic",
        baseline: Any = "mean",
        preprocess: Callable[..., Any] | None = None,
        batch_size: int = 32,
        precision: Literal["float32", "bfloat16"] = "float32",
        **options: Unpack[ExplainerOptions],
    ) -> None:
        super().__init__(model, preprocess, num_features=None, batch_size=batch_size,
                         distance="l2", default_surrogate="highest_weights", waits=True, **options)
        if isinstance(segments, str) and segments not in superpixels.METHODS:
            near = nearest(segments, superpixels.METHODS) or ["slic"]
            raise ValueError(
                f"Expected `segments` to be one of {sorted(superpixels.METHODS)}, a number, labels"
                f" or a callable, received {segments!r}. Did you mean {near[0]!r}?"
            )
        if isinstance(baseline, str) and baseline not in NAMED:
            raise ValueError(
                f"Expected `baseline` to be one of {NAMED}, a color or an image, received"
                f" {baseline!r}. For black pass the image's lowest value."
            )
        self._segments, self._baseline = segments, baseline
        self._rough = _make_rough(self._predictor, precision, self._local.batch_size)
        self._compiled = {}  # functions by predictor and axis of the channels

    def __getstate__(self):
        return {**vars(self), "_compiled": {}}

    @spell_out(Arguments)
    def explain(
        self, x: Any, *, samples: int = 1000, **options: Unpack[ExplainOptions]
    ) -> Explanation:
        """Explain one image.

        Args:
            x: an image `(H, W)`, `(H, W, C)` or `(C, H, W)`, as the model, or `preprocess`, takes
                it; with or without a batch axis of 1. A gray image gets the model's number of
                channels. `(C, H, W)` is assumed where the first axis is 1, 3 or 4 and the last is
                not.
            samples: how many perturbed images the model sees, the image itself included. Where
                all subsets of the superpixels are fewer, each is tried once.
            **options: those of `ExplainOptions`.

        Returns:
            An `Explanation`.

        Raises:
            TypeError, ValueError: the image does not fit the model, holds NaN, or an argument is
                none of the above; scores that are not finite.
        """
        arguments = self._check_arguments(samples, **options)
        predictor, rough = self._predictor_for(arguments), self._rough
        if rough is not None and callable(arguments.target):
            rough = rough.with_target(arguments.target)
        self._forget_all_but(predictor, rough)
        image, axis = self._check_image(x)
        subject = ImageSubject(
            image, superpixels.segment(_move_channels_last(image, axis), self._segments), axis
        )
        several = isinstance(self._baseline, str) and self._baseline == "several"
        results = []
        for baseline in SEVERAL if several else (self._baseline,):
            fill = make_fill(baseline, subject)
            problem = Problem(
                subject.features,
                self._make_scores(subject, predictor, fill),
                rough=None if rough is None else self._make_scores(subject, rough, fill),
                what="superpixel",
                is_ambiguous=predictor.is_ambiguous,
            )
            results.append(self._local.explain(problem, arguments))
        return make_explanation(subject, average(results), arguments)

    def _forget_all_but(self, *predictors):
        """Let go of what was compiled for other callable targets."""
        kept = (self._predictor, self._rough, *predictors)
        self._compiled = {key: f for key, f in self._compiled.items() if key[0] in kept}

    def _check_image(self, image):
        """The image as the model takes it, without batch axis, and the axis of its channels."""
        image = np.asarray(image)
        if image.ndim == 4 and len(image) == 1:
            image = image[0]
        check_image(image)
        axis = _find_channel_axis(image)
        shape, dtype = self._predictor.input_spec
        if shape is None or self._predictor.preprocess is not None:
            return image, axis
        if np.dtype(dtype if dtype != "bfloat16" else "float32").kind == "f":
            image = image.astype(np.float32)
        if len(shape) == 4 and (axis is None or image.shape[axis] == 1):
            gray = image if axis is None else np.squeeze(image, axis)
            axis = 0 if shape[-1] not in (1, 3) and shape[1] in (1, 3) else -1
            image = np.repeat(np.expand_dims(gray, axis), shape[-1 if axis else 1] or 1, axis)
        fits = len(image.shape) == len(shape) - 1 and all(
            wanted in (None, size) for wanted, size in zip(shape[1:], image.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"Expected an image of shape {shape[1:]}, which {self._predictor.name} takes, "
                f"received {image.shape}. Resize or convert it, or pass `preprocess` that does."
            )
        return image, axis

    def _make_scores(self, subject, predictor, fill):
        """The function of a `Problem`: masks of superpixels to scores."""
        image, labels = subject.image, subject.segments
        compiled = self._compile(predictor, image, subject.channels)
        batch_size = self._local.batch_size

        def on_host(masks, start):
            keep = masks[:, labels]
            if subject.channels is not None:
                keep = np.expand_dims(keep, 1 if subject.channels == 0 else -1)
            return predictor(np.where(keep, image, fill), batch_size)

        def in_graph(masks, start):
            # widths in powers of two: images of other numbers of superpixels share the trace
            width = max(64, 1 << (masks.shape[1] - 1).bit_length())
            padded = np.pad(pad(masks, batch_size), ((0, 0), (0, width - masks.shape[1])))
            return predictor.fetch(compiled(padded, image, fill, labels), len(masks))

        return on_host if compiled is None else in_graph

    def _compile(self, predictor, image, axis):
        """The compiled function of masks, image, fill and labels; `None` where there is none."""
        if (predictor, axis) not in self._compiled:

            def compose(masks, image, fill, labels):
                keep = ops.take(masks, labels, axis=1)
                if axis is not None:
                    keep = ops.expand_dims(keep, 1 if axis == 0 else -1)
                return ops.where(keep, image, fill)

            self._compiled[predictor, axis] = predictor.compose(compose, image[None])
        return self._compiled[predictor, axis]


def _make_rough(predictor, precision, batch_size):
    """The predictor in bfloat16, or `None` where all is to be exact."""
    check_choice("precision", precision, ("float32", "bfloat16"))
    if precision == "float32":
        return None
    if batch_size < PROBES:
        raise ValueError(
            f"Expected a `batch_size` of {PROBES} or more with precision='bfloat16', which is"
            f" checked on one batch, received {batch_size}. Raise it, or use float32."
        )
    rough = predictor.reduce()
    if rough is None:
        raise ValueError(
            "Expected a Keras model of one input with convolutions for precision='bfloat16', "
            f"received {predictor.name}. Use precision='float32'."
        )
    if not is_native():
        warnings.warn(
            "This machine has no instructions for bfloat16; LIME runs in float32.", stacklevel=3
        )
        return None
    return rough


def _find_channel_axis(image):
    if image.ndim == 2:
        return None
    return 0 if image.shape[0] in (1, 3, 4) and image.shape[-1] not in (1, 3, 4) else -1


def _move_channels_last(image, axis):
    return np.moveaxis(image, 0, -1) if axis == 0 else image
