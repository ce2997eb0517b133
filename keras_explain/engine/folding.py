"""A program made cheap to run many times: batch normalization folded into the layer before it.

    program = fold(program)    # once, when the explainer is built; computes nothing
    program = bind(program)      # in `compute`, before the loop: folds the weights, once a call
    ... program(values) ...      # in the loop, as any Program

`fold` gives a Program of the same inputs and outputs in which convolutions, dense layers and
normalizations are `Affine` steps; a BatchNormalization that alone reads a linear one is merged
into it. The weights stay the model's own variables: an Affine reads them when it runs, so the
program follows training, and is saved and exported with the model. `bind` reads them once, in
the caller's graph, so that the arithmetic of folding stays outside of a loop; what it returns
belongs to that graph and must not be kept. An unbound program gives the same numbers.

Scores differ from the model's own by rounding (about 1e-5 of a logit), so take a clean score
that is compared with perturbed ones from the same program. Layers in other precisions than
float32, quantized layers and models with masks stay as they are.
"""

import dataclasses

import keras

from keras_explain import backend
from keras_explain.engine.affine import Add, Affine, GlobalAveragePooling
from keras_explain.engine.windows.span import same_padding
from keras_explain.graph.masks import carry_masks
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value, is_operation

_CONVOLUTIONS = {
    keras.layers.Conv1D: "conv", keras.layers.Conv2D: "conv", keras.layers.Conv3D: "conv",
    keras.layers.DepthwiseConv1D: "depthwise", keras.layers.DepthwiseConv2D: "depthwise",
    keras.layers.SeparableConv1D: "separable", keras.layers.SeparableConv2D: "separable",
    keras.layers.Conv1DTranspose: "transpose", keras.layers.Conv2DTranspose: "transpose",
    keras.layers.Conv3DTranspose: "transpose",
    keras.layers.Dense: "dense", keras.layers.BatchNormalization: "norm",
}
_GLOBAL_AVERAGES = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalAveragePooling3D)


def fold(program):
    """An equivalent Program with every BatchNormalization folded that can be."""
    if carry_masks(program.steps):
        return program
    readers = {}
    for step in program.steps:
        for value in step.reads:
            readers[value] = readers.get(value, 0) + 1
    for value in keras.tree.flatten(program.outputs):
        readers[value] = readers.get(value, 0) + 1
    steps, maker = [], {}
    for step in program.steps:
        for new in _lower(step):
            before = maker.get(new.reads[0]) if new.reads else None
            alone = before is not None and readers.get(new.reads[0]) == 1
            if alone and _absorbs(before.fn, new.fn, len(new.outputs[0].spec.shape)):
                new = Step(before.fn.merge_norm(new.fn), before.args, {}, new.outputs, before.path)
                steps.remove(before)
            elif alone and _pads_as_same(before, new.fn):
                new = Step(new.fn.pad_same(), before.args, {}, new.outputs, new.path)
                steps.remove(before)
            elif alone and _flattens_for(before.fn, new.fn):
                steps.remove(before)
                *sums, new = _flat(before, new)
                steps += sums
            elif alone and _flattens(before.fn) and type(new.fn) is keras.layers.Dropout:
                new = Step(before.fn, before.args, {}, new.outputs, before.path)
                steps.remove(before)
            steps.append(new)
            maker.update(dict.fromkeys(new.outputs, new))
    return Program(program.inputs, steps, program.outputs, program.calls)


def folds_norms(program):
    """Whether a normalization was merged into another step of what `fold` made."""
    return any(isinstance(step.fn, Affine) and step.fn.norms for step in program.steps)


def bind(program, dtype=None):
    """The same program with its weights read and folded here, as tensors of this graph."""
    return program.replace(lambda fn: fn.bind(dtype) if isinstance(fn, Affine) else fn)


