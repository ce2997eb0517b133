"""`ExplanationCallback`: what it logs, that it changes nothing, and that nothing stops it."""

import copy
import functools
import shutil
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.callbacks import ExplanationCallback, GradCAMCallback, OcclusionCallback
from keras_explain.explainers._explained_model import BlankHeatmapWarning
from keras_explain.lime import LimeTextExplainer

from .conftest import decode

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.filterwarnings("ignore::keras_explain.BlankHeatmapWarning")


def fit(model, data, callbacks, **options):
    options = {"epochs": 3, "batch_size": 16, "verbose": 0, **options}
    return model.fit(*data, callbacks=callbacks, **options)


def test_every_epoch_is_logged(tmp_path, make_model, digits, read):
    x, y = digits
    model = make_model()
    callback = GradCAMCallback(x[:5], y[:5], log_dir=tmp_path, class_names=["up", "down"])
    fit(model, digits, [callback], epochs=4)
    log = read(tmp_path / "explanations" / "grad_cam")
    assert log.steps("grad_cam/steps") == log.steps("grad_cam/maps") == [-1, 0, 1, 2, 3]
    assert [s["label"] for s in log.texts("grad_cam/steps")][:2] == ["start", "epoch 1"]
    (about,) = log.texts("grad_cam/about")
    assert about["truth"] == ["up", "down", "up", "down", "up"]
    assert (about["kind"], about["signed"], about["unit"]) == ("image", False, "epoch")

    explained = kx.grad_cam(model)  # laid by the callback: unpadded convolutions see the middle
    maps = explained.predict(x[:5], verbose=0)
    header, (atlas,) = log.texts("grad_cam/steps")[-1], log.blobs("grad_cam/maps")[-1]
    levels = decode(atlas).reshape(5, *maps["heatmap"].shape[1:]) / 255
    wanted = maps["heatmap"]
    drawn = levels * np.array(header["limits"])[:, None, None]
    np.testing.assert_allclose(drawn, wanted, atol=wanted.max() / 255 + 1e-6)
    np.testing.assert_allclose(header["score"], maps["predictions"].max(1), rtol=1e-3)
    for i in range(5):
        assert header["predicted"][i] == ["up", "down"][maps["predictions"][i].argmax()]

    pictures = log.blobs("grad_cam/pictures")[0]
    assert len(pictures) == 5 and decode(pictures[0]).shape[:2] == (12, 10)


def test_images_tab_has_pictures_that_decode(tmp_path, make_model, digits, read):
    x, y = digits
    fit(make_model(), digits, [GradCAMCallback(x[:2], y[:2], log_dir=tmp_path)])
    log = read(tmp_path / "explanations" / "grad_cam")
    assert log.steps("grad_cam/1/overlay") == [0, 1, 2]
    assert log.steps("grad_cam/1/filmstrip") == [0, 1, 2]
    assert log.steps("grad_cam/1/input") == [0]
    for tag in ("overlay", "filmstrip", "input"):
        for width, height, data in log.blobs(f"grad_cam/0/{tag}"):
            assert decode(data).shape == (int(height), int(width), 3)


