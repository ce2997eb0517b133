"""One class against another: closed forms, and errors."""

import keras
import numpy as np
import pytest
from keras import layers
from running import heatmap, run

import keras_explain as kx
from keras_explain.targets import Difference, Region

QUARTERS = np.arange(8)[:, None] // 4 * 2 + np.arange(6) // 3


def network(end="softmax", units=4):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((8, 6, 2)), layers.Conv2D(4, 3, activation="gelu"),
                             layers.GlobalAveragePooling2D(), layers.Dense(units, end)])


def pictures():
    return np.random.default_rng(0).random((2, 8, 6, 2), "float32")


@pytest.mark.parametrize("builder", [kx.saliency, kx.hires_cam, kx.gradient_x_input])
def test_a_gradient_is_the_difference_of_those_of_the_classes(builder):
    def find(target):
        options = {} if builder is kx.gradient_x_input else {"signed": True}
        return heatmap(builder(network(), target=target, **options), pictures())

    np.testing.assert_allclose(find(Difference(2, 1)), find(2) - find(1), atol=1e-6)


@pytest.mark.parametrize("end, units, score, ask", [
    ("softmax", 4, "logit", lambda p: np.log(p[:, 2] / p[:, 1])),
    ("softmax", 4, "probability", lambda p: p[:, 2] - p[:, 1]),
    ("sigmoid", 4, "probability", lambda p: p[:, 2] - p[:, 1])])
def test_occlusion_is_the_drop_of_the_difference(end, units, score, ask):
    model, x = network(end, units), pictures()
    found = heatmap(kx.occlusion(model, target=Difference(2, 1), score=score, patch_size=1,
                                 stride=1, baseline=0.0), x)
    hidden = x.copy()
    hidden[:, 3, 2] = 0
    np.testing.assert_allclose(found[:, 3, 2], ask(run(model, x)) - ask(run(model, hidden)),
                               atol=1e-5)


def test_what_is_common_to_both_cancels():
    """Class 1 and 2 share the first input; the second speaks for 2 alone."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, "softmax")])
    model.layers[0].set_weights([np.array([[0, 5, 5], [0, 0, 1]], "float32"), np.zeros(3)])
    found = heatmap(kx.gradient_x_input(model, target=Difference(2, 1)), np.ones((1, 2)))
    np.testing.assert_allclose(found, [[0, 1]], atol=1e-6)


def test_classes_over_regions():
    image = keras.Input((8, 6, 2))
    model = keras.Model(image, layers.Conv2D(3, 3, padding="same", activation="softmax")(image))
    regions = Region((1, 1), 2), Region((6, 4), 0)
    find = [heatmap(kx.saliency(model, target=t, signed=True), pictures())
            for t in (Difference(*regions), *regions)]
    np.testing.assert_allclose(find[0], find[1] - find[2], atol=1e-6)
    config = keras.saving.serialize_keras_object(Difference(*regions))
    assert keras.saving.deserialize_keras_object(config) == Difference(*regions)


def test_it_is_saved_and_lime_finds_it(tmp_path):
    model, x = network(), pictures()
    explained = kx.occlusion(model, target=Difference(3, 0))
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    np.testing.assert_allclose(heatmap(again, x), heatmap(explained, x), atol=1e-6)
    found = kx.LimeImageExplainer(model, segments=QUARTERS, baseline=0.0).explain(
        x[0], target=Difference(3, 0), samples=16, verbose=0)
    p = run(model, x)[0]
    np.testing.assert_allclose(found.prediction, p[3] - p[0], atol=1e-6)
    assert found.class_names == ("class 3 rather than class 0",)


@pytest.mark.parametrize("target, error, message", [
    (lambda: Difference(1, 1), ValueError, "two different classes, received 1 twice"),
    (lambda: Difference("cat", 1), TypeError, "index of a class.*'cat'"),
    (lambda: Difference(0, -1), TypeError, "index of a class.*-1"),
    (lambda: Difference(0, 4), ValueError, "from 0 to 3.*received 4"),
    (lambda: Difference(0, Region((0, 0), 1)), ValueError, "scores at each place"),
])
def test_errors_before_anything_is_computed(target, error, message):
    with pytest.raises(error, match=message):
        kx.saliency(network(), target=target())
