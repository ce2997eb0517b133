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


def test_a_single_score_that_may_be_a_probability():
    """A number within 0 and 1 is explained as it is, and a probability only where that is said."""
    from keras_explain.lime import LimeTextExplainer

    score = lambda texts: np.array([0.1 + 0.2 * ("good" in t) for t in texts])  # noqa: E731
    number = LimeTextExplainer(Predictor(score, binary=False)).explain("good day")
    assert np.allclose(number.prediction, [0.3]) and number.classes == (0,)
    plain = LimeTextExplainer(score).explain("good day")
    assert plain.classes == (1,) and np.array_equal(plain.weights, number.weights)
    named = LimeTextExplainer(score, class_names=["price"]).explain("good day")
    assert named.class_names == ("price",) and np.array_equal(named.weights, number.weights)
    for explainer in (LimeTextExplainer(score, class_names=["no", "yes"]),
                      LimeTextExplainer(Predictor(score, binary=True))):
        top = explainer.explain("good day")
        assert top.classes == (0,) and np.allclose(top.weights, -number.weights)
        assert np.allclose(explainer.explain("good day", target=1).weights, number.weights)
    both = LimeTextExplainer(score).explain("good day", top=2)
    assert both.classes == (0, 1) and np.allclose(both.weights[1], number.weights[0])
    with pytest.raises(ValueError, match=r"binary=True\) if it is the probability of class 1"):
        LimeTextExplainer(score).explain("good day", target=0)


def test_a_number_that_is_within_0_and_1_for_some_inputs_only():
    from keras_explain.lime import LimeTextExplainer

    score = lambda texts: np.array([float(len(t)) if len(t) > 5 else 0.5 for t in texts])  # noqa: E731
    number = LimeTextExplainer(Predictor(score, binary=False)).explain("abc defg")
    assert number.prediction == [8.0]
    for size in (1, 8):
        found = LimeTextExplainer(score, batch_size=size).explain("abc defg", target=0)
        assert found.to_json() == number.to_json()
    probability = LimeTextExplainer(score, class_names=["no", "yes"])
    with pytest.raises(ValueError, match="Expected the probability of class 1.* from 0.5 to 8"):
        probability.explain("abc defg")
    with pytest.raises(ValueError, match="from 0 to 0, because the model has 1 score"):
        LimeTextExplainer(score).explain("abc defg", target=1)


def test_regressors_and_classes_of_scikit_learn():
    """A regressor's number is no probability, and a classifier's classes are no scores."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    from keras_explain.lime import LimeTabularExplainer

    rows = np.random.default_rng(0).random((300, 2))
    regressor = LinearRegression().fit(rows, 0.3 * rows[:, 0] + 0.1 * rows[:, 1])
    found = LimeTabularExplainer(regressor.predict, rows).explain([0.9, 0.5])
    assert found.classes == (0,) and np.isclose(found.prediction[0], 0.32)
    assert found.weights[0, 0] > 0.05
    asked = LimeTabularExplainer(regressor.predict, rows).explain([0.9, 0.5], target=0)
    assert asked.to_json() == found.to_json()
    classifier = LogisticRegression().fit(rows, rows[:, 0] > 0.5)
    with pytest.raises(TypeError, match="`predict` of LogisticRegression.*predict_proba"):
        LimeTabularExplainer(classifier.predict, rows)


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_names_that_do_not_fit_the_scores(names):
    """Before any call where the number of scores is known, else at the first batch."""
    from keras_explain.lime import LimeTabularExplainer

    for model in (functional(3, "softmax"), lambda rows: np.tile(rows[:, :1], (1, 3))):
        explainer = LimeTabularExplainer(model, X, class_names=names)
        with pytest.raises(ValueError, match=f"for 3 scores.*received {len(names)} names"):
            explainer.explain(X[0])
    unit = functional(activation=None)
    if len(names) > 1:
        with pytest.raises(ValueError, match=f"for 1 scores.*received {len(names)} names"):
            LimeTabularExplainer(unit, X, class_names=names).explain(X[0])
    else:
        assert LimeTabularExplainer(unit, X, class_names=names).explain(X[0]).class_names == ("a",)


@pytest.mark.parametrize("outputs, words", [
    (lambda p: (p, p), "tuple of 2 outputs.*Predictor\\(model, output=0\\)"),
    (lambda p: [p, p, p], "list of 3 outputs"),
    (lambda p: (p[:, 0], p[:, 0]), "tuple of 2 outputs"),
    (lambda p: [[0.5]] * 4 + [[0.5, 0.5]], r"rows of one length, received rows of \[1, 2\] values"),
    (lambda p: np.array(["cat"] * 5), "Expected scores, received str_ such as \\['cat'\\]"),
    (lambda p: ["cat"] * 5, "not names of classes"),
])
def test_outputs_that_are_no_scores(outputs, words):
    p = np.full((5, 3), 0.2)
    with pytest.raises((ValueError, TypeError), match=words):
        Predictor(lambda x: outputs(p))(X)


def test_outputs_of_callables_that_are_scores():
    p = np.random.default_rng(0).random((5, 3)).astype("float32")
    forms = [lambda x: p.tolist(), lambda x: list(p), lambda x: (p,), lambda x: [p],
             lambda x: [ops.convert_to_tensor(row) for row in p]]
    for form in forms:
        assert np.allclose(Predictor(form)(X), p)
    assert np.allclose(Predictor(lambda x: (p[:, 0], p), output=1)(X), p)
    two = p[:2]
    with pytest.raises(ValueError, match="tuple of 2 outputs"):  # not two rows of scores
        Predictor(lambda x: (two[:, 0], two[:, 1]))(X[:2])
