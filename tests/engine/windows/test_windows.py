"""Occlusion by windows against brute force: every position, the whole model, no cleverness."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from keras import layers, ops

import keras_explain as kx
from keras_explain.engine import sliding

SIZES = {1: (23,), 2: (17, 14), 3: (9, 8, 7)}


def brute_force(model, image, grid):
    """The drop of class 1 at each position, one stacked batch."""
    starts = [[min(i * s, n - p) for i in range(-(-(n - p) // s) + 1)]
              for n, (p, s) in zip(image.shape, grid, strict=False)]
    hidden = image.mean(tuple(range(image.ndim - 1)))
    occluded = [image]
    for place in np.ndindex(*map(len, starts)):
        copy = image.copy()
        copy[tuple(slice(s[i], s[i] + p)
                   for s, i, (p, _) in zip(starts, place, grid, strict=True))] = hidden
        occluded.append(copy)
    scores = np.asarray(ops.convert_to_numpy(model(np.stack(occluded), training=False)))
    scores = scores.reshape(len(occluded), -1, scores.shape[-1]).mean(1)[:, 1]
    return (scores[0] - scores[1:]).reshape([len(s) for s in starts])


def check(model, patch, stride, images=2, **options):
    """The heatmap equals brute force; returns the explainer's report."""
    layer = kx.occlusion(
        model,
        patch_size=patch,
        stride=stride,
        target=1,
        batch_size=30,
        engine="incremental",
        score="probability",
        **options,
    ).explainer
    x = np.random.default_rng(0).normal(size=(images, *model.input_shape[1:])).astype("float32")
    drops = np.stack([brute_force(model, image, layer.grids[0]) for image in x])
    want = ops.convert_to_numpy(sliding.spread(
        ops.convert_to_tensor(drops.astype("float32")), x.shape[1:-1], layer.grids[0]))
    assert np.ptp(want) > 1e-3  # a dead model would agree with anything
    got = ops.convert_to_numpy(layer(x)["heatmap"])
    np.testing.assert_allclose(got, want, atol=1e-4 * np.ptp(want))
    return layer.report()