def _lower(step):
    """The step as Affine steps, or as it is."""
    layer = step.fn
    if type(layer) in _GLOBAL_AVERAGES and layer.data_format == "channels_last" and (
            _is_plain(layer)):
        return [dataclasses.replace(step, fn=GlobalAveragePooling(layer))]
    if _is_swish(layer) and len(step.args) == 1:
        return [dataclasses.replace(step, fn=backend.swish, kwargs={})]
    if _is_add(layer) and _is_of_one_shape(step):
        return [dataclasses.replace(step, fn=Add())]
    kind = _CONVOLUTIONS.get(type(layer))
    if kind is None or len(step.args) != 1 or not _is_plain(layer):
        return [step]
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.linear:
        activation = None
    elif activation is keras.activations.silu:
        activation = backend.swish
    if kind == "norm":
        return [Step(Affine(kind, layer, part=None), step.args, {}, step.outputs, step.path)]
    if kind != "separable":
        fn = Affine(kind, layer, activation=activation)
        return [Step(fn, step.args, {}, step.outputs, step.path)]
    first = Affine("depthwise", layer, "depthwise_kernel", bias=False)
    second = Affine("conv", layer, "pointwise_kernel", activation=activation)
    after = step.outputs[0].spec
    channels = layer.depthwise_kernel.shape[-1] * layer.depthwise_kernel.shape[-2]
    axis = 1 if layer.data_format == "channels_first" else len(after.shape) - 1
    shape = tuple(channels if a == axis else n for a, n in enumerate(after.shape))
    middle = Value(keras.KerasTensor(shape, after.dtype))
    return [Step(first, step.args, {}, [middle], f"{step.path}/depthwise"),
            Step(second, (middle,), {}, step.outputs, step.path)]


def _is_swish(fn):
    """Whether a step is x * sigmoid(x), by a layer or by `keras.ops`."""
    if type(fn) is keras.layers.Activation:
        return fn.activation is keras.activations.silu and _is_plain(fn)
    return is_operation(fn, "Silu")


def _is_add(fn):
    if type(fn) is keras.layers.Add:
        return _is_plain(fn)
    return is_operation(fn, "Add")


def _is_of_one_shape(step):
    """Whether all that a step reads and writes are maps of one shape and type."""
    args = keras.tree.flatten(step.args)
    specs = {(v.spec.shape, v.spec.dtype) for v in (*args, *step.outputs) if isinstance(v, Value)}
    (shape, _), *others = specs
    return not others and not step.kwargs and len(shape) > 3 and len(step.reads) == len(args)


def _absorbs(fn, norm, rank):
    """Whether the normalization `norm` can be merged into the linear layer `fn`."""
    if not isinstance(norm, Affine) or norm.kind != "norm":
        return False
    if not isinstance(fn, Affine) or fn.activation is not None:
        return False
    if fn.kind == "norm" or fn.dtype != norm.dtype:
        return False
    return norm.layer.axis % rank == (1 if fn.data_format == "channels_first" else rank - 1)


def _pads_as_same(step, fn):
    """Whether the step pads as the convolution `fn` with padding="same" would."""
    kinds = keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D
    if type(step.fn) not in kinds or not isinstance(fn, Affine) or fn.padding != "valid":
        return False
    if fn.kind not in ("conv", "depthwise") or fn.data_format != "channels_last":
        return False
    sizes, kernel = step.reads[0].spec.shape[1:-1], fn.kernel_shape
    pads = [step.fn.padding] if len(sizes) == 1 else step.fn.padding
    axes = zip(sizes, pads, kernel[:-2], fn.strides, fn.dilation, strict=True)
    return step.fn.data_format == "channels_last" and all(
        size is not None and tuple(pad) == same_padding(size, k, stride, dilation)
        for size, pad, k, stride, dilation in axes)


def _flat(flatten, dense):
    """The steps Flatten and Dense as one, and the activation as another."""
    fn, path = dense.fn, dense.path
    if fn.activation is None:
        return [Step(fn.of_maps(), flatten.args, {}, dense.outputs, path)]
    sums = Value(dense.outputs[0].spec)
    return [Step(fn.of_maps(), flatten.args, {}, [sums], path),
            Step(fn.activation, (sums,), {}, dense.outputs, f"{path}/activation")]


def _flattens_for(fn, dense):
    """Whether `fn` does no more than flatten a map for the dense layer `dense`."""
    return _flattens(fn) and isinstance(dense, Affine) and dense.kind == "dense"


def _flattens(fn):
    return type(fn) is keras.layers.Flatten and fn.data_format == "channels_last" and _is_plain(fn)


def _is_plain(layer):
    """Built, in one full precision, not quantized: its call is kernel times input plus bias."""
    return (layer.built and layer.compute_dtype in ("float32", "float64")
            and layer.compute_dtype == layer.variable_dtype
            and getattr(layer, "quantization_mode", None) is None
            and not getattr(layer, "lora_enabled", False))
