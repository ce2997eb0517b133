"""What a classifier gets wrong: counts by hand, every kind of output, reasons."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.linear_model import LogisticRegression

import keras_explain as kx
from keras_explain.error_analysis import analyze_errors, explain_errors

SCORES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.0, 0.95, 0.05],
                   [0.3, 0.3, 0.4], [0.55, 0.0, 0.45]])
LABELS = np.array([0, 1, 2, 2, 2, 1])


def by_hand(**options):
    return analyze_errors(lambda rows: SCORES[rows.astype(int)], np.arange(6.0), LABELS, **options)


def test_counts_by_hand():
    found = by_hand()
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 2, 1]]
    assert found.accuracy == 0.5
    assert found.predicted.tolist() == [0, 1, 1, 1, 2, 0]
    assert found.misclassified.tolist() == [3, 2, 5]  # the surest first
    first, second = found.most_confused()
    assert (first.first, first.second, first.count) == (1, 2, 2)
    assert (first.first_as_second, first.second_as_first) == (0, 2)
    assert first.rate == pytest.approx(2 / 5)
    assert (second.first, second.second, second.count) == (0, 1, 1)
    assert len(found.most_confused(1)) == 1


def test_batches_names_and_one_hot_labels():
    named = by_hand(class_names=["a", "b", "c"], batch_size=4)
    assert named.confusion.tolist() == by_hand().confusion.tolist()
    assert "b" in named.report() and "accuracy" in named.report()
    one_hot = analyze_errors(lambda r: SCORES[r.astype(int)], np.arange(6.0), np.eye(3)[LABELS])
    assert one_hot.y.tolist() == LABELS.tolist()


def test_a_class_that_never_occurs_keeps_its_place():
    found = analyze_errors(lambda x: np.eye(4)[[0, 1]], np.zeros((2, 1)), [0, 2])
    assert found.confusion.shape == (4, 4) and found.report()


def test_logits_and_single_units_become_probabilities():
    logits = np.log(SCORES[:2] + 1e-9)
    found = analyze_errors(lambda x: logits, np.zeros((2, 1)), [0, 1])
    np.testing.assert_allclose(found.probabilities, SCORES[:2], atol=1e-6)
    unit = analyze_errors(lambda x: np.array([[0.2], [0.9]]), np.zeros((2, 1)), [0, 0])
    np.testing.assert_allclose(unit.probabilities, [[0.8, 0.2], [0.1, 0.9]], atol=1e-6)
    logit = analyze_errors(lambda x: np.array([-3.0, 3.0]), np.zeros((2, 1)), [0, 1])
    assert logit.predicted.tolist() == [0, 1]
    assert logit.probabilities[1, 1] == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-6)


def test_models_of_keras_and_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    plain = LogisticRegression().fit(x, y)
    expected = np.mean(plain.predict(x) == y)
    assert analyze_errors(plain.predict_proba, x, y).accuracy == pytest.approx(expected)
    inputs = keras.Input((5,))
    model = keras.Model(inputs, {"a": layers.Dense(3, "softmax")(inputs),
                                 "b": layers.Dense(2, "softmax")(inputs)})
    found = analyze_errors(model, x, y, output="b")
    answers = keras.ops.convert_to_numpy(model(x)["b"])
    np.testing.assert_allclose(found.probabilities, answers, atol=1e-6)
    with pytest.raises(ValueError, match="Expected `output`, because the model has several"):
        analyze_errors(model, x, y)


def linear_digits():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3, 4, 1)), layers.Flatten(), layers.Dense(3, "softmax")])


def test_reasons_are_heatmaps_of_both_classes():
    model = linear_digits()
    maps = keras.ops.convert_to_numpy(model.layers[-1].kernel).T.reshape(3, 3, 4)
    images = np.random.default_rng(0).random((5, 3, 4, 1)).astype("float32")
    true, said = [0, 1, 2, 0, 1], [1, 2, 0, 2, 0]
    found = explain_errors(model, images, true, said, batch_size=2)
    np.testing.assert_allclose(found.true, maps[true], rtol=1e-6)
    np.testing.assert_allclose(found.predicted, maps[said], rtol=1e-6)
    np.testing.assert_allclose(found.difference, maps[said] - maps[true], rtol=1e-5, atol=1e-7)
    product = explain_errors(model, images, true, said, builder=kx.gradient_x_input)
    np.testing.assert_allclose(product.true, maps[true] * images[..., 0], rtol=1e-5)
    patches = functools.partial(kx.occlusion, patch_size=2)
    assert explain_errors(model, images, true, said, builder=patches).true.shape == (5, 3, 4)


def test_reasons_of_tokens_are_contributions():
    """By default: what each token adds to the logit of a class, where gates are found."""
    ids = keras.Input((5,), dtype="int32")
    rows = layers.Embedding(9, 4)(ids)
    x = np.random.default_rng(0).integers(1, 9, (3, 5)).astype("int32")
    for y, builder in ((layers.LayerNormalization()(rows), kx.local_linear),
                       (layers.GRU(4, return_sequences=True)(rows), kx.integrated_gradients)):
        model = keras.Model(ids, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))
        found = explain_errors(model, x, [0, 1, 2], [1, 2, 0], verbose=0)
        wanted = explain_errors(model, x, [0, 1, 2], [1, 2, 0], builder=builder, verbose=0)
        np.testing.assert_allclose(found.difference, wanted.difference, atol=1e-6)
        assert np.abs(found.difference).max() > 1e-3


def test_errors():
    with pytest.raises(TypeError, match="received LogisticRegression.*pass `predict_proba`"):
        analyze_errors(LogisticRegression(), SCORES, LABELS)
    with pytest.raises(ValueError, match="Expected labels with the data"):
        analyze_errors(lambda x: x, SCORES)
    with pytest.raises(ValueError, match="`y` from 0 to 2.*received classes from 0 to 3"):
        analyze_errors(lambda x: x, SCORES, [0, 1, 2, 3, 0, 0])
    with pytest.raises(ValueError, match="Expected 3 `class_names`, received 2"):
        by_hand(class_names=["a", "b"])
    with pytest.raises(ValueError, match=r"scores of shape \(N, classes\), received \(6, 2, 2\)"):
        analyze_errors(lambda x: np.zeros((6, 2, 2)), SCORES, LABELS)
    with pytest.raises(ValueError, match="Expected `y` to be 1 classes, one per image, received 2"):
        explain_errors(linear_digits(), np.zeros((1, 3, 4, 1), "float32"), [0, 1], [1, 1])