def alive(model, seed=0):
    """Weights under which every layer's output varies, statistics that are not the defaults."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        for w in layer.weights:
            if "variance" in w.path:
                value = rng.uniform(0.5, 2.0, w.shape)
            elif len(w.shape) > 1:
                value = rng.normal(size=w.shape) / np.sqrt(max(1, np.prod(w.shape[:-1])))
                value *= 1.5 if "depthwise" not in w.path else 3.0
            elif "gamma" in w.path:
                value = rng.uniform(0.7, 1.3, w.shape)
            else:
                value = rng.normal(size=w.shape) * 0.2
            w.assign(value)
    return model


def conv(rank, name="Conv{}D"):
    return getattr(layers, name.format(rank))


# Random graphs --------------------------------------------------------------------------------


def random_model(draw):
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    image = x = keras.Input((*SIZES[rank], 2))
    x = conv(rank)(3, draw(st.integers(1, 3)), padding=draw(st.sampled_from(["same", "valid"])))(x)
    for _ in range(draw(st.integers(1, 5))):
        x = random_block(draw, rank, x)
    head = draw(st.sampled_from(["mean", "flat", "max", "map"]))
    if head == "flat":
        x = layers.Flatten()(x)
    elif head != "map":
        x = conv(rank, "GlobalAveragePooling{}D" if head == "mean" else "GlobalMaxPooling{}D")()(x)
    return alive(keras.Model(image, layers.Dense(3)(x)), draw(st.integers(0, 99)))


def random_block(draw, rank, x):
    """One to three layers on top of `x`; skips and branches included."""
    kinds = ["conv", "depthwise", "separable", "max", "average", "pad", "crop", "up", "norm",
             "act", "skip", "branch", "gate", "transpose", "dense", "op", "own", "place", "place"]
    if rank == 3:
        kinds = [k for k in kinds if k not in ("depthwise", "separable", "branch", "op")]
    kind = draw(st.sampled_from(kinds))
    small = min(x.shape[1:-1])
    padding = draw(st.sampled_from(["same", "valid"])) if small > 5 else "same"
    size = draw(st.integers(1, 3 if small < 8 else 5))
    stride = draw(st.integers(1, 2 if small > 4 else 1))
    channels = x.shape[-1]
    if kind == "conv":
        dilation = draw(st.integers(1, 2)) if stride == 1 and small > 9 else 1
        x = conv(rank)(channels * draw(st.integers(1, 2)), size, stride, padding=padding,
                       dilation_rate=dilation)(x)
        return layers.BatchNormalization()(x) if draw(st.booleans()) else x
    if kind == "depthwise":
        return layers.ReLU()(conv(rank, "DepthwiseConv{}D")(size, stride, padding=padding)(x))
    if kind == "separable":
        x = conv(rank, "SeparableConv{}D")(4, size, stride, padding=padding)(x)
        return layers.BatchNormalization()(x)
    if kind in ("max", "average"):
        name = "MaxPooling{}D" if kind == "max" else "AveragePooling{}D"
        return conv(rank, name)(2 if small < 4 else draw(st.integers(2, 3)), stride,
                                padding=padding)(x)
    if kind == "pad":
        return conv(rank, "ZeroPadding{}D")(draw(st.integers(1, 2)))(x)
    if kind == "crop":
        return conv(rank, "Cropping{}D")(1)(x) if small > 6 else x
    if kind == "up":
        return conv(rank, "UpSampling{}D")(2)(x) if small < 7 else x
    if kind == "norm":
        return draw(st.sampled_from([layers.BatchNormalization, layers.LayerNormalization]))()(x)
    if kind == "act":
        return draw(st.sampled_from([layers.ReLU(), layers.LeakyReLU(), layers.Softmax(),
                                     layers.Activation("gelu"), layers.Dropout(0.5)]))(x)
    if kind == "skip":
        y = conv(rank)(channels, size, padding="same", activation="relu")(x)
        return draw(st.sampled_from([layers.Add, layers.Multiply, layers.Maximum]))()([x, y])
    if kind == "branch":
        y = conv(rank)(2, 3, padding="same", activation="tanh")(x)
        return layers.Concatenate()([x, y, conv(rank, "MaxPooling{}D")(3, 1, padding="same")(x)])
    if kind == "gate":
        gate = conv(rank, "GlobalAveragePooling{}D")(keepdims=True)(x)
        return layers.Multiply()([x, layers.Dense(channels, activation="sigmoid")(gate)])
    if kind == "transpose":
        if small > 8:
            return x
        return conv(rank, "Conv{}DTranspose")(3, 3, stride, padding=padding)(x)
    if kind == "dense":
        return layers.Dense(4, activation="silu")(x)
    if kind == "own":
        return draw(st.sampled_from([
            layers.Lambda(lambda x: x / 2 - 1), Scaled(), layers.Lambda(lambda x: x * abs(x)),
            layers.Lambda(lambda x: x - ops.max(x, axis=1, keepdims=True)), Placed(),
            layers.PReLU()]))(x)
    if kind == "place":
        shape = [n if draw(st.booleans()) else 1 for n in x.shape[1:]]
        if draw(st.booleans()):
            return x + numbers(*shape)
        return layers.Rescaling(numbers(*shape), offset=numbers(*x.shape[1:]))(x)
    return ops.tanh(x) * 0.5 + ops.relu(x)


# JAX compiles every graph anew.
@settings(max_examples=5 if keras.backend.backend() == "jax" else 20,
          deadline=None, derandomize=True,
          phases=[Phase.explicit, Phase.generate],  # shrinking a graph takes minutes
          suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_graphs(data):
    model = random_model(data.draw)
    largest = {3: 5, 4: 5, 5: 3}[len(model.input_shape)]
    patch, stride = data.draw(st.integers(1, largest)), data.draw(st.integers(2, largest))
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    assume(np.ptp(brute_force(model, x[0], [(patch, stride)] * (x.ndim - 2))) > 1e-2)
    check(model, patch, stride)


# Kinds of models ------------------------------------------------------------------------------


def functional(shape, body):
    image = keras.Input(shape)
    return alive(keras.Model(image, body(image)))


def mean_head(x):
    return layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x)))


def head(x, units=3):
    return layers.Dense(units, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def test_grouped_convolutions():
    model = functional((12, 10, 4), lambda x: head(layers.Conv2D(8, 3, groups=2)(x)))
    check(model, 4, 4, images=1)


def test_nested_models_are_planned_to_their_inner_layers():
    inner = keras.Sequential([keras.Input((16, 12, 3)), layers.Conv2D(4, 3, padding="same"),
                              layers.BatchNormalization(), layers.ReLU()], name="backbone")
    report = check(functional((16, 12, 3), lambda x: head(inner(x))), 4, 2)
    assert "backbone/conv2d" in report


def test_a_layer_called_twice():
    shared = layers.Conv2D(3, 3, padding="same", activation="tanh")
    check(functional((16, 12, 3), lambda x: head(shared(shared(x)))), 4, 3)


def test_a_custom_layer_is_recomputed_whole_from_there():
    class Reversed(layers.Layer):
        def call(self, x):
            return ops.flip(x, axis=1)

    def body(x):
        return head(Reversed()(layers.Conv2D(4, 3)(x)) * 2.0)

    assert "Reversed looks at the whole map" in check(functional((16, 12, 2), body), 4, 3)


def test_layers_of_convnext_keep_the_window():
    from keras.src.applications.convnext import LayerScale

    def body(x):
        y = layers.LayerNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))
        y = layers.Dense(x.shape[-1])(layers.Activation("gelu")(layers.Dense(6)(y)))
        return head(layers.Add()([x, LayerScale(0.5, x.shape[-1])(y)]))

    assert "looks at the whole map" not in check(functional((16, 12, 3), body), 4, 3)


@pytest.mark.parametrize("op", [
    ops.sin, ops.erf, ops.expm1, ops.round, ops.arctan, ops.soft_shrink, ops.log_softmax,
    ops.squareplus, lambda x: ops.where(x > 0.1, x, 0.3 * x), lambda x: ops.logaddexp(x, 2 * x),
    lambda x: ops.threshold(x, 0.2, -1.0), lambda x: ops.arctan2(x, x * x + 1.0),
    lambda x: ops.cast(ops.logical_or(x > 0.5, x < -0.5), "float32"),
    lambda x: ops.divide_no_nan(x, 1.0 + ops.cbrt(ops.abs(x))),
])
def test_elementwise_operations_keep_the_window(op):
    def body(x):
        return head(layers.Conv2D(4, 3)(op(layers.Conv2D(4, 3)(x))))

    assert "looks at the whole map" not in check(functional((16, 12, 3), body), 4, 3)


def test_a_custom_activation_is_recomputed_whole():
    def body(x):
        x = layers.Conv2D(4, 3, activation=lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True))(x)
        return layers.Dense(3)(layers.GlobalMaxPooling2D()(x))

    assert "activation looks at the whole map" in check(functional((16, 12, 2), body), 4, 3)


@keras.saving.register_keras_serializable("test_windows")
class Scaled(layers.Layer):
    """Weights of its own, one a channel; all 1 until it is trained."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factor


