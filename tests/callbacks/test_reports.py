"""Coefficients and error analysis per epoch: what is logged, and that training does not notice."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.callbacks import CoefficientCallback, ErrorAnalysisCallback


@pytest.fixture
def linear_model():
    def make():
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((12, 10, 1)), layers.Flatten(), layers.Dropout(0.2),
                                  layers.Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    return make


def test_coefficients_are_logged(digits, linear_model, read, tmp_path):
    callback = CoefficientCallback(digits, log_dir=tmp_path, class_names=["above", "below"],
                                   every_n_epochs=2)
    linear_model().fit(*digits, epochs=4, verbose=0, callbacks=[callback])
    log = read(tmp_path / "explanations" / "coefficients")
    assert log.tags == ["coefficients/maps", "coefficients/mean magnitude",
                        "coefficients/spread over examples"]
    assert log.steps("coefficients/maps") == [1, 3]
    assert log.numbers("coefficients/spread over examples") == [0, 0]  # linear
    assert log.blobs("coefficients/maps")[0][2].startswith(b"\x89PNG")


def test_the_spread_shows_that_a_network_is_not_linear(digits, make_model, read, tmp_path):
    make_model().fit(*digits, verbose=0, callbacks=[CoefficientCallback(digits, log_dir=tmp_path)])
    log = read(tmp_path / "explanations" / "coefficients")
    assert log.numbers("coefficients/spread over examples")[0] > 0.05


def test_flat_inputs_need_a_shape(linear_model):
    model = keras.Sequential([keras.Input((12,)), layers.Dense(3)])
    model.compile("adam", "mse")
    data = np.zeros((4, 12)), np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"Give `shape=\(height, width\)` for flat ones"):
        model.fit(*data, verbose=0, callbacks=[CoefficientCallback(data)])


def test_errors_are_logged(digits, make_model, read, tmp_path):
    callback = ErrorAnalysisCallback(*digits, log_dir=tmp_path, class_names=["above", "below"],
                                     builder=kx.grad_cam, max_images=3)
    make_model().fit(*digits, epochs=2, verbose=0, callbacks=[callback])
    log = read(tmp_path / "explanations" / "errors")
    assert set(log.tags) >= {"errors/confusion", "errors/report", "errors/accuracy",
                             "errors/mistakes", "errors/worst pair"}
    assert log.steps("errors/confusion") == [0, 1]
    report = log.blobs("errors/report")[0][0].decode()
    assert "above" in report and all(line.startswith("    ") for line in report.splitlines())
    for accuracy, mistakes in zip(log.numbers("errors/accuracy"), log.numbers("errors/mistakes"),
                                  strict=True):
        assert accuracy == pytest.approx(1 - mistakes / 48)


def test_mistakes_are_drawn_with_reasons(digits, linear_model, read, tmp_path):
    x, y = digits
    callback = ErrorAnalysisCallback(x, 1 - y, log_dir=tmp_path, every_n_epochs=8, max_images=2)
    linear_model().fit(x, y, epochs=8, verbose=0, callbacks=[callback])  # right, so all is wrong
    log = read(tmp_path / "explanations" / "errors")
    assert log.numbers("errors/mistakes")[-1] > 0
    assert log.blobs("errors/gallery")[-1][2].startswith(b"\x89PNG")


def test_training_is_the_same_with_and_without(digits, make_model, tmp_path):
    def train(callbacks):
        model = make_model()
        history = model.fit(*digits, epochs=2, verbose=0, callbacks=callbacks)
        return history.history["loss"], model.get_weights()

    expected = train([])
    found = train([ErrorAnalysisCallback(*digits, log_dir=tmp_path, max_images=1),
                   CoefficientCallback(digits, log_dir=tmp_path)])
    np.testing.assert_array_equal(found[0], expected[0])
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_failure_warns_once_and_training_goes_on(digits, linear_model, tmp_path, monkeypatch):
    callback = CoefficientCallback(digits, log_dir=tmp_path)
    monkeypatch.setattr(callback, "report", lambda step: 1 / 0)
    with pytest.warns(UserWarning, match="CoefficientCallback could not log.*ZeroDivision") as seen:
        history = linear_model().fit(*digits, epochs=2, verbose=0, callbacks=[callback])
    assert len(history.history["loss"]) == 2
    assert len([w for w in seen if "could not log" in str(w.message)]) == 1


def test_wrong_configurations_are_errors_before_the_first_epoch(digits, linear_model):
    x, y = digits
    with pytest.raises(ValueError, match="Expected labels of one output with the data"):
        ErrorAnalysisCallback(x)
    with pytest.raises(ValueError, match="integer of at least 1, received 0"):
        CoefficientCallback(x, every_n_epochs=0)
    with pytest.raises(ValueError, match="`max_images` to be an integer of at least 1, received 0"):
        ErrorAnalysisCallback(x, y, max_images=0)
    with pytest.raises(ValueError, match="`y` from 0 to 1.*received classes from 0 to 5"):
        linear_model().fit(x, y, verbose=0, callbacks=[ErrorAnalysisCallback(x, y * 5)])
    with pytest.raises(ValueError, match="Expected 2 `class_names`"):
        linear_model().fit(x, y, verbose=0, callbacks=[
            ErrorAnalysisCallback(x, y, class_names=["a"])])
