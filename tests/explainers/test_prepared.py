"""What `predict` of the user's model takes is what `predict` of the explained model takes."""

import keras
import numpy as np
import pytest
from preparing_models import Crops, InBoth, InPredict, InStep, Plain, build

import keras_explain as kx
from keras_explain.callbacks import GradCAMCallback
from keras_explain.callbacks._worst import WorstExamples
from keras_explain.error_analysis import analyze_errors
from keras_explain.lime import LimeImageExplainer


@pytest.fixture
def rng():
    return np.random.default_rng(0)



def plain_twin(model):
    twin = keras.Model(model.inputs, model.outputs)
    assert type(twin).predict is keras.Model.predict
    return twin


@pytest.fixture
def raw(rng):
    return rng.integers(0, 256, (5, 6, 5, 3)).astype("uint8")


@pytest.mark.parametrize("builder", [kx.grad_cam, kx.saliency, kx.occlusion])
@pytest.mark.parametrize("kind", [InPredict, InStep, InBoth])
def test_the_preparation_runs_once(kind, builder, raw):
    model = build(kind)
    ready = raw / 255.0 - 0.5
    want = builder(plain_twin(model), target=1).predict(ready, verbose=0)
    explained = builder(model, target=1)
    for got in (explained.predict(raw, verbose=0), explained.predict_on_batch(raw)):
        np.testing.assert_allclose(got["heatmap"], want["heatmap"], atol=1e-5)
        np.testing.assert_allclose(got["predictions"], model.predict(raw, verbose=0), atol=1e-5)
    called = explained(ready.astype("float32"))["heatmap"]  # a call prepares nothing, as the model
    np.testing.assert_allclose(keras.ops.convert_to_numpy(called), want["heatmap"], atol=1e-5)


def test_classes_and_datasets_with_the_data(raw):
    import tensorflow as tf

    model = build(InPredict)
    classes = np.array([0, 1, 2, -1, 1])
    got = kx.saliency(model, target="input").predict([raw, classes], verbose=0)["heatmap"]
    want = kx.saliency(plain_twin(model), target="input").predict(
        [raw / 255.0 - 0.5, classes], verbose=0)["heatmap"]
    np.testing.assert_allclose(got, want, atol=1e-6)
    batches = tf.data.Dataset.from_tensor_slices(raw.astype("float32")).batch(2)
    got = kx.saliency(model).predict(batches, verbose=0)["heatmap"]
    want = kx.saliency(model).predict(raw, verbose=0)["heatmap"]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_heatmaps_lie_over_the_raw_picture(rng):
    model = build(Crops, shape=(24, 30, 3))
    raw = rng.integers(0, 256, (2, 48, 60, 3)).astype("float32")
    ready = raw[:, 12:36, 44:14:-1] / 255.0 - 0.5
    want = np.zeros((2, 48, 60))
    want[:, 12:36, 44:14:-1] = kx.saliency(plain_twin(model)).predict(ready, verbose=0)["heatmap"]
    got = kx.saliency(model).predict(raw, verbose=0)["heatmap"]
    np.testing.assert_allclose(got, want, atol=1e-4 * want.max())


def test_metrics_and_comparisons_take_raw_data(raw):
    model = build(InPredict)
    twin, ready = plain_twin(model), (raw / 255.0 - 0.5).astype("float32")
    maps = kx.saliency(twin).predict(ready, verbose=0)["heatmap"]
    np.testing.assert_allclose(kx.metrics.deletion(model, raw, maps),
                               kx.metrics.deletion(twin, ready, maps), atol=1e-5)
    np.testing.assert_allclose(kx.metrics.deletion(kx.saliency(model), raw),
                               kx.metrics.deletion(twin, ready, maps), atol=1e-5)
    mine, theirs = (kx.compare(m, x, ["saliency"], ["deletion"], verbose=0)
                    for m, x in ((model, raw), (twin, ready)))
    np.testing.assert_allclose(mine.scores["saliency"]["deletion"],
                               theirs.scores["saliency"]["deletion"], atol=1e-5)


def test_metrics_know_where_a_crop_was(rng):
    model = build(Crops, shape=(24, 30, 3))
    raw = rng.integers(0, 256, (2, 48, 60, 3)).astype("uint8")
    explained = kx.saliency(model)
    values, maps, _ = kx.metrics.Evaluator(explained).data(raw)
    assert values[0].shape == (2, 24, 30, 3) and maps.shape == (2, 24, 30)
    called = kx.saliency(plain_twin(model)).predict(values[0], verbose=0)["heatmap"]
    assert np.corrcoef(maps.ravel(), called.ravel())[0, 1] > 0.9


def test_error_analysis_and_the_worst_examples(raw):
    model, y = build(InPredict), np.array([0, 1, 2, 0, 1])
    want = model.predict(raw, verbose=0)
    np.testing.assert_allclose(analyze_errors(model, raw, y).probabilities, want, atol=1e-5)
    model.compile(loss="sparse_categorical_crossentropy")
    losses = -np.log(want[np.arange(5), y])
    np.testing.assert_array_equal(WorstExamples(model, raw, y, 5).rows(), np.argsort(-losses))


@pytest.mark.parametrize("kind", [InPredict, InStep, InBoth, Plain])
@pytest.mark.parametrize("given", [lambda m: m, lambda m: m.predict], ids=["model", "predict"])
def test_lime_explains_what_predict_says(kind, given, raw):
    model = build(kind)
    image = raw[0] if kind is not Plain else (raw[0] / 255.0).astype("float32")
    segments = np.arange(30).reshape(6, 5) // 10
    found = LimeImageExplainer(given(model), segments=segments).explain(image, top=3, verbose=0)
    scores = model.predict(image[None], verbose=0)[0]
    np.testing.assert_allclose(found.prediction, scores[list(found.classes)], atol=1e-5)


def test_a_callback_explains_raw_examples(raw, tmp_path):
    model = build(InPredict)
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = GradCAMCallback(raw[:2], log_dir=tmp_path)
    model.fit(raw / 255.0 - 0.5, np.array([0, 1, 2, 0, 1]), verbose=0, callbacks=[callback])
    found = callback._source.columns(raw[:2])[1]
    np.testing.assert_allclose(found, model.predict(raw[:2], verbose=0), atol=1e-5)


def test_a_preparation_outside_of_the_graph_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="whose `predict` prepares its inputs before"):
        kx.export(kx.grad_cam(build(InPredict)), tmp_path / "model")
