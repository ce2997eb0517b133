"""What a model does to its input in `predict`, heard from its own methods."""

import keras
import numpy as np
import pytest
from keras import ops
from preparing_models import InBoth, InPredict, InStep, Plain, build

from keras_explain.data.predicting import predict
from keras_explain.data.preparing import answer, check_prepared, prepare, prepares


@pytest.fixture
def rng():
    return np.random.default_rng(0)



@pytest.mark.parametrize("kind", [InPredict, InStep, InBoth])
def test_hears_what_the_network_is_called_with(kind, rng):
    model = build(kind)
    x = rng.integers(0, 256, (70, 6, 5, 3)).astype("uint8")
    before = [np.array(w) for w in model.get_weights()]
    assert prepares(model)
    np.testing.assert_allclose(prepare(model, x), x / 255.0 - 0.5, atol=1e-6)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    want = model.predict(x, verbose=0)
    np.testing.assert_allclose(answer(model, x), want, atol=1e-5)
    np.testing.assert_allclose(predict(model, x, 32), want, atol=1e-5)


def test_leaves_other_models_alone(rng):
    model, x = build(Plain), rng.random((2, 6, 5, 3))
    assert not prepares(model)
    assert prepare(model, x) is x


def test_hears_texts():
    class Lengths(keras.Model):
        def predict(self, x, **options):
            return super().predict(np.array([[float(len(text))] for text in x]), **options)

    inputs = keras.Input((1,))
    model = Lengths(inputs, keras.layers.Dense(1)(inputs))
    np.testing.assert_array_equal(prepare(model, ["a", "abc"]), [[1.0], [3.0]])


def test_predict_that_does_not_call_the_network_is_an_error(rng):
    class Elsewhere(keras.Model):
        def predict(self, x, **options):
            return np.zeros(len(x))

    model = build(Elsewhere)
    with pytest.raises(ValueError, match="received one that returns without doing so"):
        prepare(model, rng.random((2, 6, 5, 3)))


def test_predict_that_fails_says_why(rng):
    class Fails(keras.Model):
        def predict(self, x, **options):
            raise RuntimeError("no such file")

    with pytest.raises(ValueError, match="no such file"):
        prepare(build(Fails), rng.random((2, 6, 5, 3)))


def test_answers_that_are_changed_afterwards_are_warned_of(rng):
    class Labels(keras.Model):
        def predict(self, x, **options):
            return super().predict(x, **options).argmax(-1)

    model, x = build(Labels), rng.random((2, 6, 5, 3)).astype("float32")
    with pytest.warns(UserWarning, match="its answers are not those of its network"):
        check_prepared(model, x, ops.convert_to_numpy(model(x)))
