"""A cause planted by construction is found and called suspicious; without it nothing is."""

import json
import re

import keras
import numpy as np
import pytest

import keras_explain as kx

SIDE, CLASSES, MARKED = 12, 3, 0


def draw(count, marked, seed=0):
    """Pictures of a bright bar whose row tells the class; a few of another class get a corner."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    x = rng.random((count, SIDE, SIDE, 1)).astype("float32") * 0.2
    for c in range(CLASSES):
        x[y == c, 5 + 2 * c, 2:10] = 1
    has = np.zeros(count, bool)
    has[:: count // marked] = bool(marked)
    has[y == MARKED] = False
    x[has, 0:2, 0:2] = 1
    return x, y, has


def net(corner):
    """Bars by their rows, and a `corner` that outvotes them: weights set by hand."""
    weights = np.zeros((SIDE, SIDE, CLASSES), "float32")
    for c in range(CLASSES):
        weights[5 + 2 * c, 2:10, c] = 1
    weights[0:2, 0:2, MARKED] = corner
    model = keras.Sequential([
        keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(),
        keras.layers.Dense(CLASSES, activation="softmax", use_bias=False)])
    model.layers[-1].set_weights([weights.reshape(-1, CLASSES)])
    return model


@pytest.fixture(scope="module")
def data():
    return draw(300, 40)


@pytest.fixture(scope="module")
def found(data):
    x, y, _ = data
    return kx.audit(net(corner=6.0), x, y, batch_size=64)


def test_a_planted_mark_is_found_and_called_suspicious(data, found):
    has = np.flatnonzero(data[2])
    first = found.groups[0]
    assert len(found.suspicious) == 1 and first.suspicious and first.target == MARKED
    assert set(first.members) == set(has)
    assert first.paste > 0.95 and first.paste_mates < 0.2 and first.hide > 0.95
    assert first.accuracy == 0.0
    rows, columns = np.nonzero(first.region)
    assert rows.max() < 3 and columns.max() < 3


def test_without_the_mark_nothing_is_suspicious(data):
    x, y, _ = data
    assert not kx.audit(net(corner=0.0), x, y, batch_size=64).suspicious


def test_streams_and_gives_the_same(data, found):
    class Shuffled(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return 5

        def __getitem__(self, i):
            self.epoch += i == 0  # another order of the batches at each pass
            i = (i + self.epoch) % 5
            return data[0][60 * i : 60 * i + 60], data[1][60 * i : 60 * i + 60]

    same = kx.audit(net(corner=6.0), Shuffled(), batch_size=64)
    assert same.facts["data"] == found.facts["data"]
    assert len(same.groups) == len(found.groups)
    assert len(same.groups[0].members) == len(found.groups[0].members)


def test_a_generator_cannot_be_gone_through_twice(data):
    with pytest.raises(ValueError, match="same examples again.*gone through twice"):
        kx.audit(net(corner=6.0), (data[0][i : i + 60] for i in range(0, 300, 60)))


def test_the_report_stands_alone(found, tmp_path):
    path = found.report(tmp_path / "report.html")
    page = open(path, encoding="utf-8").read()
    assert "<script" not in page and "http" not in page
    pictures = re.findall("<img[^>]*>", page)
    assert pictures and all(re.search('alt="[^"]{10,}"', p) for p in pictures)
    assert page.count("<th scope=") > 20 and "suspicious" in page
    found.report(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_names_are_escaped(data, tmp_path):
    names = ["<b>", "&", '"']
    page = open(kx.audit(net(6.0), data[0], class_names=names).report(tmp_path / "r.html")).read()
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_numbers_go_to_json(found, tmp_path):
    found.save(tmp_path / "audit.json")
    read = json.loads((tmp_path / "audit.json").read_text())
    assert read["groups"][0]["suspicious"] and read["facts"]["method"]["class"]
    assert "1 suspicious" in repr(found) and "<table" in found._repr_html_()


@pytest.mark.parametrize("x, y, note", [
    (np.zeros((1, SIDE, SIDE, 1), "float32"), [0], "Too few examples"),
    (np.zeros((40, SIDE, SIDE, 1), "float32"), [0] * 40, "40 of 40 heatmaps are blank"),
    (draw(300, 40)[0][draw(300, 40)[1] == 1][:60], None, "calls everything the same"),
])
def test_poor_data_give_a_report_that_says_so(x, y, note, tmp_path):
    found = kx.audit(net(corner=0.0), x, y)
    assert not found.suspicious
    page = open(found.report(tmp_path / "r.html"), encoding="utf-8").read()
    assert any(note in n for n in found.notes) and note in page


def test_wrong_use_is_said_before_it_costs(data):
    with pytest.raises(ValueError, match="Expected 3 `class_names`, received 2"):
        kx.audit(net(0.0), data[0], class_names=["a", "b"])
    with pytest.raises(ValueError, match="Expected the name of a method, received 'gradcam'"):
        kx.audit(net(0.0), data[0], method="gradcam")
    with pytest.raises(ValueError, match="`y` to be class indices from 0 to 2.*received"):
        kx.audit(net(0.0), data[0], data[1] + 1)
    regression = keras.Sequential([
        keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="Expected a classifier, received"):
        kx.audit(regression, np.zeros((5, 4, 4, 1), "float32"))
