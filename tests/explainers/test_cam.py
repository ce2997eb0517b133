import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx

BATCH = np.random.default_rng(1).uniform(size=(3, 9, 7, 2)).astype("float32")


def network(*head, data_format="channels_last", conv=None):
    """Convolution, then `head`; weights drawn, statistics of the normalization too."""
    shape = (9, 7, 2) if data_format == "channels_last" else (2, 9, 7)
    model = keras.Sequential([
        keras.Input(shape),
        conv or layers.Conv2D(4, 3, activation="relu", name="conv", data_format=data_format),
        *head,
    ])
    rng = np.random.default_rng(0)
    for v in model.variables:
        if "seed" not in v.path:
            positive = "variance" in v.path
            v.assign(rng.uniform(0.5, 2, size=v.shape) if positive else rng.normal(size=v.shape))
    return model


def with_normalization():
    return network(
        layers.BatchNormalization(name="norm1"), layers.GlobalAveragePooling2D(),
        layers.Dropout(0.5), layers.BatchNormalization(name="norm2", scale=False),
        layers.Dense(5, name="dense1"), layers.Dense(3, activation="softmax", name="dense2"))


def test_is_the_product_of_the_weights_by_hand():
    model = with_normalization()
    conv = keras.Model(model.inputs[0], model.get_layer("conv").output)
    features = ops.convert_to_numpy(conv(BATCH)).astype("float64")
    w = {v.path.split("/", 1)[-1]: ops.convert_to_numpy(v).astype("float64")
         for v in model.variables}
    scale = w["norm1/gamma"] / np.sqrt(w["norm1/moving_variance"] + 1e-3)
    scale = scale / np.sqrt(w["norm2/moving_variance"] + 1e-3)
    weights = scale[:, None] * (w["dense1/kernel"] @ w["dense2/kernel"])
    found = ops.convert_to_numpy(
        kx.cam(model, layer="conv", target=1, resize=False)(BATCH)["heatmap"])
    np.testing.assert_allclose(found, features @ weights[:, 1], rtol=1e-4, atol=1e-4)


HEADS = {
    "dense": lambda: network(
        layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")),
    "normalization": with_normalization,
    "kept dimensions": lambda: network(
        layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(3, 1), layers.Reshape((3,)),
        layers.Softmax()),
    "convolution before pooling": lambda: network(
        layers.Conv2D(3, 1, name="classes"), layers.GlobalAveragePooling2D(), layers.Softmax()),
    "pooling alone": lambda: network(layers.GlobalAveragePooling2D()),
    "one sigmoid": lambda: network(
        layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")),
}


@pytest.mark.filterwarnings("ignore::keras_explain.BlankHeatmapWarning")
@pytest.mark.parametrize("target", [None, 0])
@pytest.mark.parametrize("name", HEADS)
def test_is_grad_cam_times_the_number_of_cells(name, target):
    model = HEADS[name]()
    options = {"layer": "conv", "target": target, "resize": False}
    signed = kx.hires_cam(model, signed=True, **options)(BATCH)["heatmap"]
    closed = kx.cam(model, **options)(BATCH)["heatmap"]
    wanted = ops.convert_to_numpy(signed) * 35
    assert np.ptp(wanted) > 1e-2
    np.testing.assert_allclose(ops.convert_to_numpy(closed), wanted, atol=1e-4 * np.ptp(wanted))
    plain = kx.grad_cam(model, **options)(BATCH)["heatmap"]
    np.testing.assert_allclose(np.maximum(wanted, 0) / 35, ops.convert_to_numpy(plain),
                               atol=1e-4 * np.ptp(wanted))


def test_mean_is_the_logit_but_for_the_bias():
    model = network(layers.GlobalAveragePooling2D(), layers.Dense(3, name="top"))
    out = kx.cam(model, target=2, resize=False)(BATCH)
    mean = ops.convert_to_numpy(out["heatmap"]).mean(axis=(1, 2))
    bias = model.get_layer("top").get_weights()[1][2]
    logit = ops.convert_to_numpy(out["predictions"])[:, 2]
    np.testing.assert_allclose(mean, logit - bias, rtol=1e-4, atol=1e-5)


def test_follows_training():
    model = HEADS["dense"]()
    explained = kx.cam(model, target=0)
    before = ops.convert_to_numpy(explained(BATCH)["heatmap"])
    kernel = model.layers[-1].kernel
    kernel.assign(2 * ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(
        ops.convert_to_numpy(explained(BATCH)["heatmap"]), 2 * before, rtol=1e-5)


def test_channels_first_mean_operation():
    inputs = keras.Input((2, 9, 7))
    x = layers.Conv2D(4, 3, activation="relu", name="conv", data_format="channels_first")(inputs)
    model = keras.Model(inputs, layers.Dense(3)(ops.mean(x, axis=(2, 3))))
    images = np.moveaxis(BATCH, -1, 1)
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow's convolutions on the CPU take channels last only")
    options = {"layer": "conv", "target": 1, "resize": False}
    closed = ops.convert_to_numpy(kx.cam(model, **options)(images)["heatmap"])
    wanted = ops.convert_to_numpy(kx.hires_cam(model, signed=True, **options)(images)["heatmap"])
    np.testing.assert_allclose(closed, wanted * 35, atol=1e-4 * np.ptp(wanted) * 35)


@pytest.mark.parametrize("head", [
    [layers.Flatten(), layers.Dense(3)],
    [layers.GlobalAveragePooling2D(), layers.Dense(5, activation="relu"), layers.Dense(3)],
    [layers.GlobalMaxPooling2D(), layers.Dense(3)],
    [layers.GlobalAveragePooling2D(), layers.LayerNormalization(), layers.Dense(3)],
    [layers.Conv2D(3, 3), layers.GlobalAveragePooling2D()],
])
def test_other_heads_are_an_error_that_names_grad_cam(head):
    with pytest.raises(ValueError, match="Expected a head of global average.*Use `grad_cam`"):
        kx.cam(network(*head), layer="conv")


def test_a_skip_connection_around_the_pooling_is_an_error():
    inputs = keras.Input((9, 7, 2))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(x),
                                 layers.GlobalMaxPooling2D()(x)])
    with pytest.raises(ValueError, match="grad_cam"):
        kx.cam(keras.Model(inputs, layers.Dense(3)(both)), layer="conv")


@pytest.mark.parametrize("options", [{"score": "probability"}, {"target": lambda y: y[:, 0]}])
def test_needs_a_logit(options):
    with pytest.raises(ValueError, match="holds for logits only.*Use `grad_cam`"):
        kx.cam(HEADS["dense"](), **options)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="looks at TensorFlow's graph")
def test_no_gradient_operation_is_in_the_graph():
    import tensorflow as tf

    def operations(explained):
        traced = tf.function(explained).get_concrete_function(
            tf.TensorSpec((None, 9, 7, 2), "float32"))
        graphs = [traced.graph, *[f.graph for f in traced.graph._functions.values()
                                  if hasattr(f, "graph")]]
        return {op.type for g in graphs for op in g.get_operations()}, [
            op.name for g in graphs for op in g.get_operations()]

    model = HEADS["normalization"]()
    kinds, names = operations(kx.cam(model, layer="conv"))
    assert "Conv2D" in kinds
    assert not [n for n in [*kinds, *names] if "grad" in n.lower()]
    kinds, names = operations(kx.grad_cam(model, layer="conv"))
    assert [n for n in [*kinds, *names] if "grad" in n.lower()]  # the check can fail
