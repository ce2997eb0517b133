"""What differs between backends, and that their heatmaps do not."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from models import KINDS, alive, draw, head, image

from keras_explain import backend

BACKEND = keras.backend.backend()


def numbers(x):
    return [ops.convert_to_numpy(t) for t in x]


def compiled(fn):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(fn)
    if BACKEND == "jax":
        import jax

        return jax.jit(fn)
    return fn


class TestVjp:
    x = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")

    def square(self, xs):
        (x,) = xs
        return ops.sum(x * x, axis=1, keepdims=True) * ops.ones((1, 2)), ops.exp(x)

    @pytest.mark.parametrize("scope", ["eager", "compiled", "no_gradient"])
    def test_value_aux_and_gradient(self, scope):
        def run(x):
            y, aux, pull = backend.vjp(self.square, [x])
            return y, aux, pull(ops.convert_to_tensor([[1.0, 0.0], [0.0, 10.0]]))[0]

        run = compiled(run) if scope == "compiled" else run
        if scope == "no_gradient":
            with backend.no_gradient():
                y, aux, gradient = run(ops.convert_to_tensor(self.x))
        else:
            y, aux, gradient = run(ops.convert_to_tensor(self.x))
        y, aux, gradient = numbers([y, aux, gradient])
        np.testing.assert_allclose(y, [[5, 5], [25, 25]])
        np.testing.assert_allclose(aux, np.exp(self.x), rtol=1e-6)
        np.testing.assert_allclose(gradient, [[2, 4], [60, 80]])

    def test_pull_twice(self):
        _, _, pull = backend.vjp(self.square, [ops.convert_to_tensor(self.x)])
        dy = ops.ones((2, 2))
        first, second = pull(dy, again=True)[0], pull(2 * dy)[0]
        np.testing.assert_allclose(*numbers([2 * first, second]))

    def test_several_points(self):
        a, b = ops.convert_to_tensor(self.x), ops.convert_to_tensor(self.x[::-1].copy())
        _, _, pull = backend.vjp(lambda xs: (xs[0] * xs[1], ()), [a, b])
        da, db = numbers(pull(ops.ones((2, 2))))
        np.testing.assert_allclose(da, self.x[::-1])
        np.testing.assert_allclose(db, self.x)

    def test_what_a_layer_assigns_stays_inside(self):
        """On JAX a tracer would be left in the user's model."""
        layer = keras.layers.BatchNormalization(momentum=0.5)
        layer.build((None, 2))
        before = numbers([layer.moving_mean.value])[0]
        _, _, pull = backend.vjp(lambda xs: (layer(xs[0], training=True), ()),
                                 [ops.convert_to_tensor(self.x)], layer.variables)
        pull(ops.ones((2, 2)))
        after = numbers([layer.moving_mean.value])[0]
        if BACKEND == "jax":
            np.testing.assert_array_equal(after, before)
        layer(self.x)


def test_is_concrete():
    assert backend.is_concrete(ops.ones((2,)))
    assert not backend.is_concrete(np.ones(2))
    assert not backend.is_concrete(keras.KerasTensor((2,)))
    seen = []

    def note(x):
        seen.append(backend.is_concrete(x))
        return x

    compiled(note)(ops.ones((2,)))
    assert seen[0] is (BACKEND == "torch")


def test_require():
    x = ops.convert_to_tensor([1, 2])
    assert numbers([backend.require(ops.all(x > 0), "no", x)])[0].tolist() == [1, 2]
    with pytest.raises(Exception, match="below two"):
        backend.require(ops.all(x > 1), "below two", x)


def test_same_random_state():
    keras.utils.set_random_seed(3)
    wanted = float(np.array(ops.convert_to_numpy(keras.random.uniform((), seed=None))))
    keras.utils.set_random_seed(3)
    with backend.same_random_state():
        if BACKEND == "torch":
            import torch

            torch.rand(())
    assert float(ops.convert_to_numpy(keras.random.uniform((), seed=None))) == wanted


@pytest.mark.parametrize("name", ["sequence", "mixed_float16", "tokens"])
def test_predict_gives_what_a_call_gives(name):
    """Inside `predict` there are other scopes: stateless on JAX, inference mode on PyTorch."""
    import keras_explain as kx

    kind = KINDS[name]
    explained = kx.saliency(kind.model, target=1)
    called = explained(kind.inputs(3))
    predicted = explained.predict(kind.inputs(3), batch_size=2, verbose=0)
    for key in ("predictions", "heatmap"):
        a, b = (np.asarray(ops.convert_to_numpy(x[key]), "float32") for x in (called, predicted))
        if name == "mixed_float16":  # a compiled graph rounds at other places
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
        else:
            np.testing.assert_allclose(a, b, atol=1e-5 * max(1, np.abs(a).max()))


SCRIPT = """
import sys
import numpy as np
import keras, keras_explain as kx
model = keras.models.load_model(sys.argv[1])
x = np.load(sys.argv[2])["x"]
maps = {
    "grad_cam": kx.grad_cam(model), "saliency": kx.saliency(model, target=1, signed=True),
    "occlusion": kx.occlusion(model, patch_size=8, stride=4),
}
np.savez(sys.argv[3], **{k: m.predict(x, verbose=0)["heatmap"] for k, m in maps.items()})
"""


@pytest.mark.slow
def test_heatmaps_are_the_same_on_every_backend(tmp_path):
    backends = [b for b in ("tensorflow", "jax", "torch") if importlib.util.find_spec(b)]
    x = image()
    y = keras.layers.Conv2D(6, 3, activation="gelu", padding="same")(x)
    y = keras.layers.BatchNormalization()(keras.layers.MaxPooling2D()(y))
    y = keras.layers.Conv2D(8, 3, activation="tanh")(y)
    model = alive(keras.Model(x, head(y)), draw(x, 16))
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "inputs.npz", x=draw(x, 5))
    found = []
    for name in backends:
        subprocess.run(
            [sys.executable, "-c", SCRIPT, "model.keras", "inputs.npz", f"{name}.npz"],
            cwd=tmp_path, check=True, env={**os.environ, "KERAS_BACKEND": name, "PYTHONPATH":
                                           str(pathlib.Path(__file__).parents[1])})
        found.append(dict(np.load(tmp_path / f"{name}.npz")))
    assert len(found) > 1
    for other in found[1:]:
        for key, wanted in found[0].items():
            assert np.ptp(wanted) > 0
            assert np.abs(other[key] - wanted).max() < 1e-4 * np.ptp(wanted)
