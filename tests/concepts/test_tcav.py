"""A concept that the class uses by construction is significant; one that it does not use is not."""

import keras
import models
import numpy as np
import pytest
from test_craft import MODEL, SIDE, net

from keras_explain.concepts import tcav
from keras_explain.concepts.tcav import _correct

COLORS = {"red": 0, "green": 1, "blue": 2}


def draw(count, rng, color=None):
    """Squares of any colors; those of a concept have one more, of its color."""
    x = (0.3 * rng.random((count, SIDE, SIDE, 3))).astype("float32")
    for image in x:
        for c in range(3):
            top, left = rng.integers(0, SIDE - 6, 2)
            image[top : top + 6, left : left + 6, c] += rng.random()
        if color is not None:
            top, left = rng.integers(0, SIDE - 6, 2)
            image[top : top + 6, left : left + 6, COLORS[color]] += 1
    return x


def ask(model, seed, **options):
    rng = np.random.default_rng(seed)
    examples = {name: draw(60, rng, name) for name in COLORS}
    return tcav(model, draw(10, rng), examples, draw(160, rng), target=0, verbose=0, **options)


def test_what_the_class_uses_is_significant_and_what_it_does_not_use_is_not():
    """Class 0 asks for red and class 1 for blue; nothing asks for green."""
    found = ask(net(MODEL), 0)
    assert found.names == ("red", "green", "blue")
    assert found.means[0] == 1 and found.significant.tolist() == [True, False, False]
    assert found.accuracies.min() > 0.8  # the layer knows all three
    assert str(found).startswith("red: 1.00")


def test_what_speaks_against_the_class_scores_zero():
    found = ask(net([[-40, 0], [0, 0], [40, 0]]), 0)
    assert found.means[[0, 2]].tolist() == [0, 1]
    assert found.significant.tolist() == [True, False, True]


def test_a_class_that_uses_nothing_has_no_concepts():
    found = ask(net([[0, 1], [0, 1], [0, 1]]), 0)
    assert found.means.tolist() == [0.5] * 3 and found.p_values.tolist() == [1] * 3


def test_scores_are_signs_of_changes_along_the_direction():
    """By moving the features of a network whose head is not linear, in NumPy."""
    rng = np.random.default_rng(0)
    inputs = keras.Input((4,))
    seen = keras.layers.Dense(3, activation="relu", name="seen")(inputs)
    hidden = keras.layers.Dense(5, activation="tanh")(seen)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
    x, concept, random = (rng.normal(size=(n, 4)).astype("float32") for n in (30, 40, 80))
    found = tcav(model, x, {"a": concept + [2, 0, 0, 0]}, random, target=1, layer="seen",
                 repeats=2, verbose=0)
    weights = [w.astype("float64") for w in model.get_weights()]

    def read(x):
        return np.maximum(x @ weights[0] + weights[1], 0)

    def logit(h):
        return (np.tanh(h @ weights[2] + weights[3]) @ weights[4] + weights[5])[:, 1]

    from keras_explain.concepts._directions import find_direction

    shuffle = np.random.default_rng(0)
    others = np.array_split(read(random)[shuffle.permutation(80)], 4)
    parts = np.array_split(read(concept + [2, 0, 0, 0])[shuffle.permutation(40)], 2)
    for i in range(2):
        step = find_direction(parts[i], others[i]).vector
        step *= 1e-5 / np.linalg.norm(step)
        rises = logit(read(x) + step) > logit(read(x) - step)
        assert found.scores[0, i] == pytest.approx(rises.mean(), abs=0.04)


def test_correction_for_several():
    """Holm 1979: 0.01 * 3, 0.02 * 2, then never less than before."""
    np.testing.assert_allclose(_correct([0.02, 0.01, 0.03]), [0.04, 0.03, 0.04])
    np.testing.assert_allclose(_correct([0.9, 0.6]), [1, 1])


@pytest.mark.parametrize("name", ["functional", "nested_in_functional", "mixed_float16",
                                  "transformer_with_class_token", "tokens", "table"])
def test_any_layer_that_can_be_cut(name):
    kind = models.KINDS[name]
    layer = None if name in ("functional", "nested_in_functional", "mixed_float16") else next(
        n.name for n in kind.model.layers[1:] if "float" in n.output.dtype)
    found = tcav(kind.model, kind.inputs(5), {"a": kind.inputs(8, 3)}, kind.inputs(16, 4),
                 target=1, layer=layer, repeats=4, verbose=0)
    assert found.scores.shape == (1, 4) and np.isfinite(found.p_values).all()


@pytest.mark.parametrize("change, words", [
    ({"examples": {}}, "Name each concept"), ({"examples": np.zeros((40, 2))}, "Name each concept"),
    ({"random": np.zeros((3, 2))}, "at least 40 examples in `random`"),
    ({"examples": {"a": np.zeros((3, 2))}}, "at least 20 examples of the concept 'a'"),
    ({"layer": "unknown"}, "Expected `layer`")])
def test_what_cannot_be_asked(change, words):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="seen"),
                              keras.layers.Dense(2)])
    options = {"examples": {"a": np.ones((40, 2))}, "random": np.zeros((80, 2)), "layer": "seen",
               **change}
    with pytest.raises(ValueError, match=words):
        tcav(model, np.ones((3, 2)), verbose=0, target=1, **options)
