"""LIME for images: which superpixels speak for a class."""

import warnings

import numpy as np
from keras import ops

from keras_explain import superpixels
from keras_explain.engine.precision import is_native
from keras_explain.engine.windows.run import PROBES
from keras_explain.lime._explainer import Explainer
from keras_explain.lime._local import Problem
from keras_explain.lime.explanation import make
from keras_explain.lime.predictor import pad
from keras_explain.lime.subjects import ImageSubject
from keras_explain.superpixels._canvas import check_image


class LimeImageExplainer(Explainer):
    """Explains an image classifier by the superpixels that raise or lower a class's score.

    Needs nothing but scores, so it works for every model. Superpixels are replaced by a fill, the
    perturbed images are made and scored inside one compiled function, and a sparse linear model of
    the scores gives each superpixel a weight for each class.

    Reference: Ribeiro, Singh and Guestrin, "Why should I trust you? Explaining the predictions of
    any classifier", KDD 2016, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model, a callable from images `(N, ...)` to scores `(N, classes)`, or a
            `Predictor`.
        segments: how superpixels are found, as `method` of `superpixels.segment`: `"slic"`,
            `"seeds"`, `"lsc"`, `"quickshift"`, `"felzenszwalb"`, `"grid"`, a number of SLIC
            superpixels, labels `(H, W)` or a callable.
        fill: what replaces a superpixel: `"mean"`, its mean color, as in `lime`; `"blur"`; a
            number or color in the image's own units; an array of the image's shape.
        preprocess: from a batch of images like the explained one to the model's input.
        sampler: `"hadamard"`, `"bernoulli"`, `"uniform"`, `"sobol"` or a callable; see
            `keras_explain.lime.sampling`. By default `"hadamard"`.
        kernel: how samples are weighted: `"exponential"` of the L2 distance, another
            `Exponential(width, distance)`, a callable, or `"shapley"` for KernelSHAP: the weights
            then sum to the score of the image minus that of the fill alone.
        surrogate: `"highest_weights"`, `"k_lasso"`, `"forward_selection"`, `"ridge"`,
            `"decision_tree"` or a callable. By default `"highest_weights"`.
        class_names: the classes' names.
        batch_size: the largest number of images that the model sees at once; memory is bounded by
            it, whatever the number of samples.
        precision: `"float32"`, or `"bfloat16"`: about twice as fast where the processor computes
            it natively. It is checked on the first batch of each explanation; where the scores'
            correlation with exact ones is below about 0.99 they are exact, with a warning.

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
        >>> explanation = LimeImageExplainer(left, segments=stripes, fill=0.5).explain(image, [1])
        >>> explanation.weights.round(2)[0].tolist()
        [0.25, -0.25, 0.0, 0.0]
    """

    def __init__(
        self,
        model,
        *,
        segments="slic",
        fill="mean",
        preprocess=None,
        sampler=None,
        kernel="exponential",
        surrogate=None,
        class_names=None,
        batch_size=32,
        precision="float32",
    ):
        super().__init__(
            model,
            preprocess,
            class_names,
            sampler=sampler,
            kernel=kernel,
            surrogate=surrogate,
            batch_size=batch_size,
            distance="l2",
            default_surrogate="highest_weights",
        )
        if isinstance(segments, str) and segments not in superpixels.METHODS:
            raise ValueError(
                f"Expected segments to be one of {sorted(superpixels.METHODS)}, a number, labels "
                f"or a callable, received {segments!r}."
            )
        if isinstance(fill, str) and fill not in ("mean", "blur"):
            raise ValueError(
                f"Expected fill to be 'mean', 'blur', a color or an image, received {fill!r}."
            )
        self._segments, self._fill = segments, fill
        self._rough = _rough(self._predictor, precision, self._local.batch_size)
        self._steps = {}  # compiled functions, by predictor and axis of the channels

    def explain(
        self,
        image,
        classes=None,
        num_samples=1000,
        num_features=None,
        seed=0,
        tolerance=None,
        verbose="auto",
    ):
        """Explain one image.

        Args:
            image: `(H, W)`, `(H, W, C)` or `(C, H, W)`, as the model, or `preprocess`, takes it;
                with or without a batch axis of 1. A gray image gets the model's number of
                channels. `(C, H, W)` is assumed where the first axis is 1, 3 or 4 and the last is
                not.
            classes: `None` for the top class, an int for so many top classes, or a list of class
                indices and names. All come from one set of samples.
            num_samples: how many perturbed images the model sees, the image itself included. Where
                all subsets of the superpixels are fewer, each is tried once.
            num_features: how many superpixels may get a weight (K in the paper); `None` for all.
            seed: the same seed gives the same explanation. The global generators are not used.
            tolerance: stop as soon as the weights' relative standard error is below this.
            verbose: `"auto"` shows progress on a terminal's stderr; 0 never, 1 always.

        Returns:
            An `Explanation`.

        Raises:
            TypeError, ValueError: the image does not fit the model, holds NaN, or an argument is
                none of the above; scores that are not finite.
        """
        request = self._request(classes, num_samples, num_features, seed, tolerance, verbose)
        image, axis = self._checked(image)
        subject = ImageSubject(
            image, superpixels.segment(_channels_last(image, axis), self._segments), axis
        )
        rough = None if self._rough is None else self._scores_of(subject, self._rough)
        scores = self._scores_of(subject, self._predictor)
        problem = Problem(subject.features, scores, rough=rough, what="superpixel")
        result = self._local.explain(problem, request)
        return make(subject, result, self._class_names, seed)

    def _checked(self, image):
        """The image as the model takes it, without batch axis, and the axis of its channels."""
        image = np.asarray(image)
        if image.ndim == 4 and len(image) == 1:
            image = image[0]
        check_image(image)
        axis = _channel_axis(image)
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
                f"received {image.shape}. Resize or convert it, or pass preprocess= that does."
            )
        return image, axis

    def _scores_of(self, subject, predictor):
        """The function of a `Problem`: masks of superpixels to scores."""
        image, labels = subject.image, subject.segments
        fill = self._fill_of(subject)
        step = self._step(predictor, image, subject.channels)
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
            return predictor.fetch(step(padded, image, fill, labels), len(masks))

        return on_host if step is None else in_graph

    def _step(self, predictor, image, axis):
        """The compiled function of masks, image, fill and labels; `None` where there is none."""
        if (predictor, axis) not in self._steps:

            def compose(masks, image, fill, labels):
                keep = ops.take(masks, labels, axis=1)
                if axis is not None:
                    keep = ops.expand_dims(keep, 1 if axis == 0 else -1)
                return ops.where(keep, image, fill)

            self._steps[predictor, axis] = predictor.composed(compose, image[None])
        return self._steps[predictor, axis]

    def _fill_of(self, subject):
        """What shows where a superpixel is out: an array of the image's shape and dtype."""
        picture = subject.picture.astype(np.float32)
        flat = picture.reshape(*picture.shape[:2], -1)
        if isinstance(self._fill, str) and self._fill == "mean":
            fill = _segment_means(flat, subject.segments)
        elif isinstance(self._fill, str):
            fill = _blurred(flat)
        else:
            fill = _broadcast(self._fill, flat, subject)
        fill = _in_shape(fill, subject)
        if subject.image.dtype.kind in "iu":
            fill = np.rint(fill)
        return fill.astype(subject.image.dtype)


