"""What the steps of a folded program compute."""

import copy
import functools

import keras
from keras import ops

from keras_explain import backend


class Affine:
    """A linear layer with what was folded into it: `activation(kernel * x + bias)`.

    Args:
        kind: "conv", "depthwise", "transpose", "dense", "flat" (dense on a map, which it
            flattens) or "norm" (one factor per channel).
        layer: the user's layer, whose variables are read.
        part: attribute name of the kernel; None for "norm".
    """

    def __init__(self, kind, layer, part="kernel", bias=True, activation=None):
        self.kind, self.layer, self.part = kind, layer, part
        self.use_bias = bias and kind != "norm" and getattr(layer, "use_bias", True)
        self.activation = activation
        self.norms, self.bound, self.dtype = (), None, layer.compute_dtype
        self.padding = getattr(layer, "padding", "valid")
        self.data_format = getattr(layer, "data_format", "channels_last")
        self.strides = _tuple(getattr(layer, "strides", 1))
        self.dilation = _tuple(getattr(layer, "dilation_rate", 1))
        if part == "pointwise_kernel":
            self.padding, self.strides = "valid", (1,) * len(self.strides)
            self.dilation = self.strides

    @property
    def kernel_shape(self):
        """Shape of the kernel; None for "norm"."""
        return tuple(getattr(self.layer, self.part).shape) if self.part else None

    def merge_norm(self, norm):
        """This layer with the normalization `norm` merged into it."""
        twin = copy.copy(self)
        twin.norms = (*self.norms, norm.layer)
        return twin

    def pad_same(self):
        """This layer with padding="same"."""
        twin = copy.copy(self)
        twin.padding = "same"
        return twin

    def of_maps(self):
        """This dense layer with the Flatten before it, and without its activation."""
        twin = copy.copy(self)
        twin.kind, twin.activation = "flat", None
        return twin

    def bind(self, dtype=None):
        """A copy that holds its constants as tensors of the current graph."""
        twin = copy.copy(self)
        dtype = dtype or self.dtype
        twin.bound = tuple(None if c is None else ops.cast(c, dtype) for c in self.constants())
        return twin

    def constants(self):
        """The folded kernel and bias (None where there is none), computed here."""
        if self.bound is not None:
            return self.bound
        if self.kind == "norm":
            return _factors(self.layer, self.dtype)
        kernel = ops.convert_to_tensor(getattr(self.layer, self.part))
        bias = ops.convert_to_tensor(self.layer.bias) if self.use_bias else None
        for norm in self.norms:
            scale, shift = _factors(norm, self.dtype)
            if self.kind == "depthwise":
                kernel = kernel * ops.reshape(scale, kernel.shape[-2:])
            elif self.kind == "transpose":
                kernel = kernel * ops.expand_dims(scale, -1)
            else:
                kernel = kernel * scale
            bias = shift if bias is None else bias * scale + shift
        return kernel, bias

    def __call__(self, x, padding=None):
        """Run; `padding` replaces the layer's own."""
        kernel, bias = self.constants()
        padding = padding or self.padding
        x = ops.cast(x, kernel.dtype)
        if self.kind == "norm":
            shape = [1] * len(x.shape)
            shape[self.layer.axis] = -1
            return x * ops.reshape(kernel, shape) + ops.reshape(bias, shape)
        if self.kind == "flat":
            x = ops.reshape(x, (-1, kernel.shape[0]))
        if self.kind in ("dense", "flat"):
            x = ops.matmul(x, kernel)
        else:
            x = self._convolve(x, kernel, padding)
        if bias is not None and self.data_format == "channels_first":
            # Not by ops.add: on TensorFlow it takes a width that equals the channels for them.
            x = x + ops.reshape(bias, [1, -1] + [1] * (len(x.shape) - 2))
        elif bias is not None:
            x = ops.add(x, bias)  # fused with the convolution by TensorFlow, unlike `x + bias`
        return x if self.activation is None else self.activation(x)

    def _convolve(self, x, kernel, padding):
        options = {"data_format": self.data_format, "dilation_rate": self.dilation}
        if self.kind == "transpose":
            return ops.conv_transpose(x, kernel, strides=self.strides, padding=padding,
                                      output_padding=self.layer.output_padding, **options)
        if padding == "causal":
            reach = (kernel.shape[0] - 1) * self.dilation[0]
            axis = 1 if self.data_format == "channels_last" else 2
            x = ops.pad(x, [(reach, 0) if a == axis else (0, 0) for a in range(3)])
            padding = "valid"
        run = ops.depthwise_conv if self.kind == "depthwise" else ops.conv
        return run(x, kernel, strides=self.strides, padding=padding, **options)


class GlobalAveragePooling:
    """The layer, axis by axis: on TensorFlow up to twice as fast as all axes at once."""

    def __init__(self, layer):
        self.keepdims = layer.keepdims

    def __call__(self, x):
        for axis in range(len(x.shape) - 2, 0, -1):
            x = ops.mean(x, axis=axis, keepdims=self.keepdims)
        return x


class Add:
    """The layer or operation, for maps of one shape, in a form that several threads can run."""

    def __call__(self, *maps):
        return functools.reduce(backend.add, keras.tree.flatten(maps))


def _factors(norm, dtype):
    """A BatchNormalization at inference as a factor and a summand per channel."""
    mean, variance = ops.cast(norm.moving_mean, dtype), ops.cast(norm.moving_variance, dtype)
    scale = ops.rsqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * ops.cast(norm.gamma, dtype)
    shift = -mean * scale
    return scale, shift + ops.cast(norm.beta, dtype) if norm.center else shift


def _tuple(value):
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
