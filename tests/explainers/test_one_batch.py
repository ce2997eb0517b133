"""`predict` of one batch without Keras's data pipeline: the same numbers, bars and callbacks."""

import keras
import numpy as np
import pytest
from keras import ops, tree
from models import KINDS

import keras_explain as kx
from keras_explain.explainers import _explained_model

BACKEND = keras.backend.backend()
NAMES = ("functional", "inputs_list", "inputs_dict", "outputs_dict", "uint8_image", "mixed_float16",
         "grayscale_without_channel_axis", "tokens", "image_and_table")


@pytest.fixture
def short_runs(monkeypatch):
    """How often the short way was gone."""
    runs, run = [], _explained_model.predict_one_batch

    def counting(*args):
        runs.append(1)
        return run(*args)

    monkeypatch.setattr(_explained_model, "predict_one_batch", counting)
    return runs


def saliency(kind="functional", **options):
    kind = KINDS[kind]
    return kx.saliency(kind.model, **{**kind.options, **options}), kind.inputs(3)


def through_pipeline(explained, x, **options):
    return keras.Model.predict(explained, x, verbose=0, **options)


def assert_same(got, want):
    tree.assert_same_structure(got, want)
    for a, b in zip(tree.flatten(got), tree.flatten(want), strict=True):
        assert type(a) is type(b) is np.ndarray
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [n for n in NAMES if n in KINDS])
def test_the_same_bit_by_bit(name, short_runs):
    explained, x = saliency(name)
    got = explained.predict(x, verbose=0)
    assert short_runs == [1]
    assert_same(got, through_pipeline(explained, x))
    assert np.ptp(tree.flatten(got["heatmap"])[0]) > 0


def test_other_types_of_numbers_are_the_same_bit_by_bit(short_runs):
    explained, x = saliency()
    for given in (np.float64(x), np.float16(x), np.int64(3 * x), ops.convert_to_tensor(x)):
        assert_same(explained.predict(given, verbose=0), through_pipeline(explained, given))
    assert len(short_runs) == 4


def test_what_does_not_fit_goes_through_the_pipeline(short_runs):
    explained, x = saliency()
    want = explained.predict(x, verbose=0)
    short_runs.clear()
    for options in ({"batch_size": 2}, {"steps": 1}, {"callbacks": [keras.callbacks.Callback()]}):
        got = explained.predict(x, verbose=0, **options)
        np.testing.assert_allclose(got["heatmap"], want["heatmap"], atol=1e-6)
    many = np.concatenate([x] * 11)
    assert explained.predict(many, verbose=0)["heatmap"].shape[0] == 33
    assert short_runs == []
    explained.predict(many, batch_size=33, verbose=0)
    assert short_runs == [1]


def test_callbacks_are_called():
    class Heard(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.shapes, self.calls = [], []

        def on_predict_begin(self, logs=None):
            self.calls.append("begin")

        def on_predict_batch_end(self, batch, logs=None):
            self.shapes.append(tuple(logs["heatmap"].shape))

        def on_predict_end(self, logs=None):
            self.calls.append("end")

    explained, x = saliency()
    heard = Heard()
    explained.predict(x, verbose=0, callbacks=[heard])
    assert heard.calls == ["begin", "end"]
    assert heard.shapes == [(3, 16, 12)]


@pytest.mark.parametrize("verbose", ["auto", 0, 1, 2])
def test_the_progress_bar_is_that_of_keras(verbose, capsys):
    def shown(run):
        run()
        text = capsys.readouterr().out
        text = "".join(c for c in text if not (c.isdigit() or c in " \b"))
        return text.replace("ms", "s").replace("us", "s")

    explained, x = saliency()
    explained.predict(x, verbose=0)
    got = shown(lambda: explained.predict(x, verbose=verbose))
    want = shown(lambda: keras.Model.predict(explained, x, verbose=verbose))
    assert got == want
    assert bool(got) is (verbose != 0)


def test_classes_of_each_request_are_taken():
    explained, x = saliency(target="input")
    given = [x, np.array([0, 1, -1])]
    assert_same(explained.predict(given, verbose=0), through_pipeline(explained, given))


def test_later_training_is_followed():
    model = keras.models.clone_model(KINDS["functional"].model)
    explained, x = kx.saliency(model), KINDS["functional"].inputs(2)
    model.set_weights(KINDS["functional"].model.get_weights())
    before = explained.predict(x, verbose=0)["heatmap"]
    model.set_weights([1.5 * w for w in model.get_weights()])
    after = explained.predict(x, verbose=0)["heatmap"]
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    np.testing.assert_array_equal(after, through_pipeline(explained, x)["heatmap"])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow traces in `predict`")
def test_the_pipeline_and_the_short_way_share_one_trace():
    explained, x = saliency()
    explained.predict(x, verbose=0)
    traces = explained.predict_function.experimental_get_tracing_count()
    through_pipeline(explained, x)
    assert explained.predict_function.experimental_get_tracing_count() == traces == 1


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a strategy of TensorFlow")
def test_a_strategy_shares_the_data_out(short_runs):
    import tensorflow as tf

    _, x = saliency()
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = keras.models.clone_model(KINDS["functional"].model)
        explained = kx.saliency(model)
    assert explained.predict(x, verbose=0)["heatmap"].shape == (3, 16, 12)
    assert short_runs == []
