"""What an explanation says, draws and writes."""

import dataclasses
import html.parser
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_explain.lime import (
    Explanation,
    LimeImageExplainer,
    LimeTabularExplainer,
    LimeTextExplainer,
    LimeWarning,
)
from keras_explain.lime._subjects import ImageSubject, SeriesSubject, TabularSubject, TextSubject

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"&"
SEGMENTS = np.array([[0, 0, 1], [2, 2, 3]])


def explanation(subject, weights, names=("cat", "dog"), classes=(4, 7)):
    weights = np.array(weights, float)
    number = len(weights)
    return Explanation(
        subject=subject,
        classes=tuple(classes[:number]),
        class_names=tuple(names[:number]),
        prediction=np.array([0.75, 0.25])[:number],
        weights=weights,
        intercept=np.full(number, 0.125),
        local_prediction=np.full(number, 0.5),
        fidelity=np.full(number, 0.9),
        held_out_fidelity=np.full(number, 0.8),
        stability=np.full(number, 0.95),
        rules=("",) * number,
        samples=100,
        seed=3,
    )


def image_explanation():
    image = np.random.default_rng(0).uniform(-1, 1, (2, 3, 3)).astype("float32")
    weights = [[0.1, -0.5, 0.3, 0], [0, 0, 0, 0.2]]
    return explanation(ImageSubject(image, SEGMENTS), weights)


def text_explanation(text="so good, so bad", names=("cat", "dog")):
    subject = TextSubject(text, ("so", "good", "bad"), ((0, 2, 0), (3, 7, 1), (9, 11, 0)))
    return explanation(subject, [[0.1, 0.6, -0.2]], names)


def row_explanation():
    subject = TabularSubject(("age > 30", "a < b <= c"), ("age", "b"), (35, "x"))
    return explanation(subject, [[0.1, -0.6]])


def series_explanation(domain="time"):
    series = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    parts = np.array([[0, 2], [0, 2], [1, 3], [-1, -1]], "int32")
    subject = SeriesSubject(series, parts[: 4 if domain == "time" else 3], (
        "a, 0 to 2", "a, 2 to 3", "b$, 0 to 2", "b$, 2 to 3"), domain, 0.5, ("a", "b$"))
    return explanation(subject, [[0.1, -0.5, 0, 0.2], [0, 0, 0, 0.2]])


def bands_explanation():
    return series_explanation("frequency")


def patches_explanation():
    series = np.random.default_rng(0).normal(size=(64, 1)).astype("float32")
    parts = np.arange(17)[:, None] // 9 * 2 + np.arange(9) // 5
    subject = SeriesSubject(series, parts.astype("int32"), tuple("abcd"), "spectrogram", 8, ("x",))
    return explanation(subject, [[0.1, -0.5, 0, 0.2], [0, 0, 0, 0.2]])


ALL = [image_explanation, text_explanation, row_explanation, series_explanation,
       bands_explanation, patches_explanation]


def test_top():
    e = image_explanation()
    assert [f.index for f in e.top(2)] == [1, 2]
    assert [f.index for f in e.top(9)] == [1, 2, 0]  # no weight, no mention
    assert [f.index for f in e.top(9, sign="positive")] == [2, 0]
    assert [f.index for f in e.top(9, sign="negative")] == [1]
    assert e.top(1, "dog") == e.top(1, 7) == [(3, "superpixel 3", 0.2)]
    with pytest.raises(ValueError, match=r"\[4, 7\] \(cat, dog\), received 5"):
        e.top(1, 5)
    with pytest.raises(ValueError, match="'positive'.*received 'plus'"):
        e.top(1, sign="plus")


def test_heatmap_and_mask():
    e = image_explanation()
    assert e.heatmap().dtype == np.float32
    assert np.allclose(e.heatmap(), [[0.1, 0.1, -0.5], [0.3, 0.3, 0]])
    assert e.mask(1).tolist() == [[False] * 3, [True, True, False]]
    assert e.mask(1, sign="both").tolist() == [[False, False, True], [False] * 3]
    assert np.allclose(text_explanation().heatmap(), [0.1, 0.6, 0.1])
    assert np.allclose(row_explanation().heatmap(), [0.1, -0.6])
    assert np.allclose(series_explanation().heatmap(), [[0.1, 0], [0.1, 0], [-0.5, 0.2], [0, 0]])
    assert series_explanation().mask(1).tolist() == [[False, False], [False, False], [False, True],
                                                     [False, False]]


def test_picture_shows_only_the_top_superpixels():
    e = image_explanation()
    shown, whole = e.picture(1), np.uint8(np.rint((e.subject.image + 1) * 127.5))
    assert np.array_equal(shown[1, :2], whole[1, :2])
    rest = shown[SEGMENTS != 2]
    assert (rest == rest[:, :1]).all()  # gray
    with pytest.raises(TypeError, match="received one of a text"):
        text_explanation().picture()


@pytest.mark.parametrize("make_one", ALL)
def test_frozen(make_one):
    e = make_one()
    with pytest.raises(dataclasses.FrozenInstanceError):
        e.seed = 1
    with pytest.raises(ValueError, match="read-only"):
        e.weights[0, 0] = 1


@pytest.mark.parametrize("make_one", ALL)
def test_json_round_trip_to_the_last_bit(make_one):
    e = make_one()
    text = e.to_json()
    again = Explanation.from_json(text)
    assert again.to_json() == text and json.loads(text) == e.to_dict()
    for field in dataclasses.fields(e):
        first, second = getattr(e, field.name), getattr(again, field.name)
        assert type(first) is type(second)
        if isinstance(first, np.ndarray):
            assert np.array_equal(first, second) and first.dtype == second.dtype
    assert np.array_equal(again.heatmap(), e.heatmap()) and again.features == e.features


