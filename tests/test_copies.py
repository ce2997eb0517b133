"""Explainers, explained models, callbacks and LIME objects as pickles and as deep copies."""

import copy
import pickle

import keras
import numpy as np
import pytest
from models import KINDS, kind_for
from running import run

import keras_explain as kx
from keras_explain import callbacks
from keras_explain.explainers import METHODS

COPIED = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}
FAST = {"rise": {"samples": 8, "grid": 3}, "smooth_grad": {"samples": 2},
        "integrated_gradients": {"steps": 2}, "occlusion": {"patch_size": 4}}
copies = pytest.mark.parametrize("copied", COPIED.values(), ids=COPIED)


@copies
@pytest.mark.parametrize("name", METHODS)
def test_explainers_and_explained_models(name, copied):
    kind = kind_for(name)
    explained = getattr(kx, name)(kind.model, **FAST.get(name, {}))
    x = kind.inputs(2)
    wanted = run(explained, x)["heatmap"]
    assert np.any(wanted)
    np.testing.assert_allclose(run(copied(explained), x)["heatmap"], wanted, atol=1e-5)
    found = keras.ops.convert_to_numpy(copied(explained.explainer)(x)["heatmap"])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def small_model():
    model = keras.Sequential([
        keras.Input((12, 10, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def linear_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


X = np.random.default_rng(0).random((8, 12, 10, 1), dtype="float32")
Y = np.arange(8) % 2
TABLE = np.random.default_rng(0).random((8, 3), dtype="float32")
CALLBACKS = {
    "grad_cam": (small_model, X, lambda **o: callbacks.GradCAMCallback(X[:2], **o)),
    "saliency": (small_model, X, lambda **o: callbacks.SaliencyCallback(X[:2], **o)),
    "occlusion": (small_model, X, lambda **o: callbacks.OcclusionCallback(
        X[:2], patch_size=4, **o)),
    "explanation": (small_model, X, lambda **o: callbacks.ExplanationCallback(
        kx.grad_cam, X, Y, pick="worst", max_images=2, **o)),
    "lime": (small_model, X, lambda **o: callbacks.LimeCallback(X[:2], samples=20, **o)),
    "errors": (small_model, X, lambda **o: callbacks.ErrorAnalysisCallback(
        X, Y, builder=kx.saliency, **o)),
    "coefficients": (linear_model, TABLE, lambda **o: callbacks.CoefficientCallback(
        TABLE, shape=(1, 3), **o)),
}


@copies
@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_before_and_after_a_training(name, copied, tmp_path):
    make, x, build = CALLBACKS[name]
    fresh = copied(build(log_dir=tmp_path / "a"))
    make().fit(x, Y, epochs=1, verbose=0, callbacks=[fresh])
    assert list((tmp_path / "a").rglob("events*"))
    again = copied(fresh)
    again.log_dir = str(tmp_path / "b")
    make().fit(x, Y, epochs=1, verbose=0, callbacks=[again])
    assert list((tmp_path / "b").rglob("events*"))


class _CopyInTraining(keras.callbacks.Callback):
    def __init__(self, callback, copied):
        super().__init__()
        self.callback, self.copied = callback, copied

    def on_epoch_end(self, epoch, logs=None):
        assert self.copied(self.callback).name == self.callback.name


@copies
def test_a_callback_is_copied_in_training(copied, tmp_path):
    callback = callbacks.SaliencyCallback(X[:2], log_dir=tmp_path)
    watching = _CopyInTraining(callback, copied)
    small_model().fit(X, Y, epochs=1, verbose=0, callbacks=[callback, watching])
    assert list(tmp_path.rglob("events*"))


def brightness(images):
    return np.stack([images.mean(axis=(1, 2, 3)), 1 - images.mean(axis=(1, 2, 3))], axis=1)


def praise(texts):
    return np.array([[t.count("good") / 4, 1 - t.count("good") / 4] for t in texts])


def total(rows):
    return np.stack([rows[:, 0], 1 - rows[:, 0]], axis=1)


LIME = {
    "image": (lambda: kx.LimeImageExplainer(brightness), X[0].repeat(3, axis=-1)),
    "text": (lambda: kx.LimeTextExplainer(praise), "a good film, a good day"),
    "table": (lambda: kx.LimeTabularExplainer(total, TABLE), TABLE[0]),
    "model": (lambda: kx.LimeImageExplainer(small_model()), X[0]),
    "shapley": (lambda: kx.LimeTabularExplainer(total, TABLE, kernel="shapley"), TABLE[0]),
    "series": (lambda: kx.LimeSeriesExplainer(total, segments=4), TABLE[0]),
}


@copies
@pytest.mark.parametrize("name", LIME)
def test_lime(name, copied):
    build, x = LIME[name]
    explainer = build()
    wanted = explainer.explain(x, samples=40, seed=0, verbose=0)
    found = copied(explainer).explain(x, samples=40, seed=0, verbose=0)
    np.testing.assert_allclose(found.heatmap(), wanted.heatmap(), atol=1e-5)
    np.testing.assert_array_equal(copied(wanted).heatmap(), wanted.heatmap())


@copies
def test_a_target_without_a_name(copied):
    explained = kx.saliency(linear_model(), target=lambda y: y[:, 0])
    wanted = run(explained, TABLE)["heatmap"]
    np.testing.assert_allclose(run(copied(explained), TABLE)["heatmap"], wanted, atol=1e-5)


def test_a_function_without_a_name_is_named_by_the_error():
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(kx.LimeTextExplainer(lambda texts: praise(texts)))


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras exports no SavedModel there")
@copies
def test_saved_explainers(copied, tmp_path):
    kind = KINDS["functional"]
    explained = kx.saliency(kind.model)
    saved = kx.SavedExplainer(kx.export(explained, tmp_path / "served"), "explain")
    columns = {explained.inputs[0].name: kind.inputs(2)}
    wanted = saved(columns)["heatmap"]
    np.testing.assert_array_equal(copied(saved)(columns)["heatmap"], wanted)