@pytest.mark.parametrize("make_callback", [
    GradCAMCallback,
    functools.partial(OcclusionCallback, patch_size=4),
    functools.partial(ExplanationCallback, kx.saliency, pick="worst"),
    functools.partial(GradCAMCallback, every_n_batches=2),
])
def test_training_is_the_same_bit_for_bit(tmp_path, make_model, digits, make_callback):
    x, y = digits

    def train(callbacks):
        model = make_model()
        history = fit(model, digits, callbacks).history
        drawn = keras.ops.convert_to_numpy(keras.random.uniform((3,)))
        return model.get_weights(), history, drawn, np.random.random()

    weights, history, drawn, numpy_drawn = train([])
    others = train([make_callback(x[:3], y[:3], log_dir=tmp_path)])
    for one, other in zip(weights, others[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert others[1] == history
    np.testing.assert_array_equal(others[2], drawn)
    assert others[3] == numpy_drawn


def test_failing_disk_warns_once_and_training_goes_on(tmp_path, make_model, digits, monkeypatch):
    from keras_explain.tensorboard import files

    def full(*args):
        raise OSError(28, "No space left on device")

    callback = GradCAMCallback(digits[0][:2], log_dir=tmp_path)
    start = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: monkeypatch.setattr(files.LocalFile, "append", full)
    )
    with pytest.warns(UserWarning, match="could not log.*No space left") as caught:
        history = fit(make_model(), digits, [start, callback], epochs=4)
    assert len(history.history["loss"]) == 4
    assert sum("could not log" in str(w.message) for w in caught) == 1


def test_a_disk_that_is_full_for_a_while_leaves_whole_series(
        tmp_path, make_model, digits, monkeypatch, read):
    """Full when the examples are to be written, and in the first epoch; then there is room."""
    from keras_explain.tensorboard import files

    append, full = files.LocalFile.append, [True]

    def sometimes(self, record):
        if full[0] and self._end > 0:  # the file itself could be made
            raise OSError(28, "No space left on device")
        append(self, record)

    monkeypatch.setattr(files.LocalFile, "append", sometimes)
    room = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: full.__setitem__(0, epoch < 1))
    with pytest.warns(UserWarning, match="could not log.*No space left"):
        fit(make_model(), digits, [room, GradCAMCallback(digits[0][:2], log_dir=tmp_path)],
            epochs=3)
    log = read(tmp_path / "explanations" / "grad_cam")
    (about,) = log.texts("grad_cam/about")
    assert len(about["ids"]) == 2 and len(log.blobs("grad_cam/pictures")[0]) == 2
    assert log.steps("grad_cam/steps") == [1, 2] == log.steps("grad_cam/0/overlay")
    assert len(log.steps("grad_cam/0/input")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no open file")
def test_a_log_deleted_while_training_goes_on_with_a_warning(
        tmp_path, make_model, digits, read):
    def delete(epoch, logs):
        if epoch == 1:
            shutil.rmtree(tmp_path / "explanations")

    callbacks = [GradCAMCallback(digits[0][:2], log_dir=tmp_path),
                 keras.callbacks.LambdaCallback(on_epoch_end=delete)]
    with pytest.warns(UserWarning, match="was deleted while it was written") as caught:
        fit(make_model(), digits, callbacks, epochs=4)
    assert sum("was deleted" in str(w.message) for w in caught) == 1
    log = read(tmp_path / "explanations" / "grad_cam")
    assert log.steps("grad_cam/steps") == [2, 3]
    assert len(log.texts("grad_cam/about")[0]["ids"]) == 2
    assert len(log.blobs("grad_cam/pictures")[0]) == 2 and log.steps("grad_cam/1/input") == [0]


def test_failing_drawing_warns_and_training_goes_on(tmp_path, make_model, digits, monkeypatch):
    from keras_explain import images

    def fail(*args, **kwargs):
        raise RuntimeError("no colors")

    monkeypatch.setattr(images, "overlay", fail)
    callback = GradCAMCallback(digits[0][:2], log_dir=tmp_path)
    with pytest.warns(UserWarning, match="no colors"):
        fit(make_model(), digits, [callback])


def test_maps_that_are_nan_do_not_stop_the_log(tmp_path, make_model, digits, read):
    model = make_model()
    broken = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 1 and
        model.set_weights([w * np.nan for w in model.get_weights()]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(model, digits, [broken, GradCAMCallback(digits[0][:2], log_dir=tmp_path)])
    steps = read(tmp_path / "explanations" / "grad_cam").texts("grad_cam/steps")
    assert steps[-1]["limits"] == [None, None] and steps[-1]["predicted"] == [None, None]
    assert steps[1]["limits"] != [None, None]


@pytest.mark.parametrize("options, error, words", [
    ({"every_n_epochs": 0}, ValueError, "every_n_epochs"),
    ({"max_images": 0}, ValueError, "max_images"),
    ({"max_images": 1000}, ValueError, "at most 128"),
    ({"every_n_batches": -1}, ValueError, "every_n_batches"),
    ({"pick": "best"}, ValueError, "first.*worst"),
])
def test_wrong_options_fail_at_once(digits, options, error, words):
    with pytest.raises(error, match=words):
        GradCAMCallback(digits[0], **options)


@pytest.mark.parametrize("callback, error, words", [
    (lambda x, y, d: GradCAMCallback(x, y, layer="lost", log_dir=d), ValueError, "lost"),
    (lambda x, y, d: ExplanationCallback(kx.grad_cam, x, pick="worst", log_dir=d), ValueError,
     "labels"),
    (lambda x, y, d: ExplanationCallback(lambda model: 3, x, log_dir=d), TypeError, "received int"),
    (lambda x, y, d: GradCAMCallback(x, unpreprocess=lambda x: x[..., 0, 0], log_dir=d), ValueError,
     "shape"),
    (lambda x, y, d: GradCAMCallback(x[:, :5], y, log_dir=d), ValueError, "shape"),
])
def test_wrong_configuration_fails_before_the_first_epoch(tmp_path, make_model, digits, callback,
                                                          error, words):
    epochs = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(error, match=words):
        fit(make_model(), digits, [count, callback(*digits, tmp_path)])
    assert not epochs


def test_explained_model_of_another_model_is_refused(tmp_path, make_model, digits):
    callback = ExplanationCallback(kx.grad_cam(make_model()), digits[0], log_dir=tmp_path)
    with pytest.raises(ValueError, match="Pass the builder function"):
        fit(make_model(), digits, [callback])


def test_explained_model_of_this_model(tmp_path, make_model, digits, read):
    model = make_model()
    callback = ExplanationCallback(kx.grad_cam(model), digits[0], log_dir=tmp_path)
    fit(model, digits, [callback], epochs=1)
    assert read(tmp_path / "explanations" / "grad_cam").steps("grad_cam/steps") == [-1, 0]


def test_not_a_builder():
    with pytest.raises(TypeError, match="received str"):
        ExplanationCallback("grad_cam", np.zeros((1, 4, 4, 1)))


def test_nothing_is_printed(tmp_path, make_model, digits, capfd):
    fit(make_model(), digits, [GradCAMCallback(*digits, log_dir=tmp_path)])
    assert capfd.readouterr().out == ""


def test_one_trace_over_many_epochs(tmp_path, make_model, digits, monkeypatch):
    from keras_explain.explainers.grad_cam import GradCAM

    calls, compute = [], GradCAM.compute
    monkeypatch.setattr(GradCAM, "compute",
                        lambda self, *args: calls.append(1) or compute(self, *args))
    after_start = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: after_start.append(len(calls)))
    fit(make_model(), digits, [GradCAMCallback(*digits, log_dir=tmp_path), watch], epochs=20,
        steps_per_epoch=1)
    if BACKEND != "torch":  # it has no traces
        assert len(calls) == after_start[0]


def test_blank_maps_warn_once(tmp_path, make_model, digits):
    model = make_model()
    dead = model.get_layer("last")
    dead.trainable = False
    dead.set_weights([np.zeros_like(w) for w in dead.get_weights()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, digits, [GradCAMCallback(*digits, log_dir=tmp_path)])
    assert sum(issubclass(w.category, BlankHeatmapWarning) for w in caught) == 1


def test_every_n_epochs_and_initial_epoch(tmp_path, make_model, digits, read):
    model = make_model()
    options = {"log_dir": tmp_path, "every_n_epochs": 2}
    fit(model, digits, [GradCAMCallback(*digits, **options)], epochs=4)
    fit(model, digits, [GradCAMCallback(*digits, **options)], epochs=8, initial_epoch=4)
    log = read(tmp_path / "explanations" / "grad_cam")
    assert sorted(set(log.steps("grad_cam/steps"))) == [-1, 1, 3, 5, 7]
    assert [s["label"] for s in log.texts("grad_cam/steps")][-3] == "epoch 4"


def test_one_callback_for_two_trainings(tmp_path, make_model, digits, read):
    callback = GradCAMCallback(*digits, log_dir=tmp_path)
    fit(make_model(), digits, [callback], epochs=2)
    fit(make_model(seed=4), digits, [callback], epochs=1)
    assert len(read(tmp_path / "explanations" / "grad_cam").texts("grad_cam/about")) == 2


def test_every_n_batches(tmp_path, make_model, digits, read):
    model, x = make_model(), digits[0]
    callback = GradCAMCallback(x[:2], log_dir=tmp_path, every_n_batches=2)
    scores = []
    ask = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: scores.append(
        model.predict_on_batch(x[:2]).max(axis=1)))
    fit(model, digits, [callback, ask], batch_size=12)  # 4 batches an epoch
    log = read(tmp_path / "explanations" / "grad_cam")
    assert log.steps("grad_cam/steps") == [0, 2, 4, 6, 8, 10, 12]
    steps = {s["label"]: s for s in log.texts("grad_cam/steps")}
    for epoch, wanted in enumerate(scores, start=1):  # the weights of that very batch
        np.testing.assert_allclose(steps[f"batch {4 * epoch}"]["score"], wanted, rtol=1e-3)
    assert log.texts("grad_cam/about")[0]["unit"] == "batch"


def test_the_worst_of_each_epoch(tmp_path, make_model, digits, read):
    x, y = digits
    wrong = y.copy()
    wrong[[7, 30]] = 1 - wrong[[7, 30]]
    model = make_model()
    model.optimizer.learning_rate = 0.02
    callback = GradCAMCallback(x, wrong, log_dir=tmp_path, pick="worst", max_images=2)
    fit(model, digits, [callback], epochs=12)
    log = read(tmp_path / "explanations" / "grad_cam")
    last = log.texts("grad_cam/steps")[-1]
    assert sorted(last["truth"]) == sorted(f"{label}" for label in wrong[[7, 30]])
    assert all(p != t for p, t in zip(last["predicted"], last["truth"], strict=True))
    assert len(log.blobs("grad_cam/maps")[-1]) == 3  # the maps, and two pictures


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(tmp_path, make_model, digits, read, policy):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        fit(make_model(), digits, [GradCAMCallback(*digits, log_dir=tmp_path)], epochs=1)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    log = read(tmp_path / "explanations" / "grad_cam")
    assert None not in log.texts("grad_cam/steps")[-1]["limits"]


def test_cost_and_metrics_are_scalars(tmp_path, make_model, digits, read):
    def size(explained, inputs, columns):
        return np.abs(columns[""].maps).mean(axis=(1, 2))

    metrics = {"size": size, **kx.metrics.logged("deletion")}
    callback = GradCAMCallback(*digits, log_dir=tmp_path, metrics=metrics)
    fit(make_model(), digits, [callback])
    log = read(tmp_path / "explanations" / "grad_cam")
    assert all(n > 0 for n in log.numbers("grad_cam/seconds"))
    assert all(0 < n < 1 for n in log.numbers("grad_cam/share of the epoch"))
    assert len(log.numbers("grad_cam/size")) == 3
    assert all(0 <= n <= 1 for n in log.numbers("grad_cam/deletion"))


def test_tokens_are_words(tmp_path, read):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((5,), dtype="int32"),
        keras.layers.Embedding(9, 4),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(2, activation="softmax"),
    ])
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.arange(20).reshape(4, 5) % 9
    callback = ExplanationCallback(
        kx.saliency, x, log_dir=tmp_path,
        unpreprocess=lambda x: [[f"<b>{token}" for token in row] for row in x],
    )
    fit(model, (x, np.array([0, 1, 0, 1])), [callback])
    log = read(tmp_path / "explanations" / "saliency")
    assert log.texts("saliency/about")[0]["words"][0] == [f"<b>{i}" for i in range(5)]
    assert np.shape(log.texts("saliency/steps")[-1]["weights"]) == (4, 5)