def test_json_of_another_format():
    with pytest.raises(ValueError, match="received 99"):
        Explanation.from_dict({"format": 99})
    with pytest.raises(ValueError, match="received 'list'"):
        Explanation.from_json("[]")


class Collector(html.parser.HTMLParser):
    """Tags, attributes and text of a document."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("make_one", ALL)
def test_html(make_one):
    e = make_one()
    page = Collector(e.to_html())
    assert "cat" in page.text and "fidelity 0.90, stability 0.95" in page.text
    for feature in e.top(3):
        assert feature.name in page.text
    assert e._repr_html_() == e.to_html()


def test_html_escapes_texts_labels_features_and_rules():
    plain = Collector(text_explanation().to_html())
    evil = [
        text_explanation("so " + EVIL, (EVIL, EVIL)),
        dataclasses.replace(row_explanation(), rules=(EVIL,)),
        explanation(TabularSubject((EVIL, "b"), (EVIL, "b"), (EVIL, EVIL)), [[1.0, 2.0]]),
        LimeTextExplainer(lambda t: np.array([len(x) / 999 for x in t]), split=lambda t: [t],
                          class_names=[EVIL, EVIL + "2"]).explain(EVIL, top=2),
    ]
    for e in evil:
        page = Collector(e.to_html())
        assert page.tags <= plain.tags | {"pre", "p", "span"}
        assert page.attributes <= plain.attributes
        assert EVIL in page.text


def test_html_keeps_the_text_as_it_is():
    e = text_explanation("so good,\n so bad  <b>")
    assert "so good,\n so bad  <b>" in Collector(e.to_html()).text


@pytest.mark.parametrize("make_one", ALL)
def test_show(make_one, tmp_path):
    e = make_one()
    figure = e.show(k=2)
    figure.savefig(tmp_path / "figure.png")
    if e.subject.kind == "series":
        if e.subject.domain == "spectrogram":
            assert figure.axes[0].get_xlabel() == "time in seconds" and len(figure.axes) == 4
            return
        assert len(figure.axes) == 6 and len(e.show(target="cat").axes) == 3  # with bars of color
        assert figure.axes[1].get_ylabel() == r"b\$"
        return
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0].startswith("cat: 0.75")
    assert len(figure.axes) == (8 if e.subject.kind == "image" else 1)
    assert len(e.show(target="cat").axes) == (4 if e.subject.kind == "image" else 1)


def test_show_takes_dollars_literally(tmp_path):
    subject = TabularSubject(("price > $5", "$x$"), ("price", "x"), (6, 1))
    explanation(subject, [[1.0, 2.0]], (r"$\frac{$",)).show().savefig(tmp_path / "figure.png")


def test_text_of_an_explanation():
    assert str(text_explanation()) == (
        "cat (0.75) because: good (+0.6), bad (-0.2), so (+0.1) [fidelity 0.90, stability 0.95]"
    )
    assert repr(image_explanation()) == (
        "<Explanation of image, classes ['cat', 'dog'], 4 features, 100 samples>"
    )


def test_explainers_fill_every_field():
    image = np.random.default_rng(0).uniform(size=(8, 8)).astype("float32")
    rows = np.random.default_rng(0).normal(size=(50, 3))
    explained = [
        LimeImageExplainer(
            lambda x: x[:, :3].mean(axis=(1, 2)), segments=4, baseline=0).explain(image),
        LimeTextExplainer(lambda t: np.array([len(x) / 99 for x in t])).explain("one two three"),
        LimeTabularExplainer(lambda x: np.tanh(x), rows).explain(
            rows[0], top=2, samples=100, tolerance=0.5),
    ]
    for e in explained:
        assert e.weights.shape == (len(e.classes), len(e.features)) == (
            len(e.class_names), len(e.features))
        for name in ("prediction", "intercept", "local_prediction", "fidelity", "stability",
                     "held_out_fidelity", "rules"):
            assert len(getattr(e, name)) == len(e.classes)
        assert Explanation.from_json(e.to_json()).to_json() == e.to_json()
    assert explained[0].segments.shape == (8, 8)
    assert explained[1].words == ("one", "two", "three")


def test_json_loads_in_a_fresh_process(tmp_path):
    """And without the model, in a process that imported the package alone."""
    rows = np.random.default_rng(0).normal(size=(50, 3))
    explained = {
        "image": LimeImageExplainer(
            lambda x: x[:, :3].mean(axis=(1, 2)), segments=4).explain(np.eye(8), top=2),
        "text": LimeTextExplainer(
            lambda t: np.array([len(x) / 99 for x in t])).explain("one two"),
        "row": LimeTabularExplainer(lambda x: np.tanh(x), rows).explain(rows[0], samples=100),
    }
    for name, explanation in explained.items():
        (tmp_path / name).write_text(explanation.to_json())
    code = """
import sys, keras_explain
for path in sys.argv[1:]:
    text = open(path).read()
    explanation = keras_explain.lime.Explanation.from_json(text)
    assert explanation.to_json() == text and explanation.heatmap().any()
    assert explanation.top(1) and explanation.to_html() and str(explanation)
"""
    done = subprocess.run([sys.executable, "-c", code, *(str(tmp_path / n) for n in explained)],
                          capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_package_tells_that_it_is_no_function():
    import keras_explain as kx

    with pytest.raises(TypeError, match=r"a call of the package.*LimeImageExplainer\(model\)"):
        kx.lime(None)


def test_warnings_point_to_the_line_that_asked():
    with pytest.warns(LimeWarning) as caught:
        LimeTextExplainer(lambda t: np.full((len(t), 2), 0.5)).explain("one two")
    assert caught[0].filename == __file__
