"""KernelSHAP against Shapley values by their definition."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers

from keras_explain.lime import LimeImageExplainer, LimeTabularExplainer, LimeTextExplainer, Table
from keras_explain.lime.predictor import Predictor


def brute_force(value, size):
    """Shapley's formula: the mean marginal contribution over all orders.

    `value` gives the values of a list of subsets.
    """
    subsets = [s for k in range(size + 1) for s in itertools.combinations(range(size), k)]
    values = dict(zip(subsets, value(subsets), strict=True))
    shapley = np.zeros(size)
    for subset, v in values.items():
        for i in set(range(size)) - set(subset):
            weight = math.factorial(len(subset)) * math.factorial(size - len(subset) - 1)
            gain = values[tuple(sorted((*subset, i)))] - v
            shapley[i] += weight / math.factorial(size) * gain
    return shapley


def network(shape, seed=0):
    inputs = keras.Input(shape)
    hidden = layers.Dense(12, activation="tanh")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    rng = np.random.default_rng(seed)
    for w in model.trainable_weights:
        w.assign(rng.normal(size=w.shape) * 1.5 / w.shape[0] ** 0.5)
    return model


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_images(size):
    model, segments = network((6, 7, 2)), np.arange(42).reshape(6, 7) % size
    image = np.random.default_rng(1).normal(size=(6, 7, 2)).astype("float32")

    def value(subsets):
        keep = np.stack([np.isin(segments, subset)[..., None] for subset in subsets])
        return model.predict(np.where(keep, image, 0), verbose=0)[:, 1].astype(float)

    explainer = LimeImageExplainer(model, segments=segments, baseline=0.0, kernel="shapley")
    explanation = explainer.explain(image, target=[1], samples=128)
    assert np.allclose(explanation.weights[0], brute_force(value, size), atol=1e-6)
    assert np.isclose(explanation.intercept[0], value([()]), atol=1e-6)
    assert np.isclose(explanation.local_prediction[0], explanation.prediction[0], atol=1e-6)
    assert explanation.samples == 2**size and explanation.stability[0] == 1


def test_texts():
    weights = {"good": 1.0, "not": -0.3, "bad": -1.2, "day": 0.1}

    def value(words):
        total = sum(weights.get(word, 0) for word in words)
        return 1 / (1 + math.exp(-total * (-1 if "not" in words else 1)))

    words = ["not", "a", "good", "day"]
    score = lambda texts: np.array([value(text.split()) for text in texts])  # noqa: E731
    explanation = LimeTextExplainer(score, kernel="shapley").explain("not a good day", target=[1])
    expected = brute_force(
        lambda subsets: [value([words[i] for i in subset]) for subset in subsets], 4
    )
    assert np.allclose(explanation.weights[0], expected, atol=1e-6)


def test_tables_average_over_examples():
    model, rng = network((5,)), np.random.default_rng(2)
    data, row = rng.normal(size=(20, 5)).astype("float32"), rng.normal(size=5).astype("float32")

    def value(subsets):
        mixed = np.stack([data] * len(subsets))
        for table, subset in zip(mixed, subsets, strict=True):
            table[:, list(subset)] = row[list(subset)]
        scores = model.predict(mixed.reshape(-1, 5), batch_size=640, verbose=0)[:, 2]
        return scores.reshape(len(subsets), -1).mean(axis=1, dtype=float)

    explanation = LimeTabularExplainer(model, data, kernel="shapley").explain(row, target=[2])
    assert np.allclose(explanation.weights[0], brute_force(value, 5), atol=1e-6)
    assert explanation.features[0] == f"0 = {row[0]:.4g}"


def test_tables_with_groups():
    rng = np.random.default_rng(0)
    hot = np.eye(3)[rng.integers(0, 3, 15)]
    data = np.concatenate([rng.normal(size=(15, 2)), hot], axis=1)
    score = lambda rows: np.tanh(rows @ [1.0, -2, 0.3, 0.6, -0.9]) * (1 + rows[:, 4])  # noqa: E731
    row = np.array([0.5, 1.0, 0, 0, 1])
    parts = [[0], [1], [2, 3, 4]]

    def value_of(subset):
        mixed, columns = data.copy(), sum((parts[i] for i in subset), [])
        mixed[:, columns] = row[columns]
        return score(mixed).mean()

    def value(subsets):
        return [value_of(subset) for subset in subsets]

    table = Table(data, groups={"color": [2, 3, 4]})
    explainer = LimeTabularExplainer(Predictor(score, binary=False), table, kernel="shapley")
    explanation = explainer.explain(row)
    assert np.allclose(explanation.weights[0], brute_force(value, 3), atol=1e-6)
    assert explanation.features[2] == "color = 4"


def test_rows_that_are_the_same_are_scored_once():
    """Six columns of two values: 64 different rows at most, of 64 masks times 80 examples."""
    rng, seen = np.random.default_rng(0), []
    data = rng.integers(0, 2, (80, 6)).astype("float32")

    def score(rows):
        seen.append(len(rows))
        return np.tanh(rows @ np.arange(6.0)) * (1 + rows[:, 0] * rows[:, 3])

    def value(subsets):
        mixed = np.stack([data] * len(subsets))
        for table, subset in zip(mixed, subsets, strict=True):
            table[:, list(subset)] = row[list(subset)]
        return score(mixed.reshape(-1, 6)).reshape(len(subsets), -1).mean(axis=1)

    row = np.array([1, 0, 0.5, 1, 0, 1], "float32")
    explainer = LimeTabularExplainer(Predictor(score, binary=False), data, kernel="shapley")
    explanation = explainer.explain(row)
    assert sum(seen) <= 3 * 2**5  # one column has three values
    assert np.allclose(explanation.weights[0], brute_force(value, 6), atol=1e-6)


def test_rows_of_texts_and_of_fractions_in_a_column_of_whole_numbers():
    """A value that the column would round is not taken for the rounded one."""
    data = np.array([["a", 1, True], ["b", 2, False], ["a", 2, True], ["b", 1, True]], object)
    score = lambda rows: np.array(  # noqa: E731
        [(r[0] == "a") + 2.0 * r[1] * (1 + (r[0] == "b")) for r in rows])

    def value(subsets):
        mixed = [[[row[i] if i in subset else other[i] for i in range(3)] for other in data]
                 for subset in subsets]
        return [float(np.mean(score(rows))) for rows in mixed]

    row = ["b", 1.5, True]
    explainer = LimeTabularExplainer(Predictor(score, binary=False), data, kernel="shapley")
    assert np.allclose(explainer.explain(row).weights[0], brute_force(value, 3), atol=1e-6)


def test_a_summarized_background_is_that_of_clusters():
    """Three clouds of 60, 30 and 10 rows: each stands for its share, and the mean score stays."""
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0, 0], [10, -10, 5], [-10, 10, 10]])
    which = np.repeat([0, 1, 2], [60, 30, 10])
    data = centers[which] + 0.01 * rng.normal(size=(100, 3))
    score = lambda rows: np.tanh(rows[:, 0] / 9) + rows[:, 1] * rows[:, 2] / 50  # noqa: E731
    model, row = Predictor(score, binary=False), np.array([3.0, 2.0, 1.0])
    full = LimeTabularExplainer(model, data, kernel="shapley").explain(row)
    few = LimeTabularExplainer(model, data, kernel="shapley", background=3).explain(row)
    assert np.allclose(few.weights, full.weights, atol=0.01)
    assert np.allclose(few.intercept, full.intercept, atol=0.01)
    same = LimeTabularExplainer(model, np.repeat(data[:4], 5, 0), kernel="shapley", background=9)
    exact = LimeTabularExplainer(model, data[:4], kernel="shapley").explain(row)
    assert np.allclose(same.explain(row).weights, exact.weights, atol=1e-6)


def test_a_summarized_background_with_groups_and_texts():
    rng = np.random.default_rng(0)
    hot = np.eye(3)[rng.integers(0, 3, 200)]
    numbers = np.concatenate([rng.normal(size=(200, 2)), hot], axis=1)
    seen = []

    def score(rows):
        seen.append(rows[:, 2:])
        return np.tanh(rows.sum(axis=1))

    table = Table(numbers, groups={"color": [2, 3, 4]})
    explainer = LimeTabularExplainer(
        Predictor(score, binary=False), table, kernel="shapley", background=20)
    explainer.explain(numbers[0])
    assert (np.concatenate(seen).sum(axis=1) == 1).all()  # never two colors at once


@pytest.mark.parametrize("options, message", [
    ({"background": 20}, "`background` to be None without kernel='shapley'.*received 20"),
    ({"background": 0, "kernel": "shapley"}, "`background` to be .*received 0"),
])
def test_a_background_that_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LimeTabularExplainer(lambda rows: rows[:, 0], np.random.rand(30, 2), **options)


def test_many_features_are_sampled():
    """Twelve features from 600 of 4,096 subsets: close, and summing up exactly."""
    model, segments = network((6, 6, 1)), np.arange(36).reshape(6, 6) // 3
    image = np.random.default_rng(1).normal(size=(6, 6, 1)).astype("float32")
    explainer = LimeImageExplainer(model, segments=segments, baseline=0.0, kernel="shapley")
    exact = explainer.explain(image, target=[0], samples=5000)
    assert exact.samples == 4096
    runs = [explainer.explain(image, target=[0], samples=600, seed=s) for s in range(3)]
    for run in runs:
        assert np.corrcoef(run.weights[0], exact.weights[0])[0, 1] > 0.97
        assert np.isclose(run.local_prediction[0], run.prediction[0], atol=1e-6)
        assert 0.95 < run.stability[0] < 1
    assert runs[0].to_json() != runs[1].to_json()


def test_a_number_of_features_is_refused():
    explainer = LimeTextExplainer(lambda texts: np.ones(len(texts)), kernel="shapley")
    with pytest.raises(ValueError, match=r"gives every feature a weight, received 3.*top\(k\)"):
        explainer.explain("a b c", num_features=3)