def test_lime_superpixels_follow_the_training(tmp_path, make_model, digits, read):
    from keras_explain.callbacks import LimeCallback
    from keras_explain.lime import LimeImageExplainer

    explainer = functools.partial(LimeImageExplainer, segments="grid")
    callback = LimeCallback(digits[0][:2], digits[1][:2], explainer=explainer, samples=40,
                            every_n_epochs=1, log_dir=tmp_path)
    fit(make_model(), digits, [callback], epochs=2)
    log = read(tmp_path / "explanations" / "lime")
    assert log.texts("lime/about")[0]["kind"] == "superpixels"
    assert len(log.blobs("lime/pictures")[0]) == 4  # two pictures, two maps of superpixels
    first, *_, last = log.texts("lime/steps")
    assert first["weights"] != last["weights"]


def test_lime_takes_a_fifth_of_the_time(tmp_path, make_model, digits, read, monkeypatch):
    """A clock of our own: an explanation takes 3 s, each of 40 epochs 1 s."""
    from keras_explain.callbacks import LimeCallback, _pace, explanation
    from keras_explain.lime import LimeImageExplainer

    clock = [0.0]
    timer = type("Clock", (), {"perf_counter": staticmethod(lambda: clock[0])})
    monkeypatch.setattr(_pace, "time", timer)
    monkeypatch.setattr(explanation, "time", timer)

    class Slow(LimeImageExplainer):
        def explain(self, x, **options):
            clock[0] += 3.0
            return super().explain(x, **options)

    class Tick(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock[0] += 1.0

    callback = LimeCallback(digits[0][:1], explainer=functools.partial(Slow, segments="grid"),
                            samples=20, log_dir=tmp_path)
    fit(make_model(), digits, [Tick(), callback], epochs=40, steps_per_epoch=1)
    log = read(tmp_path / "explanations" / "lime")
    assert sorted(set(log.steps("lime/steps"))) == [-1, 14, 29, 39]
    said = [blobs[0].decode() for blobs in log.blobs("lime/epochs")]
    assert len(said) == 3 and said[-1].startswith("37 epochs were not explained")
    assert "takes 3.0 s" in said[-1] and "20% of the 40.0 s" in said[-1]


def test_lime_is_asked_with_every_option_of_explain(tmp_path, make_model, digits):
    from keras_explain.callbacks import LimeCallback
    from keras_explain.lime import LimeImageExplainer

    asked = []

    class Spy(LimeImageExplainer):
        def explain(self, x, **options):
            asked.append(options)
            return super().explain(x, **options)

    callback = LimeCallback(
        digits[0][:1], explainer=functools.partial(Spy, segments="grid"), samples=40, seed=3,
        target=1, num_features=4, log_dir=tmp_path)
    fit(make_model(), digits, [callback], epochs=1)
    wanted = {"samples": 40, "seed": 3, "target": 1, "num_features": 4, "verbose": 0}
    assert asked and all(options == wanted for options in asked)


def test_many_epochs_stay_small(tmp_path, make_model, digits, read):
    callback = GradCAMCallback(digits[0][:4], log_dir=tmp_path)
    fit(make_model(), digits, [callback], epochs=12, steps_per_epoch=1)
    log = read(tmp_path / "explanations" / "grad_cam")
    own = sum(map(len, sum(log.blobs("grad_cam/steps") + log.blobs("grad_cam/maps"), [])))
    assert own < 12 * 4 * 500  # a map at its own size
    size = sum(path.stat().st_size for path in tmp_path.rglob("*tfevents*"))
    assert size < 12 * 4 * 30_000  # with the Images tab's overlays and filmstrips


@pytest.mark.slow
def test_memory_is_flat_over_fifty_epochs(tmp_path, make_model, digits):
    import tracemalloc

    held = {}
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: held.update({epoch: tracemalloc.get_traced_memory()[0]}))
    tracemalloc.start()
    fit(make_model(), digits, [GradCAMCallback(*digits, log_dir=tmp_path), watch], epochs=56,
        steps_per_epoch=1)
    tracemalloc.stop()
    # a filmstrip keeps up to 25 frames: full from epoch 25 on
    assert held[55] - held[30] < 400_000


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings in a model")
def test_lime_of_texts_by_its_class(tmp_path, read):
    """What builds the explainer, not one that is built: it has `explain` as well."""
    texts = np.array(["a good film", "bad film", "a film", "good"])
    x = keras.Input((), dtype="string")
    words = layers.TextVectorization(vocabulary=["a", "good", "bad"], output_mode="multi_hot")(x)
    model = keras.Model(x, layers.Dense(2, activation="softmax")(words))
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = ExplanationCallback(
        LimeTextExplainer, ops.convert_to_tensor(list(texts[:2])), log_dir=tmp_path)
    model.fit(ops.convert_to_tensor(list(texts)), np.array([1, 0, 1, 1]), epochs=1, verbose=0,
              callbacks=[callback])
    steps = read(tmp_path / "explanations" / "lime").steps("lime/steps")
    assert copy.deepcopy(callback) is not callback and steps == [-1, 0]