class Placed(layers.Layer):
    """Adds a weight a pixel, zeros until it is trained."""

    def build(self, shape):
        self.place = self.add_weight(shape=shape[1:], initializer="zeros")

    def call(self, x):
        return x + self.place


class Doubled(layers.ReLU):
    """Calls itself a ReLU, and mixes rows."""

    def call(self, x):
        return x + 0.5 * ops.roll(x, 1, axis=1)


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


# What differs from pixel to pixel, and functions of users that look at single pixels.
PER_PIXEL = {
    "a mean image": lambda x: layers.Rescaling(1.0, offset=-numbers(16, 12, 2))(x),
    "a factor a row": lambda x: layers.Rescaling(numbers(16, 1, 1))(x),
    "a factor a column": lambda x: layers.Rescaling(numbers(12, 1))(x),
    "statistics a pixel": lambda x: layers.Normalization(
        axis=(1, 2, 3), mean=numbers(16, 12, 2), variance=numbers(16, 12, 2) ** 2 + 1)(x),
    "a slope a pixel": lambda x: layers.PReLU()(x),
    "a slope a row": lambda x: layers.PReLU(shared_axes=(2, 3))(x),
    "an array": lambda x: x - numbers(16, 12, 2),
    "an array with a batch axis": lambda x: x * numbers(1, 16, 1, 2),
    "an array on the left": lambda x: ops.subtract(numbers(16, 12, 1), x),
    "a list": lambda x: layers.Rescaling(numbers(12, 1).tolist())(x),
    "a weight a pixel": lambda x: Placed()(x),
}
PER_CHANNEL = {
    "a list a channel": lambda x: layers.Rescaling([2.0, 3.0])(x),
    "a Lambda": lambda x: layers.Lambda(lambda x: x / 2 - 1)(x),
    "a Lambda over channels": lambda x: layers.Lambda(lambda x: ops.softmax(x, axis=-1))(x),
    "a layer with weights": lambda x: Scaled()(x),
    "an activation": lambda x: layers.Conv2D(4, 3, activation=lambda x: ops.sin(x) + x)(x),
    "an activation layer": lambda x: layers.Activation(lambda x: ops.sin(x) + x)(x),
    "a dense layer's": lambda x: layers.Dense(4, activation=lambda x: ops.sin(x) + x)(x),
}
WHOLE = {
    "a mean": lambda x: layers.Lambda(lambda x: x - ops.mean(x, axis=(1, 2), keepdims=True))(x),
    "a range": lambda x: layers.Lambda(
        lambda x: ops.where(ops.max(x, axis=(1, 2, 3), keepdims=True) > 2.5, x / 3, x))(x),
    "neighbors": lambda x: Doubled()(x),
    "rows": lambda x: layers.Lambda(lambda x: ops.flip(x, axis=2))(x),
    "places": lambda x: layers.Lambda(
        lambda x: x * ops.cast(ops.arange(ops.shape(x)[1]), "float32")[:, None, None])(x),
    "other rows of the batch": lambda x: layers.Lambda(lambda x: x + 0 * ops.roll(x, 1, 0))(x),
    "groups": lambda x: layers.GroupNormalization(1)(x),
}


