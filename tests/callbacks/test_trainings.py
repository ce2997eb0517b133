"""Callbacks and what a training does beside them: it builds, restores, resumes, and has others."""

import copy
import functools
import pickle

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.callbacks import (
    CoefficientCallback,
    ErrorAnalysisCallback,
    ExplanationCallback,
    GradCAMCallback,
    LimeCallback,
    OcclusionCallback,
    SaliencyCallback,
)
from keras_explain.lime import LimeImageExplainer

pytestmark = pytest.mark.filterwarnings("ignore::keras_explain.BlankHeatmapWarning")
STEP = 16


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(4, 3, activation="relu")
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.dense(self.pool(self.conv(x)))


def sequential():
    return keras.Sequential([
        layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax")])


def unbuilt(make=sequential):
    keras.utils.set_random_seed(3)
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def fit(model, data, callbacks, **options):
    options = {"epochs": 2, "batch_size": STEP, "verbose": 0, **options}
    return model.fit(*data, callbacks=callbacks, **options)


# Models without shapes -----------------------------------------------------------------------

LIME = functools.partial(LimeImageExplainer, segments="grid")
NAMED = {
    "grad_cam": GradCAMCallback,
    "occlusion": functools.partial(OcclusionCallback, patch_size=4),
    "saliency": SaliencyCallback,
    "lime": functools.partial(LimeCallback, explainer=LIME, samples=30, every_n_epochs=1),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_model_that_gets_its_shapes_from_the_data(name, tmp_path, digits, read):
    x, y = digits
    expected = fit(unbuilt(), digits, [])
    model = unbuilt()
    history = fit(model, digits, [NAMED[name](x[:2], y[:2], log_dir=tmp_path)])
    assert history.history == expected.history
    log = read(tmp_path / "explanations" / name)
    assert log.steps(f"{name}/steps") == [-1, 0, 1]
    labels = [s["label"] for s in log.texts(f"{name}/steps")]
    assert labels[0] in ("start", "batch 1") and labels[1:] == ["epoch 1", "epoch 2"]
    last = log.texts(f"{name}/steps")[-1]
    np.testing.assert_allclose(last["score"], model.predict(x[:2], verbose=0).max(1), rtol=1e-3)


def test_what_is_logged_first_is_the_model_after_the_first_batch(tmp_path, digits, read):
    x, y = digits
    model, scores = unbuilt(Subclassed), []
    begun = model.built
    ask = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs=None: scores.append(model.built and model.predict(
            x[:2], verbose=0)),
        on_train_batch_end=lambda batch, logs=None: scores.append(model.predict_on_batch(x[:2])))
    fit(model, digits, [ask, GradCAMCallback(x[:2], y[:2], log_dir=tmp_path)])
    first = read(tmp_path / "explanations" / "grad_cam").texts("grad_cam/steps")[0]
    wanted = scores[0] if first["label"] == "start" else scores[1]
    assert not begun
    np.testing.assert_allclose(first["score"], np.asarray(wanted).max(axis=1), rtol=1e-3)


@pytest.mark.parametrize("every", [1, 2])
def test_batches_are_counted_from_the_first(every, tmp_path, digits, read):
    callback = GradCAMCallback(digits[0][:2], log_dir=tmp_path, every_n_batches=every)
    fit(unbuilt(), digits, [callback])
    steps = read(tmp_path / "explanations" / "grad_cam").texts("grad_cam/steps")
    found = [s["label"] for s in steps if s["label"] not in ("start", "batch 1")]
    assert found == [f"batch {n}" for n in range(2, 7, every)]
    assert len(steps) == len(found) + 1 + (steps[0]["label"] == "start" and every == 1)


def test_reports_of_a_model_that_gets_its_shapes_from_the_data(tmp_path, digits, read):
    expected = fit(unbuilt(), digits, [])
    history = fit(unbuilt(), digits, [
        CoefficientCallback(digits, log_dir=tmp_path, max_images=4),
        ErrorAnalysisCallback(*digits, log_dir=tmp_path, max_images=1)])
    assert history.history == expected.history
    for name, tag in (("coefficients", "maps"), ("errors", "confusion")):
        log = read(tmp_path / "explanations" / name)
        assert log.steps(f"{name}/{tag}") == [0, 1]


@pytest.mark.parametrize("make, words", [
    (lambda x, y: GradCAMCallback(x, layer="lost"), "lost"),
    (lambda x, y: GradCAMCallback(x[:, :5]), "shape"),
    (lambda x, y: CoefficientCallback(x[:, :5]), "shape"),
    (lambda x, y: ErrorAnalysisCallback(x, y * 5), "from 0 to 1"),
])
def test_a_wrong_configuration_fails_at_the_latest_in_the_first_batch(
        make, words, tmp_path, digits, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batches = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: batches.append(batch))
    with pytest.raises(ValueError, match=words):
        fit(unbuilt(), digits, [count, make(*digits)])
    assert len(batches) <= 1


def test_what_needs_no_shapes_fails_before_the_first_batch(tmp_path, digits):
    batches = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: batches.append(batch))
    with pytest.raises(ValueError, match="labels"):
        fit(unbuilt(), digits, [count, GradCAMCallback(digits[0], pick="worst",
                                                       log_dir=tmp_path)])
    assert not batches


# Trainings that go on ------------------------------------------------------------------------

@pytest.mark.parametrize("options, unit", [({}, "epoch"), ({"every_n_batches": 3}, "batch")])
@pytest.mark.parametrize("is_last", [False, True])
def test_a_backup_that_is_restored(is_last, options, unit, tmp_path, make_model, digits, read):
    """Broken off in the third epoch, and started again as a script does it."""
    x, y = digits

    def train(more=()):
        model = make_model()
        ours = GradCAMCallback(x[:3], y[:3], log_dir=tmp_path / "logs", **options)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        fit(model, digits, [*([backup, ours] if is_last else [ours, backup]), *more], epochs=4)
        return model

    def stop(epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([keras.callbacks.LambdaCallback(on_epoch_begin=stop)])
    train()
    log = read(tmp_path / "logs" / "explanations" / "grad_cam")
    labels = [s["label"] for s in log.texts("grad_cam/steps")]
    numbers = range(1, 5) if unit == "epoch" else range(3, 13, 3)
    assert labels == ["start", *(f"{unit} {n}" for n in numbers)]
    assert len(set(log.steps("grad_cam/steps"))) == 5


@pytest.mark.parametrize("is_last", [False, True])
def test_the_start_is_explained_with_the_weights_that_training_begins_with(
        is_last, tmp_path, make_model, digits, read):
    x, y = digits
    other, model = make_model(seed=5), make_model()
    restore = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs=None: model.set_weights(other.get_weights()))
    ours = GradCAMCallback(x[:3], y[:3], log_dir=tmp_path)
    fit(model, digits, [ours, restore] if is_last else [restore, ours], epochs=1)
    start = read(tmp_path / "explanations" / "grad_cam").texts("grad_cam/steps")[0]
    wanted = other.predict(x[:3], verbose=0).max(axis=1)
    np.testing.assert_allclose(start["score"], wanted, rtol=1e-3)


def test_a_start_that_nothing_has_changed_is_explained_once(tmp_path, make_model, digits,
                                                             monkeypatch):
    asked, explain = [], GradCAMCallback._explain
    monkeypatch.setattr(GradCAMCallback, "_explain",
                        lambda self: asked.append(1) or explain(self))
    fit(make_model(), digits, [GradCAMCallback(digits[0][:2], log_dir=tmp_path)], epochs=2)
    assert len(asked) == 3


def test_a_resumed_training_logs_nothing_twice(tmp_path, make_model, digits, read):
    model = make_model()
    for first, last in ((0, 2), (2, 4)):
        fit(model, digits, [GradCAMCallback(digits[0][:2], log_dir=tmp_path)], epochs=last,
            initial_epoch=first)
    log = read(tmp_path / "explanations" / "grad_cam")
    assert log.steps("grad_cam/steps") == [-1, 0, 1, 2, 3]
    assert len(log.blobs("grad_cam/pictures")) == 2  # each training's maps have their examples


# Two callbacks -------------------------------------------------------------------------------

@pytest.mark.parametrize("one, other", [
    (lambda x, y, d: GradCAMCallback(x, log_dir=d), lambda x, y, d: GradCAMCallback(x, log_dir=d)),
    (lambda x, y, d: GradCAMCallback(x, log_dir=d, name="a b"),
     lambda x, y, d: ExplanationCallback(kx.saliency, x, log_dir=f"{d}/../{d.name}", name="a b")),
    (lambda x, y, d: CoefficientCallback(x, log_dir=d, name="same"),
     lambda x, y, d: ErrorAnalysisCallback(x, y, log_dir=d, name="same")),
    (lambda x, y, d: SaliencyCallback(x, log_dir=d, name="same"),
     lambda x, y, d: CoefficientCallback(x, log_dir=d, name="same")),
])
@pytest.mark.parametrize("is_built", [True, False])
def test_two_callbacks_that_write_one_series(is_built, one, other, tmp_path, make_model, digits):
    x, y = digits
    epochs = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs=None: epochs.append(epoch))
    made = [make(x[:4], y[:4], tmp_path) for make in (one, other)]
    with pytest.raises(ValueError, match="one callback for each series.*another `name=`"):
        fit(make_model() if is_built else unbuilt(), digits, [count, *made])
    assert not epochs


