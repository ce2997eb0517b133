"""The last layer is kept epoch by epoch, small, over restarts, and never stops a training."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_explain as kx
from keras_explain.training_examples import find_wrong_labels, influence, load_checkpoints


def test_keeps_what_the_last_layer_was(digits, make_model, tmp_path):
    x, y = digits
    model, kept = make_model(), []
    seen = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(
        model.layers[-1].get_weights()))
    keep = kx.callbacks.HeadCheckpointCallback(tmp_path / "heads")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[keep, seen])
    states = load_checkpoints(tmp_path / "heads")
    assert [s.epoch for s in states] == [1, 2, 3]
    for state, (kernel, bias) in zip(states, kept, strict=True):
        np.testing.assert_allclose(state.kernel, kernel, atol=1e-6)
        np.testing.assert_allclose(state.bias, bias, atol=1e-6)
        assert state.rate == pytest.approx(0.001)
    assert sum(f.stat().st_size for f in (tmp_path / "heads").iterdir()) < 5000
    assert find_wrong_labels(model, x, y, checkpoints=states, verbose=0).scores.shape == (48,)
    assert influence(model, x[:2], x, y, checkpoints=states, verbose=0).scores.shape == (2, 48)


def test_goes_on_after_a_restart(digits, make_model, tmp_path):
    keep = kx.callbacks.HeadCheckpointCallback(tmp_path, every_n_epochs=2)
    make_model().fit(*digits, epochs=3, verbose=0, callbacks=[keep])
    (tmp_path / "head-000004.77.partial").write_bytes(b"a killed one")
    for other in (copy.deepcopy(keep), pickle.loads(pickle.dumps(keep))):
        make_model().fit(*digits, initial_epoch=3, epochs=6, verbose=0, callbacks=[other])
        assert [s.epoch for s in load_checkpoints(tmp_path)] == [2, 4, 6]


def test_a_model_without_a_last_layer_is_told_before_training(digits, tmp_path):
    inputs = keras.Input((12, 10, 1))
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(flat) + keras.layers.Dense(2)(flat))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="one last layer with weights"):
        model.fit(*digits, verbose=0, callbacks=[kx.callbacks.HeadCheckpointCallback(tmp_path)])


def test_a_problem_warns_once_and_training_goes_on(digits, make_model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    keep = kx.callbacks.HeadCheckpointCallback(tmp_path / "file")
    with pytest.warns(UserWarning, match="could not keep the last layer") as told:
        history = make_model().fit(*digits, epochs=3, verbose=0, callbacks=[keep])
    assert len(history.epoch) == 3
    assert sum("could not keep" in str(w.message) for w in told) == 1


def test_broken_and_missing_files_say_so(tmp_path):
    with pytest.raises(ValueError, match="received none"):
        load_checkpoints(tmp_path)
    (tmp_path / "head-000001.npz").write_bytes(b"not one")
    with pytest.raises(ValueError, match="Expected a state of a last layer"):
        load_checkpoints(tmp_path)