@pytest.mark.parametrize("name", [*PER_PIXEL, *PER_CHANNEL])
def test_what_looks_at_single_pixels_keeps_the_window(name):
    body = {**PER_PIXEL, **PER_CHANNEL}[name]
    report = check(functional((16, 12, 2), lambda x: mean_head(body(x))), 4, 3, images=1)
    assert "the whole map" not in report and "holds" not in report


@pytest.mark.parametrize("name", list(WHOLE))
def test_what_looks_at_more_is_found_out(name):
    report = check(functional((16, 12, 2), lambda x: mean_head(WHOLE[name](x))), 4, 3, images=1)
    if name != "other rows of the batch":
        assert "looks at the whole map" in report


def test_patches_of_one_pixel_under_a_factor_a_row():
    """A window of one pixel fits every array: wrong without a word."""
    check(functional((12, 10, 3), lambda x: head(layers.Conv2D(4, 3)(
        layers.Rescaling(numbers(12, 1, 1))(x)))), 1, 1, images=1)


def test_trying_leaves_no_trace():
    model = functional((16, 12, 2), lambda x: head(layers.Lambda(lambda x: x / 2)(
        layers.Conv2D(4, 3)(Placed()(x)))))
    before, state = [np.array(w) for w in model.get_weights()], np.random.get_state()[1].copy()
    kx.occlusion(model, patch_size=4, stride=4)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert np.array_equal(state, np.random.get_state()[1])


def test_large_stride_that_skips_pixels():
    check(functional((17, 13, 2), lambda x: head(layers.Conv2D(6, 1, strides=3)(x))), 2, 1)


