"""No heatmap of another function than the user's model: the look that each explainer takes once."""

import threading
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import KINDS, alive, draw

import keras_explain as kx
from keras_explain.data.state import RandomModelWarning


class Lies(layers.Layer):
    """Answers symbolic tensors otherwise than numbers, which no recording can see."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x) * (2.0 if isinstance(x, keras.KerasTensor) else 1.0)


def lying():
    x = keras.Input((12, 10, 3))
    y = Lies(name="lies")(layers.Conv2D(4, 3, name="conv")(x))
    return alive(keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y))), None)


IMAGES = draw((12, 10, 3), 3)


@pytest.mark.parametrize("way", ["call", "predict", "predict_on_batch"])
@pytest.mark.parametrize("builder", [kx.saliency, kx.occlusion])
def test_a_program_that_answers_otherwise_is_not_used(builder, way):
    model = lying()
    wanted = ops.convert_to_numpy(model(IMAGES))
    explained = builder(model, target=1, score="logit")
    ask = {"call": explained, "predict_on_batch": explained.predict_on_batch,
           "predict": lambda x: explained.predict(x, verbose=0)}[way]
    for _ in range(2):
        out = ask(IMAGES)
        np.testing.assert_allclose(ops.convert_to_numpy(out["predictions"]), wanted, atol=1e-5)
    if builder is kx.saliency:
        honest = keras.Model(model.inputs, model.outputs)
        kernel = np.einsum("hwio,oc,cd->hwid", *[ops.convert_to_numpy(w) for w in (
            honest.get_layer("conv").kernel, honest.get_layer("lies").inner.kernel,
            honest.layers[-1].kernel)])[..., 1]
        middle = ops.convert_to_numpy(out["heatmap"])[0, 5, 5]
        np.testing.assert_allclose(middle, np.abs(kernel.sum((0, 1))).max() / 80, rtol=1e-4)


def test_a_method_that_looks_inside_names_the_first_step_that_differs():
    with pytest.raises(ValueError, match="first at layer 'lies'.*Use `occlusion`"):
        kx.grad_cam(lying()).predict(IMAGES, verbose=0)


def test_a_model_that_is_random_is_named_so():
    class Always(layers.Dropout):
        def call(self, x, training=None):
            return super().call(x, training=True)

    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(2)(Always(0.5)(layers.Dense(32)(x))))
    with pytest.warns(RandomModelWarning, match="random at inference.*mean of several"):
        kx.saliency(model)(draw((6,), 2))


@pytest.mark.parametrize("name", ["functional", "subclassed_opaque", "inputs_dict", "tokens",
                                  "mixed_float16", "uint8_image", "variable_size"])
def test_nothing_is_said_of_models_of_any_kind(name):
    kind = KINDS[name]
    state = [ops.convert_to_numpy(v) for v in kind.model.variables]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RandomModelWarning)
        explained = kx.saliency(kind.model, **kind.options)
        steps = len(explained.explainer.question.program.steps)
        explained(kind.inputs(2))
    assert explained.explainer._compared
    assert len(explained.explainer.question.program.steps) == steps
    for v, before in zip(kind.model.variables, state, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(v), before)


def test_it_is_asked_once_and_not_again_after_training(monkeypatch):
    model = KINDS["functional"].make()
    explained, asked = kx.saliency(model), []
    run = type(model).__call__
    monkeypatch.setattr(type(model), "__call__",
                        lambda self, *a, **k: (asked.append(self is model), run(self, *a, **k))[1])
    explained(KINDS["functional"].inputs(1))
    assert any(asked)
    alive(model, KINDS["functional"].inputs(8), seed=4)
    asked.clear()
    explained(KINDS["functional"].inputs(2))
    assert not any(asked)


def test_threads_that_come_first_together_get_right_answers():
    model = lying()
    wanted = ops.convert_to_numpy(model(IMAGES))
    explained, found = kx.saliency(model), []
    threads = [threading.Thread(target=lambda: found.append(
        ops.convert_to_numpy(explained(IMAGES)["predictions"]))) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 3
    for answer in found:
        np.testing.assert_allclose(answer, wanted, atol=1e-5)


def test_an_export_is_preceded_by_the_look():
    explained = kx.saliency(lying())
    explained.check()
    assert len(explained.explainer.question.program.steps) == 1


class Rows(keras.utils.PyDataset):
    """The images, two at a time."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return IMAGES[2 * i : 2 * i + 2], np.zeros(len(IMAGES[2 * i : 2 * i + 2]))


@pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "DataLoader"])
def test_the_first_batch_of_a_data_set_is_looked_at(kind):
    if kind == "tf.data":
        data = pytest.importorskip("tensorflow").data.Dataset.from_tensor_slices(IMAGES).batch(2)
    elif kind == "PyDataset":
        data = Rows()
    else:
        torch = pytest.importorskip("torch")
        data = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.tensor(IMAGES)), batch_size=2)
    model = lying()
    explained = kx.saliency(model, target=1)
    found = explained.predict(data, verbose=0)
    np.testing.assert_allclose(found["predictions"], ops.convert_to_numpy(model(IMAGES)),
                               atol=1e-5)
    assert len(found["heatmap"]) == len(IMAGES)
    with pytest.raises(ValueError, match="first at layer 'lies'"):
        kx.grad_cam(lying()).predict(data, verbose=0)


def test_a_generator_loses_no_batch():
    explained = kx.saliency(KINDS["functional"].model)
    images = KINDS["functional"].inputs(4)
    found = explained.predict(((x,) for x in (images[:2], images[2:])), verbose=0)
    np.testing.assert_allclose(found["heatmap"], explained.predict(images, verbose=0)["heatmap"],
                               atol=1e-6)


def test_a_callback_explains_the_model_as_it_is(tmp_path, monkeypatch):
    from keras_explain.callbacks import SaliencyCallback
    from keras_explain.explainers import _explained_model

    model, looked = lying(), []
    model.compile("sgd", "mse")
    check = _explained_model.check_answers
    monkeypatch.setattr(_explained_model, "check_answers", lambda explainer, arrays: (
        looked.append((explainer, check(explainer, arrays))), looked[-1][1])[1])
    model.fit(IMAGES, np.zeros((len(IMAGES), 3)), verbose=0, epochs=2, callbacks=[
        SaliencyCallback(IMAGES, log_dir=tmp_path, target=1)])
    assert [changed for _, changed in looked].count(True) == 1
    assert len(looked[0][0].question.program.steps) == 1


class Sets(layers.Layer):
    """Embeds and sets the mask of its output itself."""

    def __init__(self, **options):
        super().__init__(**options)
        self.embed = layers.Embedding(9, 4, mask_zero=True)

    def build(self, shape):
        self.embed.build(shape)

    def call(self, x):
        found = self.embed(x)
        y = found + 1.0
        backend_mask = getattr(found, "_keras_mask", None)
        if backend_mask is not None:
            y._keras_mask = backend_mask
        return y


def masked():
    x = keras.Input((6,), dtype="int32")
    y = layers.GlobalAveragePooling1D()(layers.Dense(4)(Sets()(x)))
    return alive(keras.Model(x, layers.Dense(3)(y)), None)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras exports no SavedModel there")
@pytest.mark.parametrize("make", [masked, lying])
def test_an_export_answers_as_the_model(make, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = make()
    x = IMAGES if make is lying else np.array([[3, 5, 5, 1, 0, 0], [7, 2, 0, 0, 0, 0]], "int32")
    explained = kx.saliency(model, target=1)
    kx.export(explained, tmp_path / "1")
    assert explained.explainer._compared
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    wanted = ops.convert_to_numpy(model(x))
    (answer,) = served["serving_default"](tf.constant(x)).values()
    np.testing.assert_allclose(answer.numpy(), wanted, atol=1e-5)
    found = served["explain"](tf.constant(x))
    np.testing.assert_allclose(found["predictions"].numpy(), wanted, atol=1e-5)
    np.testing.assert_allclose(found["heatmap"].numpy(), explained.predict(x, verbose=0)[
        "heatmap"], atol=1e-5)
