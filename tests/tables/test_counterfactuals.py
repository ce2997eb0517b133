"""Counterfactual rows: the distance to a linear boundary, and what may not change."""

import numpy as np
import pytest

from keras_explain.lime import Predictor, Table
from keras_explain.tables import counterfactuals

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(400, 4)) * [1.0, 10.0, 0.1, 1.0]
NAMES = ["a", "b", "c", "idle"]
WEIGHTS = np.array([1.0, -0.2, 5.0, 0.0])
TABLE = Table(DATA, NAMES)
SCALES = DATA.std(axis=0)
ROW = np.array([-1.0, 5.0, -0.1, 0.3])  # a score of -2.5


def over(scores):
    return scores[:, 0]


def linear(rows):
    return rows @ WEIGHTS


def distance(moving):
    """From the row to the plane where the score is 0, in standard deviations."""
    return -linear(ROW) / np.linalg.norm((WEIGHTS * SCALES)[moving])


def test_the_nearest_point_of_a_linear_boundary():
    model = Predictor(linear, binary=False)
    (found,) = counterfactuals(model, TABLE, ROW, target=over, count=1)
    np.testing.assert_allclose(found.distance, distance([0, 1, 2]), rtol=1e-5)
    step = WEIGHTS * SCALES**2
    nearest = ROW - linear(ROW) * step / (step @ WEIGHTS)
    np.testing.assert_allclose(list(found.row.values()), nearest, atol=1e-4)
    assert set(found.changes) == {"a", "b", "c"} and 0 < found.scores[0] < 1e-6
    assert str(found).startswith("a: -1 -> ") and found.row["idle"] == 0.3


@pytest.mark.parametrize("options, moving", [
    ({"frozen": ["c"]}, [0, 1]),
    ({"decreasing": ["a"]}, [1, 2]),  # only a larger one would help
    ({"increasing": ["a"], "frozen": ["b"]}, [0, 2]),
    ({"frozen": ["a", "b"]}, [2]),
])
def test_what_may_not_change(options, moving):
    model = Predictor(linear, binary=False)
    (found,) = counterfactuals(model, TABLE, ROW, target=over, count=1, **options)
    np.testing.assert_allclose(found.distance, distance(moving), rtol=1e-4)
    assert set(found.changes) == {NAMES[i] for i in moving}


def test_several_differ_in_kind():
    model = Predictor(linear, binary=False)
    found = counterfactuals(model, TABLE, ROW, target=over, count=3)
    assert len({frozenset(one.changes) for one in found}) == 3
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    assert all(linear(np.array(list(one.row.values()))) > 0 for one in found)


def test_classes_and_a_curved_boundary():
    """Out of a disk: the nearest point lies at its edge, straight outward."""
    def predict(rows):
        inside = 1 / (1 + np.exp((rows**2).sum(axis=1) - 2.0))
        return np.stack([1 - inside, inside], axis=1)

    data = RNG.normal(size=(500, 2))
    data /= data.std(axis=0)
    for target in (None, 0):
        (found,) = counterfactuals(predict, data, [0.6, 0.8], target=target, count=1)
        np.testing.assert_allclose(found.distance, np.sqrt(2) - 1, rtol=1e-3)
    with pytest.raises(ValueError, match="not yet the wished one"):
        counterfactuals(predict, data, [0.6, 0.8], target=1)


def test_groups_categories_and_whole_numbers():
    """One-hot columns stay one-hot; a step needs one column alone, whose value is whole."""
    data = {"color": np.array(["red", "green", "blue"] * 40, object), "rooms": np.arange(120) % 7,
            "size": RNG.normal(size=120)}

    def predict(rows):
        return 1.0 * (rows["rooms"] >= 5) + 2.0 * (rows["color"] == "blue") - 0.5

    table = Table(data)
    x = {"color": "red", "rooms": 2, "size": 0.2}
    model = Predictor(predict, binary=False)
    found = counterfactuals(model, table, x, target=over, count=2)
    assert [one.changes for one in found] == [{"color": ("red", "blue")}, {"rooms": (2, 5)}]
    np.testing.assert_allclose(
        [one.distance for one in found], [1.0, 3 / np.std(data["rooms"])], rtol=1e-6)
    (found,) = counterfactuals(model, table, x, target=over, frozen=["color"], count=2)
    assert found.changes == {"rooms": (2, 5)} and found.row["color"] == "red"

    hot = np.column_stack([np.eye(3)[np.arange(90) % 3], RNG.normal(size=90)])
    table = Table(hot, ["r", "g", "b", "x"], groups={"hue": ["r", "g", "b"]})
    score = Predictor(lambda rows: rows[:, 2] - 0.5, binary=False)
    (found,) = counterfactuals(score, table, [1, 0, 0, 0.0], target=over)
    assert found.changes == {"hue": ("r", "b")} and list(found.row.values())[:3] == [0, 0, 1]


@pytest.mark.parametrize("words, options", [
    ("names of columns, received 'hue'", {"frozen": ["hue"]}),
    ("a callable `target`", {"target": 1}),
    ("rows in `data` that lead", {"frozen": ["a", "b", "c"]}),
    ("rows in `data` that lead", {"target": lambda s: s[:, 0] - 1e6}),
])
def test_errors(words, options):
    with pytest.raises(ValueError, match=words):
        counterfactuals(Predictor(linear, binary=False), TABLE, ROW, **{"target": over, **options})
