"""Class activation mapping: the closed form of Grad-CAM for linear heads."""

from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._cam import FeatureMap
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.graph import targets
from keras_explain.graph.steps import kind
from keras_explain.signatures import spell_out

UNCHANGED = ("Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
             "GaussianDropout", "GaussianNoise", "Cast", "InputCast", "KeepMask")
RESHAPING = ("Reshape", "Flatten", "Squeeze", "ExpandDims")


@keras.saving.register_keras_serializable("keras_explain")
class ClosedFormCAM(FeatureMap):
    """The layer behind `cam`."""

    def __init__(self, model, **options):
        super().__init__(model, **options)
        if callable(self.question.target) or self.question.score != "logit":
            raise ValueError(
                'Expected a class as `target` and score="logit", because the closed form holds'
                f" for logits only, received target={self.question.target!r} and"
                f" score={self.question.score!r}."
                " Use `grad_cam`."
            )
        self.heads = tuple(self._head(value) for value in self.features)

    def _head(self, value):
        """The steps from a feature map to the logits, all of them linear."""
        raw = self.question.program.outputs[0]
        after, pooled = value, False
        steps = self.question.program.with_outputs((raw,)).split([value])[1].steps
        for step in steps:
            pooling = _is_pooling(step, self.question.program)
            follows = step.reads == [after] or kind(step.fn) == "KeepMask"
            linear = _is_linear(step, pooled or self._keeps_channels(step))
            if not follows or not (linear or pooling and not pooled):
                raise ValueError(_message(step.path or kind(step.fn)))
            pooled, after = pooled or pooling, step.outputs[0]
        if not pooled:
            raise ValueError(_message("no pooling"))
        return steps

    def _keeps_channels(self, step):
        """Whether a step before pooling leaves the channels, on the last axis, as they are."""
        before, after = step.reads[0], step.outputs[0]
        last = self.question.program.channel_axis(before) == len(before.spec.shape) - 1
        return last and after.spec.shape[-1] == before.spec.shape[-1]

    def map_at(self, value, values, request):
        features, raw, predictions = self.question.program.with_outputs(
            (value, *self.question.program.outputs))(values)
        features = self.channels_last(features, value)
        chosen = self.question.choose_class(self.question.scores(raw, predictions), request)
        weights = None
        for step in self.heads[self.features.index(value)]:
            weights = _through(weights, step.fn)
        if weights is None or len(weights.shape) == 1:
            diagonal = ops.eye(features.shape[-1])
            weights = diagonal if weights is None else diagonal * weights
        by_class = targets.class_scores(weights, self.question.activation)
        weights = ops.matmul(chosen, ops.transpose(by_class))
        space = [1] * (len(features.shape) - 2)
        weights = ops.reshape(weights, (-1, *space, features.shape[-1]))
        return ops.sum(weights * features, axis=-1), predictions


def _is_pooling(step, program):
    """Whether a step averages over space, all of it."""
    name, shape = kind(step.fn), step.reads[0].spec.shape
    if name.startswith("GlobalAveragePooling"):
        return True
    if name == "Mean":
        axes = step.fn.axis if isinstance(step.fn.axis, (list, tuple)) else [step.fn.axis]
        channel = program.channel_axis(step.reads[0])
        space = [a for a in range(1, len(shape)) if a != channel]
        return None not in axes and sorted(a % len(shape) for a in axes) == space
    return False


def _is_linear(step, reshapes):
    """Whether a step maps each cell's channels linearly, up to a constant."""
    fn, name = step.fn, kind(step.fn)
    activation = getattr(fn, "activation", None)
    if activation is not None and activation is not keras.activations.linear:
        return False
    if name in ("Conv1D", "Conv2D", "Conv3D"):
        pointwise = set(fn.kernel_size) == {1} and set(fn.strides) == {1} and fn.groups == 1
        return pointwise and getattr(fn, "quantization_mode", None) is None
    if name == "Dense":
        return getattr(fn, "quantization_mode", None) is None
    if name == "Rescaling":
        return isinstance(fn.scale, (int, float))
    return name in (*UNCHANGED, "BatchNormalization", "Activation") or reshapes and (
        name in RESHAPING)


def _through(weights, fn):
    """Weights of the features after one more step: (channels, units), a diagonal, or None."""
    if kind(fn) == "Rescaling":
        kernel = ops.convert_to_tensor([float(fn.scale)])
    elif kind(fn) == "BatchNormalization":
        kernel = ops.rsqrt(ops.cast(fn.moving_variance, "float32") + fn.epsilon)
        kernel = kernel * ops.cast(fn.gamma, "float32") if fn.scale else kernel
    elif hasattr(fn, "kernel"):
        kernel = ops.cast(ops.convert_to_tensor(fn.kernel), "float32")
        kernel = ops.reshape(kernel, kernel.shape[-2:])
    else:
        return weights
    if weights is None:
        return kernel
    if len(kernel.shape) == 1:
        return weights * kernel
    return weights[:, None] * kernel if len(weights.shape) == 1 else ops.matmul(weights, kernel)


def _message(found):
    return (
        "Expected a head of global average pooling and linear layers (Dense, 1x1 convolution,"
        f" BatchNormalization, Dropout) between the feature map and the logits, received {found!r}."
        " Use `grad_cam`, which explains any differentiable head."
    )


@spell_out(ClosedFormCAM)
def cam(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
    """Build a model that shows how each place added to the logit, without gradients.

    Class activation mapping, the ancestor of Grad-CAM: where global average pooling and a
    linear layer end the network, the class's own weights times the feature maps tell exactly
    what each cell contributes. `relu(cam) / cells` are Grad-CAM's numbers. No gradient
    operation is in the graph, so the explained model converts to engines that know none.

    Reference: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization",
    https://arxiv.org/abs/1512.04150.

    Args:
        model: a built `keras.Model` that ends in global average pooling and linear layers
            (Dropout and BatchNormalization may stand between), then any softmax or sigmoid. It
            is shared and never changed.
        **options: those of `FeatureMapOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is signed, float32 of shape
        (N, H, W), in units of the logit: at its native size (`resize=False`) its mean is the
        logit but for the bias.

    Raises:
        TypeError, ValueError: see `grad_cam`; a head that is not linear, for which `grad_cam`
            is the method.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> out = kx.cam(model, target=1).predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape
        (5, 24, 32)
    """
    return ClosedFormCAM(model, **options).explained_model()