def _rough(predictor, precision, batch_size):
    """The predictor in bfloat16, or `None` where all is to be exact."""
    if precision not in ("float32", "bfloat16"):
        raise ValueError(
            f"Expected precision to be 'float32' or 'bfloat16', received {precision!r}."
        )
    if precision == "float32":
        return None
    if batch_size < PROBES:
        raise ValueError(
            f"Expected batch_size of {PROBES} or more with precision='bfloat16', which is checked "
            f"on one batch, received {batch_size}."
        )
    rough = predictor.reduced()
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


def _channel_axis(image):
    if image.ndim == 2:
        return None
    return 0 if image.shape[0] in (1, 3, 4) and image.shape[-1] not in (1, 3, 4) else -1


def _channels_last(image, axis):
    return np.moveaxis(image, 0, -1) if axis == 0 else image


def _in_shape(flat, subject):
    """Channels last, as in `flat`, to the image's own layout."""
    if subject.channels is None:
        return flat[..., 0]
    return np.moveaxis(flat, -1, 0) if subject.channels == 0 else flat


def _segment_means(flat, labels):
    counts = np.bincount(labels.ravel())
    sums = [np.bincount(labels.ravel(), channel.ravel()) for channel in np.moveaxis(flat, -1, 0)]
    return (np.stack(sums, axis=-1) / counts[:, None])[labels]


def _blurred(flat):
    import cv2

    sigma = max(flat.shape[:2]) / 20
    channels = np.ascontiguousarray(np.moveaxis(flat, -1, 0))
    channels = [cv2.GaussianBlur(channel, (0, 0), sigma) for channel in channels]
    return np.stack(channels, axis=-1)


def _broadcast(fill, flat, subject):
    fill = np.asarray(fill, np.float32)
    if fill.shape == subject.image.shape and fill.ndim > 1:
        fill = _channels_last(fill, subject.channels).reshape(flat.shape)
    if fill.shape not in ((), flat.shape[-1:], flat.shape) or not np.isfinite(fill).all():
        raise ValueError(
            f"Expected fill to be a number, {flat.shape[-1]} numbers or an array of the image's "
            f"shape {subject.image.shape}, received shape {fill.shape}."
        )
    return np.broadcast_to(fill, flat.shape)
