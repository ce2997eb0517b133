"""A class over a region of a segmentation: known answers, closed forms, and errors."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from running import heatmap, run
from test_saving import load_elsewhere

import keras_explain as kx
from keras_explain.targets import Region

HEIGHT, WIDTH = 12, 20
LEFT, RIGHT = (slice(4, 8), slice(3, 7)), (slice(5, 9), slice(13, 17))
BOX = (5, 13, 9, 17)


def by_hand(end="softmax"):
    """Bright squares are class 1: a mean over 3 x 3 pixels, against a constant."""
    image = keras.Input((HEIGHT, WIDTH, 1))
    conv = layers.Conv2D(1, 3, padding="same", activation="relu", name="features")
    classes = layers.Conv2D(2, 1, activation=end, name="classes")
    model = keras.Model(image, classes(conv(image)))
    conv.set_weights([np.full((3, 3, 1, 1), 1 / 9, "float32"), np.zeros(1, "float32")])
    classes.set_weights([np.array([0, 4], "float32").reshape(1, 1, 1, 2),
                         np.array([1, 0], "float32")])
    return model


def picture():
    x = np.full((1, HEIGHT, WIDTH, 1), 0.05, "float32")
    x[0, *LEFT] = x[0, *RIGHT] = 1
    return x


def mask():
    where = np.zeros((HEIGHT, WIDTH), bool)
    where[RIGHT] = True
    return where


def share_near_right(found):
    near = np.maximum(found, 0)[4:10, 12:18].sum()
    return near / np.maximum(found, 0).sum()


METHODS = [
    (kx.saliency, {}), (kx.integrated_gradients, {"baseline": 0.0, "steps": 8}),
    (kx.gradient_x_input, {}), (kx.local_linear, {}), (kx.hires_cam, {}),
    (kx.occlusion, {"patch_size": 2, "stride": 1, "baseline": 0.05}),
    (kx.rise, {"samples": 1024, "grid": (6, 10), "baseline": 0.05}),
]


@pytest.mark.parametrize("builder, options", METHODS, ids=lambda v: getattr(v, "__name__", ""))
def test_the_object_in_the_region_is_found_and_not_its_twin(builder, options):
    found = heatmap(builder(by_hand(), target=Region(BOX, 1), **options), picture())[0]
    assert share_near_right(found) > (0.7 if builder is kx.rise else 0.99)
    everywhere = heatmap(builder(by_hand(), target=1, **options), picture())[0]
    assert share_near_right(everywhere) < 0.6
    same = heatmap(builder(by_hand(), target=Region(mask(), 1), **options), picture())[0]
    np.testing.assert_allclose(same, found, atol=1e-5)


@pytest.mark.parametrize("end", ["softmax", "linear"])
def test_scores_at_places_are_no_features(end):
    explained = kx.hires_cam(by_hand(end), target=Region(BOX, 1))
    assert explained.explainer.place == "features"


def test_maps_from_channel_means_cannot_tell_places():
    with pytest.warns(UserWarning, match="Use `hires_cam`"):
        kx.grad_cam(by_hand(), target=Region(BOX, 1))


def test_lime_finds_it():
    predictor = kx.lime.Predictor(by_hand(), target=Region(BOX, 1))
    labels = np.arange(HEIGHT)[:, None] // 4 * 5 + np.arange(WIDTH) // 4
    explainer = kx.LimeImageExplainer(predictor, segments=labels, baseline=0.0)
    explanation = explainer.explain(picture()[0], samples=400, verbose=0)
    best = np.argsort(explanation.weights[0])[-4:]
    assert set(best) <= {8, 9, 13, 14, 7, 12}
    wanted = run(by_hand(), picture())[0, 5:9, 13:17, 1].mean()
    np.testing.assert_allclose(explanation.prediction, wanted, rtol=1e-5)


def random_model(end="softmax", units=3, shape=(8, 6, 2)):
    keras.utils.set_random_seed(2)
    conv = {2: layers.Conv1D, 3: layers.Conv2D, 4: layers.Conv3D}[len(shape)]
    x = image = keras.Input(shape)
    x = conv(4, 3, padding="same", activation="gelu")(x)
    return keras.Model(image, conv(units, 1, activation=end)(x))


def scores_of(model, kind):
    """The scores at places, out of the probabilities."""
    p = np.float64(model)
    if p.shape[-1] == 1:
        p = np.concatenate([1 - p, p], axis=-1)
        logits = np.log(p / (1 - p))
        return {"logit": logits, "log_odds": logits, "probability": p}[kind]
    return {"log_odds": np.log(p / (1 - p)), "probability": p}[kind]


@pytest.mark.parametrize("end, units, kind", [
    ("softmax", 3, "log_odds"), ("softmax", 3, "probability"), ("sigmoid", 1, "logit"),
    ("sigmoid", 1, "probability"), ("sigmoid", 3, "probability")])
def test_occlusion_is_the_drop_of_the_mean_score(end, units, kind):
    model, x = random_model(end, units), np.random.default_rng(0).random((2, 8, 6, 2), "float32")
    found = heatmap(kx.occlusion(model, target=Region((2, 1, 5, 4), 1), score=kind, patch_size=1,
                                 stride=1, baseline=0.0), x)

    def score(x):
        return scores_of(run(model, x), kind)[:, 2:5, 1:4, 1].mean(axis=(1, 2))

    for place in (1, 1), (3, 2), (4, 4), (7, 5):
        hidden = x.copy()
        hidden[:, *place] = 0
        np.testing.assert_allclose(found[:, *place], score(x) - score(hidden), atol=1e-5)


def test_gradients_are_those_of_finite_differences():
    model, x = random_model("linear"), np.random.default_rng(0).random((1, 8, 6, 2), "float32")
    target = Region((3, 2))
    slopes = kx.finite_differences(model, target=target, signed=True)
    found = heatmap(kx.saliency(model, target=target, signed=True), x)
    wanted = slopes(x)["heatmap"]
    np.testing.assert_allclose(found, wanted, atol=1e-2 * np.abs(wanted).max())
    top = run(model, x)[0, 3, 2].argmax()
    same = heatmap(kx.saliency(model, target=Region((3, 2), int(top)), signed=True), x)
    np.testing.assert_allclose(found, same, atol=1e-6)


@pytest.mark.parametrize("shape, where, seen", [
    ((9, 2), 4, np.s_[3:6]), ((9, 2), (2, 4), np.s_[1:5]),
    ((4, 5, 6, 1), (1, 2, 3), np.s_[0:3, 1:4, 2:5]),
    ((4, 5, 6, 1), (1, 2, 3, 2, 4, 4), np.s_[0:3, 1:5, 2:5])])
def test_series_and_volumes_have_regions(shape, where, seen):
    x = np.random.default_rng(0).random((1, *shape), "float32")
    model = random_model("linear", shape=shape)
    found = heatmap(kx.saliency(model, target=Region(where, 1)), x)[0]
    assert found[seen].any()
    found[seen] = 0
    assert not found.any()


def test_it_is_saved(tmp_path):
    x, where = np.random.default_rng(0).random((1, 8, 6, 2), "float32"), np.eye(8, 6) > 0
    np.save(tmp_path / "x.npy", x)
    maps = {}
    for builder, target in ((kx.occlusion, Region(where, 1)), (kx.saliency, Region((1, 2, 3, 4)))):
        explained = builder(random_model(), target=target)
        maps[builder.__name__] = heatmap(explained, x)
        explained.save(tmp_path / f"{builder.__name__}.keras")
    load_elsewhere(tmp_path, maps, "import keras, keras_explain")
    for name, wanted in maps.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), wanted, atol=1e-5)


def test_configurations_come_back():
    for target in (Region((1, 2)), Region([1, 2, 3, 4], 2), Region(mask(), 1), Region(5),
                   Region(np.array([True, False, True]))):
        config = keras.saving.serialize_keras_object(target)
        assert keras.saving.deserialize_keras_object(config) == target
    assert Region(mask(), 1) != Region(~mask(), 1)
    assert Region(mask().astype("float32"), 1) == Region(mask(), 1)
    assert str(Region(mask())) == "top class over a mask of 16 places"


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch exports no SavedModel")
def test_it_is_exported(tmp_path):
    import tensorflow as tf

    for builder in (kx.saliency, kx.hires_cam):
        explained = builder(by_hand(), target=Region(mask(), 1))
        kx.export(explained, tmp_path / builder.__name__)
        served = tf.saved_model.load(str(tmp_path / builder.__name__))
        out = served.signatures["explain"](tf.constant(picture()))
        np.testing.assert_allclose(out["heatmap"], heatmap(explained, picture()), atol=1e-5)


def test_a_callback_logs_it(tmp_path):
    x = np.random.default_rng(0).random((2, 8, 6, 3), "float32")
    model = random_model("linear", shape=(8, 6, 3))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = kx.callbacks.ExplanationCallback(
        functools.partial(kx.hires_cam, target=Region((1, 2, 4, 5), 1)), x, log_dir=str(tmp_path))
    model.fit(x, np.zeros((2, 8, 6), "int32"), epochs=1, verbose=0, callbacks=[callback])
    assert list(tmp_path.rglob("events*"))


def test_metrics_ask_for_it():
    from keras_explain import metrics

    target = Region(BOX, 1)
    explained = kx.occlusion(by_hand(), target=target, patch_size=2, stride=1)
    curves = [metrics.deletion(by_hand(), picture(), m, target=target, steps=6, baseline=0.05)
              for m in (heatmap(explained, picture()), np.random.default_rng(0).random(
                  (1, HEIGHT, WIDTH), "float32"))]
    assert np.mean(curves[0]) < np.mean(curves[1])


@pytest.mark.parametrize("target, error, message", [
    (lambda: Region((0, 0), "road"), TypeError, "index of a class.*'road'"),
    (lambda: Region((0, 0), -1), TypeError, "index of a class.*-1"),
    (lambda: Region("road"), TypeError, "a mask of True and False, received 'road'"),
    (lambda: Region((0.5, 0.5)), TypeError, "in whole numbers"),
    (lambda: Region(3 * mask()), TypeError, "labels == 3"),
    (lambda: Region(np.zeros((3, 3), bool)), ValueError, "at least one place"),
    (lambda: Region((0, 0), 2), ValueError, "from 0 to 1.*received 2"),
    (lambda: Region((1, 2, 3)), ValueError, "2 numbers for a place or 4 for a box"),
    (lambda: Region((0, WIDTH)), ValueError, r"within \(12, 20\).*received \(0, 20\)"),
    (lambda: Region((-1, 0)), ValueError, "Count rows and columns"),
    (lambda: Region((4, 4, 4, 8)), ValueError, "the end of a box is outside"),
    (lambda: Region((4, 4, 13, 8)), ValueError, r"within \(12, 20\)"),
    (lambda: Region(mask()[:, 1:]), ValueError, r"mask of shape \(12, 20\).*\(12, 19\).*Resize"),
])
def test_errors_before_anything_is_computed(target, error, message):
    for builder in (kx.saliency, kx.hires_cam, kx.occlusion):
        with pytest.raises(error, match=message):
            builder(by_hand(), target=target())


def test_models_without_places():
    classifier = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="scores at each place.*received scores of shape"):
        kx.saliency(classifier, target=Region((0, 0), 1))


def test_sizes_that_the_model_leaves_free_are_checked_when_there_is_one():
    model = random_model(shape=(None, None, 2))
    explained = kx.saliency(model, target=Region((6, 4), 1))
    assert heatmap(explained, np.ones((1, 7, 6, 2), "float32")).shape == (1, 7, 6)
    with pytest.raises(ValueError, match=r"within \(5, 5\).*received \(6, 4\)"):
        explained(np.ones((1, 5, 5, 2), "float32"))


def test_lime_is_asked_for_a_region_when_it_explains():
    labels = np.arange(HEIGHT)[:, None] // 4 * 5 + np.arange(WIDTH) // 4
    options = {"segments": labels, "baseline": 0.0}
    target = Region(mask(), 1)
    found = kx.LimeImageExplainer(by_hand(), **options).explain(
        picture()[0], target=target, samples=200, verbose=0)
    before = kx.LimeImageExplainer(kx.lime.Predictor(by_hand(), target=target), **options).explain(
        picture()[0], samples=200, verbose=0)
    np.testing.assert_allclose(found.weights, before.weights, atol=1e-6)
    assert labels[6, 15] == np.argmax(found.weights[0])
