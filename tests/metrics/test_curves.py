"""Deletion and insertion against sums on paper and a loop that removes pixels one by one."""

import keras
import nets
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain import metrics


def by_loop(predict, image, heatmap, steps, start, end):
    """One image, one forward pass at a time: pixels go from `start` to `end`, best first."""
    order = np.argsort(-heatmap.ravel(), kind="stable")
    scores = []
    for n in np.round(np.linspace(0, heatmap.size, steps + 1)).astype(int):
        now = start.reshape(heatmap.size, -1).copy()
        now[order[:n]] = end.reshape(heatmap.size, -1)[order[:n]]
        scores.append(predict(now.reshape(1, *image.shape))[0])
    return np.array(scores)


def test_linear_model_on_paper():
    model = keras.Sequential([keras.Input((1, 4, 1)), layers.Flatten(), layers.Dense(1)])
    model.layers[-1].set_weights([np.array([[3.0], [1.0], [2.0], [0.0]]), np.array([1.0])])
    x = np.ones((1, 1, 4, 1))
    curve = metrics.deletion_curve(model, x, [[[3, 1, 2, 0]]], steps=4, baseline="zero")
    np.testing.assert_allclose(curve.scores, [[7, 4, 2, 1, 1]], rtol=1e-6)
    np.testing.assert_allclose(curve.shares, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.auc, [(7 / 2 + 4 + 2 + 1 + 1 / 2) / 4], rtol=1e-6)
    rising = metrics.insertion_curve(model, x, [[[3, 1, 2, 0]]], steps=4, baseline="zero")
    np.testing.assert_allclose(rising.scores, [[1, 4, 6, 7, 7]], rtol=1e-6)


@pytest.mark.parametrize("method, insert", [(metrics.deletion_curve, False),
                                            (metrics.insertion_curve, True)])