def test_two_callbacks_that_write_two_series_or_one_after_the_other(tmp_path, make_model, digits):
    x = digits[0][:2]
    first = SaliencyCallback(x, log_dir=tmp_path / "a")
    model = make_model()
    fit(model, digits, [first, SaliencyCallback(x, log_dir=tmp_path / "b"),
                        SaliencyCallback(x, log_dir=tmp_path / "a", name="other")], epochs=1)
    broken = SaliencyCallback(x, log_dir=tmp_path / "a")
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(model, digits, [broken, stop], epochs=1)
    fit(model, digits, [SaliencyCallback(x, log_dir=tmp_path / "a")], epochs=1)
    assert first is not None and broken is not None  # both are alive, and nothing was refused


# Copies --------------------------------------------------------------------------------------

COPIED = {
    "grad_cam": GradCAMCallback,
    "worst": functools.partial(SaliencyCallback, pick="worst", max_images=2),
    "lime": NAMED["lime"],
    "coefficients": lambda x, y, **o: CoefficientCallback(x, **o),
    "errors": functools.partial(ErrorAnalysisCallback, max_images=1),
}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
@pytest.mark.parametrize("name", COPIED)
def test_a_copy_made_after_a_training_works_for_another(name, duplicate, tmp_path, make_model,
                                                         digits, read):
    x, y = digits
    digits = x[:8], y[:8]
    callback = COPIED[name](x[:3], y[:3], log_dir=tmp_path)
    fit(make_model(), digits, [callback], epochs=1)
    other = duplicate(callback)
    other.log_dir = str(tmp_path / "second")
    model = make_model(seed=9)
    fit(model, digits, [other], epochs=1)
    log = read(tmp_path / "second" / "explanations" / callback.name)
    assert log.tags
    if f"{callback.name}/steps" in log.tags and name != "worst":
        last = log.texts(f"{callback.name}/steps")[-1]
        np.testing.assert_allclose(last["score"], model.predict(x[:3], verbose=0).max(1),
                                   rtol=1e-3)


def test_a_deep_copy_explains_the_model_that_the_first_one_explains(tmp_path, make_model, digits):
    model = make_model()
    callback = ExplanationCallback(kx.saliency(model), digits[0][:2], log_dir=tmp_path)
    fit(model, digits, [callback], epochs=1)
    fit(model, digits, [copy.deepcopy(callback)], epochs=1)
