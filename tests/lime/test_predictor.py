"""One function from a batch to scores, whatever the model is."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_explain.lime.predictor import Predictor

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def functional(units=1, activation="sigmoid"):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(units, activation=activation)(inputs), name="net")


class Subclassed(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.dense = layers.Dense(1, activation=activation)

    def call(self, x):
        return self.dense(x)


def with_activation_layer():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Activation("sigmoid")(layers.Dense(1)(inputs)))


def nested():
    return keras.Sequential([keras.Input((4,)), functional()])


def built_subclassed():
    model = Subclassed("sigmoid")
    model(X)
    return model


@pytest.mark.parametrize("make", [functional, with_activation_layer, nested, built_subclassed])
def test_a_sigmoid_unit_is_two_classes(make):
    model = make()
    p = model.predict(X, verbose=0)
    for predictor in (Predictor(model), Predictor(model.predict)):
        assert np.allclose(predictor(X), np.hstack([1 - p, p]), atol=1e-6)
    assert Predictor(model, binary=False)(X).shape == (5, 1)


def test_other_single_units_stay_one_column():
    model = functional(activation=None)
    predictor = Predictor(model)
    assert predictor.num_classes == 1
    assert np.allclose(predictor(X), model.predict(X, verbose=0), atol=1e-6)
    assert Predictor(lambda x: x[:, 0] * 10)(X).shape == (5, 1)


def test_padding_does_not_show():
    predictor = Predictor(functional(3, "softmax"))
    assert np.array_equal(predictor(X, pad_to=8), predictor(X, pad_to=8)[:5])
    assert np.allclose(predictor(X, pad_to=8), predictor(X), atol=1e-6)


def test_several_outputs():
    inputs = keras.Input((4,))
    first, second = layers.Dense(2, name="first")(inputs), layers.Dense(3, name="second")(inputs)
    as_list = keras.Model(inputs, [first, second])
    as_dict = keras.Model(inputs, {"a": first, "b": second})
    expected = as_list.predict(X, verbose=0)[1]
    for predictor in (
        Predictor(as_list, output=1),
        Predictor(as_list, output=-1),
        Predictor(as_list, output="second"),
        Predictor(as_dict, output="b"),
        Predictor(as_dict, output=1),
        Predictor(lambda x: {"a": 0, "b": as_list(x)[1]}, output="b"),
    ):
        assert np.allclose(predictor(X), expected, atol=1e-6)
    for output in (None, "third", 2):
        with pytest.raises(ValueError, match="choose one of the outputs"):
            Predictor(as_list, output=output)


def test_several_inputs_through_preprocess():
    left, right = keras.Input((2,), name="left"), keras.Input((2,), name="right")
    model = keras.Model({"left": left, "right": right}, layers.Dense(2)(left + right))
    predictor = Predictor(model, preprocess=lambda x: {"left": x[:, :2], "right": x[:, 2:]})
    expected = model.predict({"left": X[:, :2], "right": X[:, 2:]}, verbose=0)
    assert np.allclose(predictor(X, pad_to=8), expected, atol=1e-6)


def test_callables_may_return_anything():
    for returned in (X.tolist(), X.astype("float64"), ops.convert_to_tensor(X), X[:, :1]):
        predictor = Predictor(lambda x, returned=returned: returned, binary=False)
        assert np.allclose(predictor(X), np.asarray(returned), atol=1e-6)


def test_inference_mode_and_an_executor():
    inputs = keras.Input((4,))
    x = layers.Dropout(0.9)(layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    before = [w.copy() for w in model.get_weights()]
    expected = model.predict(X, verbose=0)
    assert np.allclose(Predictor(model)(X), expected, atol=1e-6)
    doubled = Predictor(model, executor=lambda x: 2 * model(x, training=False))
    assert np.allclose(doubled(X), 2 * expected, atol=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_not_a_number_names_the_output():
    model = functional(2, None)
    model.set_weights([np.full((4, 2), np.nan), np.zeros(2)])
    with pytest.raises(ValueError, match="NaN or infinity from 'net' for 5 of 5 perturbed inputs"):
        Predictor(model)(X)
    two = keras.Model(model.input, {"risk": model.output, "other": model.output})
    with pytest.raises(ValueError, match="NaN or infinity from 'risk' of"):
        Predictor(two, output="risk")(X)


@pytest.mark.parametrize(
    "error, model, words",
    [
        (TypeError, "model.keras", "received str. Wrap it"),
        (ValueError, Subclassed("sigmoid"), "Expected a built model"),
    ],
)
def test_constructor_errors(error, model, words):
    with pytest.raises(error, match=words):
        Predictor(model)


def test_more_errors():
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(TypeError, match="Pass its predict_proba method"):
        Predictor(LogisticRegression())
    with pytest.raises(TypeError, match="executor"):
        Predictor(lambda x: x, executor=lambda x: x)
    with pytest.raises(ValueError, match=r"scores of shape \(5,\) or \(5, classes\)"):
        Predictor(lambda x: np.ones((5, 2, 2)))(X)
    with pytest.raises(ValueError, match=r"received \(4, 2\)"):
        Predictor(lambda x: np.ones((4, 2)))(X)
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match=r"Expected scores of shape .* received \(None, 8, 8, 2\)"):
        Predictor(keras.Model(inputs, layers.Conv2D(2, 1, data_format="channels_last")(inputs)))


def test_a_column_that_comes_and_goes():
    from keras_explain.lime import LimeTextExplainer

    score = lambda texts: np.array([float(len(t)) if len(t) > 5 else 0.5 for t in texts])  # noqa: E731
    explainer = LimeTextExplainer(score, batch_size=1)
    with pytest.raises(ValueError, match="Predictor\\(model, binary=False\\)"):
        explainer.explain("abc defg", classes=[0])