# The engine -----------------------------------------------------------------------------------


def small_net(**options):
    def body(x):
        x = layers.Conv2D(4, 3, padding="same", **options)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        return head(layers.MaxPooling2D()(x))

    return functional((24, 20, 3), body)


def images(n=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 24, 20, 3)).astype("float32")


def heat(explained, x):
    return ops.convert_to_numpy(explained(x)["heatmap"])


@pytest.mark.parametrize("target", [None, 2, [0, 1, 2], "input"])
@pytest.mark.parametrize("baseline", ["blur", 0.5])
def test_engines_agree(target, baseline):
    model, x = small_net(), images()
    inputs = [x, np.array([2, -1, 0], "int32")] if target == "input" else x
    options = {"target": target, "baseline": baseline}
    maps = [heat(kx.occlusion(model, patch_size=5, stride=3, engine=e, **options), inputs)
            for e in ("incremental", "full")]
    np.testing.assert_allclose(*maps, atol=1e-5 * np.ptp(maps[1]) + 1e-7)


def test_callable_target_and_two_inputs():
    image, table = keras.Input((16, 12, 2), name="image"), keras.Input((3,), name="table")
    features = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    both = layers.Concatenate()([features, layers.Dense(4)(table)])
    model = alive(keras.Model([image, table], layers.Dense(2)(both)))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(3, 16, 12, 2)).astype("float32"),
         rng.normal(size=(3, 3)).astype("float32")]
    maps = [heat(kx.occlusion(model, patch_size=4, stride=2, target=first_output, engine=e), x)
            for e in ("incremental", "full")]
    np.testing.assert_allclose(*maps, atol=1e-5)


@keras.saving.register_keras_serializable("test_windows")
def first_output(outputs):
    return outputs[:, 0]


def test_an_image_does_not_depend_on_its_neighbors_nor_on_batch_size():
    model, x = small_net(), images()
    together = heat(
        kx.occlusion(model, patch_size=5, stride=3, engine="incremental", batch_size=64), x
    )
    alone = heat(
        kx.occlusion(model, patch_size=5, stride=3, engine="incremental", batch_size=3), x[1:2]
    )
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


def test_more_positions_at_a_time_where_windows_are_small():
    """Windows of a sixteenth of every map: four batches at a time, and never less than one."""
    plan = kx.occlusion(
        functional((32, 32, 1), lambda x: head(layers.Conv2D(8, 1)(x))),
        patch_size=4,
        stride=4,
        engine="incremental",
    ).explainer.plans[0]
    assert plan.positions_at_a_time(16) == 64
    plan = kx.occlusion(small_net(), patch_size=20, stride=4, engine="incremental").explainer.plans[
        0
    ]
    assert plan.positions_at_a_time(16) == 16


def test_it_follows_later_training():
    model, x = small_net(), images()
    explained = kx.occlusion(model, patch_size=5, stride=3, engine="incremental")
    before = explained.predict(x, verbose=0)["heatmap"]
    model.layers[2].gamma.assign(-model.layers[2].gamma)
    after = explained.predict(x, verbose=0)["heatmap"]
    assert np.abs(before - after).max() > 1e-3
    np.testing.assert_allclose(
        after, heat(kx.occlusion(model, patch_size=5, stride=3, engine="full"), x), atol=1e-5
    )


def test_saving(tmp_path):
    explained = kx.occlusion(small_net(), patch_size=5, stride=3, engine="incremental")
    explained.save(tmp_path / "explained.keras")
    loaded = keras.saving.load_model(tmp_path / "explained.keras")
    assert loaded.explainer.engine == "incremental"
    np.testing.assert_allclose(heat(loaded, images()), heat(explained, images()), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch cannot export")
@pytest.mark.parametrize("search", ["full", "adaptive"])
def test_export(tmp_path, search):
    tf = pytest.importorskip("tensorflow")
    explained = kx.occlusion(
        small_net(), patch_size=5, stride=3, engine="incremental", search=search
    )
    explained.export(str(tmp_path / "served"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(images())["heatmap"], heat(explained, images()),
                               atol=1e-5)


def test_integer_images():
    def body(x):
        return head(layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 64)(x)))

    image = keras.Input((16, 12, 3), dtype="uint8")
    model = alive(keras.Model(image, body(image)))
    x = np.random.default_rng(0).integers(0, 256, (2, 16, 12, 3)).astype("uint8")
    maps = [
        heat(kx.occlusion(model, patch_size=4, stride=2, engine=e), x)
        for e in ("incremental", "full")
    ]
    np.testing.assert_allclose(*maps, atol=1e-5)