def test_equals_a_loop(method, insert):
    model, x, maps = nets.convolutional(), nets.pictures(3), nets.maps(3)
    top = keras.ops.convert_to_numpy(model(x)).argmax(-1)
    found = method(model, x, maps, steps=7, baseline=0.25).scores
    nothing = np.full_like(x[0], 0.25)
    for i in range(3):
        def predict(batch, unit=top[i]):
            return keras.ops.convert_to_numpy(model(batch))[:, unit]

        ends = (nothing, x[i]) if insert else (x[i], nothing)
        np.testing.assert_allclose(
            found[i], by_loop(predict, x[i], maps[i], 7, *ends), atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_and_neighbors_change_nothing(batch_size):
    model, x, maps = nets.convolutional(), nets.pictures(5), nets.maps(5)
    expected = metrics.deletion(model, x, maps, steps=6)
    found = metrics.deletion(model, x, maps, steps=6, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    alone = metrics.deletion(model, x[2:3], maps[2:3], steps=6, batch_size=batch_size)
    np.testing.assert_allclose(alone, expected[2:3], atol=1e-6)


def test_the_true_order_is_best_on_a_linear_model():
    model, w = nets.linear()
    x = nets.pictures(4, (6, 5), 2)
    true = (w * x).sum(-1)
    rng, evaluator = np.random.default_rng(0), metrics.Evaluator(model)
    down = metrics.deletion(evaluator, x, true, baseline="zero")
    up = metrics.insertion(evaluator, x, true, baseline="zero")
    for _ in range(5):
        other = rng.normal(size=true.shape)
        assert (down < metrics.deletion(evaluator, x, other, baseline="zero")).all()
        assert (up > metrics.insertion(evaluator, x, other, baseline="zero")).all()


def test_patch_size_orders_cells_by_their_mean():
    model, w = nets.linear((4, 4, 1))
    x = nets.pictures(1, (4, 4), 1)
    maps = nets.maps(1, (4, 4))
    cells = maps.reshape(1, 2, 2, 2, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    options = {"steps": 4, "baseline": "zero"}
    np.testing.assert_allclose(metrics.deletion(model, x, maps, patch_size=2, **options),
                               metrics.deletion(model, x, cells, **options), rtol=1e-5)
    assert metrics.deletion(model, x, maps, **options) != pytest.approx(
        metrics.deletion(model, x, cells, **options))


def test_explained_model_gives_its_heatmaps_and_target():
    model, x = nets.convolutional(), nets.pictures(3)
    maps = kx.saliency(model, target=2)(x)["heatmap"]
    expected = metrics.deletion(model, x, np.asarray(keras.ops.convert_to_numpy(maps)), target=2,
                                steps=5)
    for explained, inputs in ((kx.saliency(model, target=2), x),
                              (kx.saliency(model, target=(2, 2, 2)), x),
                              (kx.saliency(model, target="input"), [x, np.full(3, 2)])):
        np.testing.assert_allclose(metrics.deletion(explained, inputs, steps=5), expected,
                                   atol=1e-6)


def test_small_maps_are_enlarged_as_builders_do():
    model, x = nets.convolutional(), nets.pictures(2)
    np.testing.assert_allclose(
        metrics.deletion(kx.grad_cam(model, resize=False), x, steps=5),
        metrics.deletion(kx.grad_cam(model), x, steps=5), atol=1e-6)


def test_sigmoid_unit_has_two_classes():
    model, x = nets.convolutional(units=1, activation="sigmoid"), nets.pictures(4)
    maps = nets.maps(4)
    one = metrics.deletion_curve(model, x, maps, target=1, steps=5)
    zero = metrics.deletion_curve(model, x, maps, target=0, steps=5)
    np.testing.assert_allclose(one.scores + zero.scores, 1, atol=1e-6)
    top = metrics.deletion_curve(model, x, maps, steps=5)
    assert (top.scores[:, 0] >= 0.5).all()


def test_callable_target():
    model, x, maps = nets.convolutional(), nets.pictures(2), nets.maps(2)
    curve = metrics.deletion_curve(model, x, maps, target=lambda y: y[:, 1] - y[:, 0], steps=4)
    answer = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(curve.scores[:, 0], answer[:, 1] - answer[:, 0], atol=1e-6)


def test_inputs_that_are_no_images():
    table = nets.seeded(keras.Sequential([keras.Input((7,)), layers.Dense(3, "softmax")]))
    rows = np.random.default_rng(0).random((4, 7)).astype("float32")
    assert metrics.deletion_curve(table, rows, rows, baseline="zero").scores.shape == (4, 8)
    tokens = nets.seeded(keras.Sequential([
        keras.Input((9,), dtype="int32"), layers.Embedding(20, 4),
        layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")]))
    words = np.random.default_rng(0).integers(1, 20, (4, 9))
    scores = metrics.deletion_curve(kx.saliency(tokens), words, steps=3, baseline="zero").scores
    blank = keras.ops.convert_to_numpy(tokens(np.zeros((1, 9), "int32")))
    top = keras.ops.convert_to_numpy(tokens(words)).argmax(-1)
    np.testing.assert_allclose(scores[:, -1], blank[0, top], atol=1e-6)


def test_other_inputs_stay_as_they_are():
    image, row = keras.Input((6, 6, 1), name="image"), keras.Input((2,), name="row")
    x = layers.Concatenate()([layers.Flatten()(image), row])
    model = nets.seeded(keras.Model({"image": image, "row": row}, layers.Dense(1)(x)))
    data = {"image": nets.pictures(3, (6, 6), 1), "row": np.ones((3, 2), "float32")}
    scores = metrics.deletion_curve(model, data, nets.maps(3, (6, 6)), baseline="zero").scores
    black = {**data, "image": np.zeros_like(data["image"])}
    np.testing.assert_allclose(scores[:, -1:], keras.ops.convert_to_numpy(model(black)), atol=1e-5)


def test_uint8_images():
    x = image = keras.Input((6, 6, 1), dtype="uint8")
    x = layers.Flatten()(layers.Rescaling(1 / 255)(x))
    model = nets.seeded(keras.Model(image, layers.Dense(3, "softmax")(x)))
    data = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 1), "uint8")
    for metric in (metrics.deletion, metrics.insertion, metrics.average_drop):
        assert np.isfinite(metric(model, data, nets.maps(2, (6, 6)))).all()


def test_follows_training_and_leaves_the_model_alone():
    model, x, maps = nets.convolutional(), nets.pictures(2), nets.maps(2)
    before = model.get_weights()
    evaluator = metrics.Evaluator(model)
    first = metrics.deletion(evaluator, x, maps, steps=4)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.get_layer("conv1").kernel.assign(-model.get_layer("conv1").kernel)
    second = metrics.deletion(evaluator, x, maps, steps=4)
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_allclose(second, metrics.deletion(model, x, maps, steps=4), atol=1e-6)


@pytest.mark.parametrize("change, words", [
    ({"heatmaps": nets.maps(2)}, "Expected 3 heatmaps"),
    ({"heatmaps": nets.maps(3) * np.nan}, "finite heatmaps"),
    ({"heatmaps": nets.pictures(3)[..., :2]}, "one number per pixel"),
    ({"heatmaps": None}, "Pass an array"),
    ({"x": nets.pictures(1)[0]}, "add a batch axis"),
    ({"x": nets.pictures(3) * np.nan}, "finite inputs"),
    ({"target": 9}, "`target` from 0 to 3"),
    ({"target": [1]}, "one class per image"),
    ({"steps": 0}, "`steps` to be an integer of at least 1"),
    ({"baseline": "black"}, "`baseline` to be one of"),
    ({"score": "loss"}, "`score` to be one of"),
])
def test_errors(change, words):
    arguments = {"x": nets.pictures(3), "heatmaps": nets.maps(3), **change}
    with pytest.raises(ValueError, match=words):
        metrics.deletion(nets.convolutional(), **arguments)
