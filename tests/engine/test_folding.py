"""The folded program: the same numbers, fewer steps, live weights."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_explain import backend
from keras_explain.engine.affine import Add, Affine
from keras_explain.engine.folding import bind, fold
from keras_explain.engine.windows.plan import Plan
from keras_explain.graph.program import Program


def make(*stack, shape=(9, 7, 3)):
    model = keras.Sequential([keras.Input(shape), *stack])
    rng = np.random.default_rng(0)
    for w in model.weights:
        low = 0.5 if "variance" in w.path or "gamma" in w.path else -0.5
        w.assign(rng.uniform(low, 1.5 if low > 0 else 0.5, w.shape))
    return model


def outputs(model):
    """What the model gives, and its folded program, bound and unbound."""
    _, program = Program.trace(model)
    fast = fold(program)
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype("float32")
    tensors = [ops.convert_to_tensor(x)]
    results = [model(x, training=False), fast(tensors), bind(fast)(tensors)]
    return [ops.convert_to_numpy(r) for r in results], fast


@pytest.mark.parametrize("layer", [
    layers.Conv2D(4, 3), layers.Conv2D(4, 3, use_bias=False, padding="same", strides=2),
    layers.Conv2D(4, 3, dilation_rate=2), layers.DepthwiseConv2D(3, depth_multiplier=2),
    layers.SeparableConv2D(4, 3), layers.Conv2DTranspose(4, 3, strides=2), layers.Dense(5),
])
def test_normalization_disappears(layer):
    (want, unbound, bound), fast = outputs(make(layer, layers.BatchNormalization(), layers.ReLU()))
    np.testing.assert_allclose(unbound, want, atol=1e-5)
    np.testing.assert_allclose(bound, want, atol=1e-5)
    assert not any(isinstance(s.fn, Affine) and s.fn.kind == "norm" for s in fast.steps)
    assert not any(isinstance(s.fn, layers.BatchNormalization) for s in fast.steps)


@pytest.mark.parametrize("stack", [
    [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()],
    [layers.BatchNormalization(), layers.Conv2D(4, 3)],
    [layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)],
    [layers.Conv2D(4, 3), layers.BatchNormalization(scale=False, center=False)],
    [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.BatchNormalization()],
])
def test_what_cannot_be_folded_gives_the_same_numbers(stack):
    (want, unbound, bound), _ = outputs(make(*stack))
    np.testing.assert_allclose(unbound, want, atol=1e-5)
    np.testing.assert_allclose(bound, want, atol=1e-5)


@pytest.mark.parametrize("stack, shape, remain", [
    ([layers.ZeroPadding2D(((0, 1), (0, 1))), layers.Conv2D(4, 3, 2)], (8, 6, 3), 0),
    ([layers.ZeroPadding2D(((1, 2), (1, 2))), layers.DepthwiseConv2D(5, 2)], (8, 6, 3), 0),
    ([layers.ZeroPadding2D(2), layers.Conv2D(4, 3, dilation_rate=2)], (8, 7, 3), 0),
    ([layers.ZeroPadding1D(1), layers.Conv1D(4, 3)], (8, 3), 0),
    ([layers.ZeroPadding3D(1), layers.Conv3D(4, 3)], (4, 5, 3, 2), 0),
    ([layers.ZeroPadding2D(1), layers.Conv2D(4, 3, 2)], (8, 6, 3), 1),  # (0, 1) would be the same
    ([layers.ZeroPadding2D(((0, 1), (0, 1))), layers.Conv2D(4, 3, 2)], (9, 7, 3), 1),
    ([layers.ZeroPadding2D(1), layers.Conv2D(4, 3, padding="same")], (8, 6, 3), 1),
    ([layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)], (8, 6, 3), 1),
])
def test_padding_that_a_convolution_can_do_itself_disappears(stack, shape, remain):
    (want, unbound, bound), fast = outputs(make(*stack, layers.ReLU(), shape=shape))
    np.testing.assert_allclose(unbound, want, atol=1e-5)
    np.testing.assert_allclose(bound, want, atol=1e-5)
    assert sum("Padding" in type(s.fn).__name__ for s in fast.steps) == remain


def test_padding_that_others_read_stays():
    image = keras.Input((8, 6, 3))
    x = layers.ZeroPadding2D(1)(image)
    model = keras.Model(image, [layers.Conv2D(4, 3)(x), layers.AveragePooling2D(2)(x)])
    _, program = Program.trace(model)
    x = np.random.default_rng(1).normal(size=(2, 8, 6, 3)).astype("float32")
    for want, got in zip(model(x), fold(program)([ops.convert_to_tensor(x)]), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(want), atol=1e-5)


@pytest.mark.parametrize("stack, shape", [
    ([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()], (9, 7, 3)),
    ([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(keepdims=True)], (9, 7, 3)),
    ([layers.Conv3D(4, 3), layers.GlobalAveragePooling3D()], (5, 6, 4, 2)),
])
def test_global_average_pooling(stack, shape):
    (want, unbound, bound), _ = outputs(make(*stack, shape=shape))
    np.testing.assert_allclose(unbound, want, atol=1e-6)
    np.testing.assert_allclose(bound, want, atol=1e-6)


def swish_of_all_kinds():
    image = keras.Input((9, 7, 3))
    x = layers.Conv2D(4, 3, activation="silu")(image)
    x = layers.Activation("swish")(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    return keras.Model(image, ops.silu(layers.DepthwiseConv2D(3)(x)))


def test_swish_takes_the_form_that_fuses():
    (want, unbound, bound), fast = outputs(swish_of_all_kinds())
    np.testing.assert_allclose(unbound, want, atol=1e-6)
    np.testing.assert_allclose(bound, want, atol=1e-6)
    forms = [s.fn.activation if isinstance(s.fn, Affine) else s.fn for s in fast.steps]
    assert forms.count(backend.swish) == 3


def test_swish_is_computed_in_windows():
    _, program = Program.trace(swish_of_all_kinds())
    plan = Plan(fold(program), program.inputs[0], ((2, 2), (2, 2)))
    assert all(row.action or "covers" in row.reason or "after" in row.reason for row in plan.rows)


def test_swish_in_half_precision_stays():
    layer = layers.Activation("swish", dtype="mixed_float16")
    _, program = Program.trace(make(layer))
    assert [s.fn for s in fold(program).steps if s.fn is backend.swish] == []


def test_sums_of_maps_take_the_form_for_threads():
    image = keras.Input((9, 7, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    y = layers.Conv2D(4, 1)(image)
    sums = [layers.Add()([x, y, x]), x + y, ops.add(y, y)]
    others = [x + ops.mean(y, axis=(1, 2), keepdims=True), x + 1.0]
    (want, unbound, bound), fast = outputs(keras.Model(image, layers.concatenate(sums + others)))
    np.testing.assert_allclose(unbound, want, atol=1e-6)
    np.testing.assert_allclose(bound, want, atol=1e-6)
    assert sum(isinstance(s.fn, Add) for s in fast.steps) == 3


def test_bias_of_channels_first_when_the_width_equals_the_channels(monkeypatch):
    # Without the convolution, which TensorFlow has for channels_last only on the CPU.
    monkeypatch.setattr(Affine, "_convolve", lambda self, x, kernel, padding: x)
    layer = layers.Conv2D(3, 1, data_format="channels_first")
    layer.build((None, 3, 2, 3))
    layer.bias.assign([0.0, 1.0, 2.0])
    got = ops.convert_to_numpy(Affine("conv", layer)(ops.zeros((1, 3, 2, 3))))
    np.testing.assert_array_equal(got, np.broadcast_to(np.arange(3.0)[:, None, None], (1, 3, 2, 3)))


def test_one_and_three_dimensions():
    for stack, shape in (([layers.Conv1D(4, 3, padding="causal")], (9, 3)),
                         ([layers.Conv3D(4, 3)], (5, 6, 4, 2))):
        (want, _, bound), _ = outputs(make(*stack, layers.BatchNormalization(), shape=shape))
        np.testing.assert_allclose(bound, want, atol=1e-5)


def test_a_convolution_that_others_read_stays():
    image = keras.Input((9, 7, 3))
    x = layers.Conv2D(4, 3)(image)
    model = keras.Model(image, [x, layers.BatchNormalization()(x)])
    _, program = Program.trace(model)
    x = np.random.default_rng(1).normal(size=(2, 9, 7, 3)).astype("float32")
    for want, got in zip(model(x), fold(program)([ops.convert_to_tensor(x)]), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(want), atol=1e-5)


def test_it_follows_the_weights():
    model = make(layers.Conv2D(4, 3), layers.BatchNormalization())
    _, program = Program.trace(model)
    fast = fold(program)
    x = np.random.default_rng(1).normal(size=(2, 9, 7, 3)).astype("float32")
    model.layers[1].moving_mean.assign(model.layers[1].moving_mean + 1.0)
    model.layers[0].kernel.assign(model.layers[0].kernel * 2.0)
    got = bind(fast)([ops.convert_to_tensor(x)])
    np.testing.assert_allclose(ops.convert_to_numpy(got), ops.convert_to_numpy(model(x)), atol=1e-5)


def test_half_precision_and_masked_models_stay_as_they_are():
    half = make(layers.Conv2D(4, 3, dtype="mixed_bfloat16"),
                layers.BatchNormalization(dtype="mixed_bfloat16"))
    masked = keras.Sequential([keras.Input((5,)), layers.Embedding(7, 4, mask_zero=True),
                               layers.Dense(3), layers.BatchNormalization(),
                               layers.GlobalAveragePooling1D()])
    for model in (half, masked):
        _, program = Program.trace(model)
        assert not any(isinstance(s.fn, Affine) for s in fold(program).steps)