# Choices and errors ---------------------------------------------------------------------------


def test_auto_takes_windows_only_where_they_save_work():
    def gated(x):
        x = layers.Conv2D(4, 3, padding="same")(x)
        gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
        x = x * layers.Reshape((1, 1, 4))(gate)
        return head(layers.Conv2D(64, 5, padding="same")(x))

    assert "window" in kx.occlusion(small_net(), patch_size=5, stride=3).explainer.report()
    report = kx.occlusion(functional((24, 20, 3), gated), patch_size=5, stride=3).explainer.report()
    assert "windows save only a factor of 1.0" in report


def test_engine_that_cannot_be_had():
    table = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    with pytest.raises(ValueError, match='received|engine="incremental".*Use engine="auto"'):
        kx.occlusion(table, patch_size=1, engine="incremental")
    with pytest.raises(ValueError, match="Expected `engine` to be one of"):
        kx.occlusion(small_net(), patch_size=5, engine="fast")
    with pytest.raises(ValueError, match='Use precision="float32"'):
        kx.occlusion(small_net(), patch_size=5, engine="full", precision="bfloat16")


def test_half_precision_models_run_in_full():
    def body(x):
        x = layers.Conv2D(4, 3, dtype="mixed_bfloat16")(x)
        return layers.Dense(2, dtype="float32")(layers.GlobalAveragePooling2D()(x))

    explained = kx.occlusion(functional((12, 10, 3), body), patch_size=4, stride=4)
    assert "half precision" in explained.explainer.report()
    assert np.isfinite(heat(explained, images()[:, :12, :10])).all()


# bfloat16 -------------------------------------------------------------------------------------


def test_bfloat16_keeps_the_order_of_positions(monkeypatch):
    monkeypatch.setattr("keras_explain.explainers.occlusion.is_native", lambda: True)
    model, x = small_net(), images()
    maps = [heat(kx.occlusion(model, patch_size=5, stride=3, precision=p, engine="incremental"), x)
            for p in ("float32", "bfloat16")]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("search", ["full", "adaptive"])
def test_bfloat16_that_is_too_coarse_is_found_out(monkeypatch, search):
    monkeypatch.setattr("keras_explain.explainers.occlusion.is_native", lambda: True)
    monkeypatch.setattr("keras_explain.engine.windows.run.TRUSTED", 1e-9)
    monkeypatch.setattr("keras_explain.engine.windows.plan.Plan.first_reduced", lambda self: 0)
    model, x = small_net(), images(1)
    options = {"engine": "incremental", "search": search}
    explained = kx.occlusion(model, patch_size=5, stride=3, precision="bfloat16", **options)
    with pytest.warns(UserWarning, match="bfloat16 moved the occlusion map"):
        got = heat(explained, x)
    exact = heat(kx.occlusion(model, patch_size=5, stride=3, **options), x)
    np.testing.assert_allclose(got, exact, atol=1e-6)


def test_a_machine_without_bfloat16(monkeypatch):
    monkeypatch.setattr("keras_explain.explainers.occlusion.is_native", lambda: False)
    model, x = small_net(), images(1)
    with pytest.warns(UserWarning, match="no instructions for bfloat16"):
        got = heat(kx.occlusion(model, patch_size=5, stride=3, precision="bfloat16"), x)
    np.testing.assert_allclose(got, heat(kx.occlusion(model, patch_size=5, stride=3), x), atol=1e-6)
