"""SP-LIME: by hand, against the best of all choices, and for every kind of input."""

import itertools

import numpy as np
import pytest
from test_explanation import explanation

from keras_explain.lime import (
    LimeImageExplainer,
    LimeTabularExplainer,
    LimeTextExplainer,
    Vocabulary,
    submodular_pick,
)
from keras_explain.lime._subjects import ImageSubject, TabularSubject
from keras_explain.lime.vocabulary import describe_superpixels


def rows(table):
    """One explanation per row of weights, with the same columns."""
    names = tuple("abcdefgh"[: len(table[0])])
    subject = TabularSubject(names, names, (0,) * len(names))
    return [explanation(subject, [weights]) for weights in table]


def test_the_papers_figure_by_hand():
    """Figure 5 of the paper: f2 is most important; rows 2 and 5 are picked, row 3 adds nothing."""
    table = [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    pick = submodular_pick(rows(table), 2)
    assert pick.indices == (1, 4)
    assert pick.importance == pytest.approx(
        {"b": 2, "a": 2**0.5, "c": 2**0.5, "d": 1, "e": 1}
    )
    total = 4 + 2 * 2**0.5
    assert pick.covered == pytest.approx(((2 + 2 * 2**0.5) / total, 1.0))
    assert list(pick.importance)[0] == "b" and pick.table[1].tolist() == [1, 1, 1, 0, 0]
    assert "2 explanations cover 100%" in str(pick)


def test_signs_do_not_matter_and_absolute_weights_are_summed():
    pick = submodular_pick(rows([[-4.0, 0], [5.0, 1.0]]), 1)
    assert pick.importance == pytest.approx({"a": 3.0, "b": 1.0})


def test_greedy_reaches_63_percent_of_the_best():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        table = rng.exponential(size=(9, 8)) * (rng.random((9, 8)) < 0.3)
        table[0, 0] = 1
        pick = submodular_pick(rows(table), 3)
        importance = np.sqrt(table.sum(axis=0))
        best = max(
            importance[(table[list(chosen)] > 0).any(axis=0)].sum()
            for chosen in itertools.combinations(range(9), 3)
        )
        assert pick.covered[-1] * importance.sum() >= 0.63 * best
        assert list(pick.covered) == sorted(pick.covered)
        assert len(set(pick.indices)) == 3


def test_only_what_a_reader_sees_counts():
    pick = submodular_pick(rows([[3.0, 2.0, 1.0]]), 1, num_features=2)
    assert pick.table.tolist() == [[3, 2, 0]]


def test_budget_above_the_number_of_explanations():
    assert submodular_pick(rows([[1.0, 0], [1.0, 0]]), 10).indices == (0, 1)


def test_texts_with_an_explainer_and_data():
    score = lambda texts: np.array([  # noqa: E731
        0.5 + 0.3 * ("good" in t.split()) - 0.2 * ("bad" in t.split()) for t in texts
    ])
    data = ["a good day", "good good", "bad luck", "nothing here", "the good day"]
    pick = submodular_pick(LimeTextExplainer(score), 2, data=data)
    assert set(pick.indices[:2]) & {0, 1, 4} and 2 in pick.indices
    assert list(pick.importance)[:2] == ["good", "bad"]
    assert pick.covered[-1] > 0.99


def test_tables_share_columns_whatever_the_bin():
    data = np.random.default_rng(0).normal(size=(100, 3))
    explainer = LimeTabularExplainer(lambda x: 1 / (1 + np.exp(-3 * x[:, 1])), data)
    pick = submodular_pick(explainer, 2, data=data[:6])
    assert set(pick.importance) == {"0", "1", "2"} and next(iter(pick.importance)) == "1"


def striped(colors):
    """An image of vertical stripes, one superpixel each."""
    image = np.repeat(np.array(colors, np.float32)[None], 6, axis=0).repeat(4, axis=1)
    return ImageSubject(image / 255, np.arange(len(colors)).repeat(4)[None].repeat(6, axis=0))


RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (30, 40, 220)


def test_images_share_a_vocabulary():
    """Red matters in three images, wherever it is; blue in one."""
    images = [
        explanation(striped([RED, GREEN]), [[0.5, 0.0]]),
        explanation(striped([GREEN, RED]), [[0.01, 0.5]]),
        explanation(striped([GREEN, RED]), [[0.0, 0.5]]),
        explanation(striped([BLUE, GREEN]), [[0.4, 0.0]]),
    ]
    pick = submodular_pick(images, 2, vocabulary=Vocabulary(3))
    assert pick.indices == (1, 3) and pick.covered[-1] == pytest.approx(1.0)
    assert sorted(pick.importance.values()) == pytest.approx([0.1, 0.4**0.5, 1.5**0.5])
    again = submodular_pick(images, 2, vocabulary=Vocabulary(3))
    assert again.importance == pick.importance


def test_own_description_of_superpixels():
    width = lambda image, segments: np.bincount(segments[0])[:, None]  # noqa: E731
    subjects = [striped([RED, BLUE]), striped([GREEN])]
    words = Vocabulary(5, describe=width).assign(subjects)
    assert [len(row) for row in words] == [2, 1] and len(set(np.concatenate(words))) == 1
    with pytest.raises(ValueError, match=r"finite features \(2, D\).*received shape \(3,\)"):
        Vocabulary(2, describe=lambda image, segments: np.zeros(3)).assign(subjects[:1])


def test_descriptions_tell_texture_from_plain():
    y, x = np.mgrid[:20, :40]
    image = np.where(x < 20, 128, 128 + 100 * (x % 4 < 2) - 50).astype(np.uint8)
    table = describe_superpixels(image, (x >= 20).astype(int))
    assert table.shape == (2, 10) and np.abs(table[1] - table[0]).max() > 0.5


def test_images_with_an_explainer():
    left = lambda x: x[:, :, :4].mean(axis=(1, 2, 3))  # noqa: E731
    explainer = LimeImageExplainer(left, segments=4, baseline=0)
    data = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype("float32")
    pick = submodular_pick(explainer, 2, data=data, vocabulary=Vocabulary(4))
    assert len(pick.explanations) == 2 and 0 < pick.covered[0] <= pick.covered[1] <= 1


def test_errors():
    text = LimeTextExplainer(lambda t: np.array([len(x) / 99 for x in t])).explain("a b")
    with pytest.raises(TypeError, match="an empty list"):
        submodular_pick([])
    with pytest.raises(TypeError, match="one kind"):
        submodular_pick([text, *rows([[1.0]])])
    with pytest.raises(TypeError, match="Expected `data` together"):
        submodular_pick(LimeTextExplainer(len))
    with pytest.raises(TypeError, match="only with an explainer"):
        submodular_pick([text], data=["a"])
    with pytest.raises(ValueError, match="budget.*received 0"):
        submodular_pick([text], 0)
    with pytest.raises(ValueError, match="only for images, received it for a text"):
        submodular_pick([text], vocabulary=Vocabulary())
    with pytest.raises(ValueError, match="only zeros"):
        submodular_pick(rows([[0.0, 0.0]]))
    with pytest.raises(TypeError, match="describe"):
        Vocabulary(describe="color")
