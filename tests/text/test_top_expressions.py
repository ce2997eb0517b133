"""Expressions that a text model reads, and how they are shown."""

import html.parser
import io
import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.text import TextScores, top_expressions

TABLE = np.zeros((9, 2), "float32")


def vectorizer(**options):
    layer = layers.TextVectorization(output_sequence_length=6, **options)
    layer.adapt(["a good film", "a bad film", "not good"])
    return layer


def weighted(weights=(5.0, 1.0, 3.0)):
    """Each place has its weight: the norm of the gradient at place i is weights[i]."""
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 1)(ids)
    places = np.zeros((6, 1), "float32")
    places[: len(weights), 0] = weights
    return keras.Model(ids, keras.ops.sum(x * places, axis=1))


def test_the_ranking_is_that_of_the_norms():
    (found,) = top_expressions(kx.saliency(weighted()), ["A good, film!"], width=2,
                               tokenizer=vectorizer())
    assert found.words == ("a", "good", "film")
    assert [(e.word, e.text, e.score, e.position) for e in found.top()] == [
        ("a", "a good", 5, 0), ("film", "film", 3, 2), ("good", "good film", 1, 1)]
    assert len(found.top(1)) == 1


def test_signed_scores_are_ranked_by_magnitude():
    scores = TextScores(("a", "b", "c"), np.array([1.0, -3.0, 2.0]), np.zeros(1))
    assert [e.score for e in scores.top()] == [-3, 2, 1]


def test_the_width_is_that_of_the_widest_convolution():
    x = inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4)(x)
    both = [layers.GlobalMaxPooling1D()(layers.Conv1D(2, 2)(x)),
            layers.GlobalMaxPooling1D()(layers.Conv1D(2, 2, dilation_rate=3)(x))]
    model = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(both)))
    (found,) = top_expressions(kx.saliency(model), ["a good film"], tokenizer=vectorizer())
    assert found.width == 4
    (found,) = top_expressions(kx.saliency(weighted()), ["a good film"], tokenizer=vectorizer())
    assert found.width == 1


def test_unknown_words_are_shown_and_long_texts_cut():
    (found,) = top_expressions(kx.saliency(weighted()), ["Zebra " * 9], tokenizer=vectorizer())
    assert found.words == ("zebra",) * 6
    (found,) = top_expressions(kx.saliency(weighted()), ["A Zebra"],
                               tokenizer=vectorizer(ngrams=2))
    assert found.words == ("a", "[UNK]", "[UNK]")


def test_any_function_can_be_the_tokenizer():
    def tokenizer(text):
        words = text.split("-")
        return words, [len(word) for word in words]

    found = top_expressions(kx.saliency(weighted()), ["aa-b", "c-d-e-f-g-h-i-j"],
                            tokenizer=tokenizer)
    assert [scores.words for scores in found] == [("aa", "b"), tuple("cdefgh")]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings need TensorFlow")
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_model_with_the_vectorizer_inside_takes_strings(shape):
    inputs = keras.Input(shape, dtype="string")
    vectorize, model = vectorizer(), weighted()
    explained = kx.saliency(keras.Model(inputs, model(vectorize(inputs))))
    texts = ["a good film", "Zebra?", ""]
    found = top_expressions(explained, texts, batch_size=2)
    expected = top_expressions(kx.saliency(model), texts, tokenizer=vectorize)
    for one, other in zip(found, expected, strict=True):
        assert one.words == other.words
        np.testing.assert_allclose(one.scores, other.scores)


class Reader(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, text):
        self.text += text


def test_html_is_escaped():
    attack = "<script>alert('x')</script>", '"><img/src=x>', "a&b"
    page = TextScores(attack, np.array([1.0, -2.0, 0.5]), np.zeros(1), 2).to_html()
    read = Reader(page)
    assert read.tags <= {"div", "p", "span", "table", "tr", "td", "th", "b"}
    for word in attack:
        assert word in read.text
    assert page == TextScores(attack, np.array([1.0, -2.0, 0.5]), np.zeros(1), 2)._repr_html_()
    assert "rgba(178,24,43" in page and "rgba(33,102,172,0.65)" in page


def test_colors_only_on_a_terminal(monkeypatch):
    scores = TextScores(("good", "bad"), np.array([1.0, -1.0]), np.zeros(1))

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert "\x1b" not in str(scores) and "\x1b" in scores.to_terminal(color=True)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert str(scores).startswith("\x1b[30;48;5;196mgood\x1b[0m \x1b[30;48;5;69mbad\x1b[0m\n")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in str(scores)


def test_a_word_cannot_steer_the_terminal():
    shown = TextScores(("\x1b[2J", "a\nb"), np.zeros(2), np.zeros(1)).to_terminal(color=True)
    assert "\x1b" not in shown and shown.splitlines()[0] == r"\x1b[2J a\nb"


def test_errors():
    explained = kx.saliency(weighted())
    with pytest.raises(TypeError, match="received Functional. Build one"):
        top_expressions(weighted(), ["a"])
    with pytest.raises(TypeError, match=r"one string. Write \[text\]"):
        top_expressions(explained, "a")
    with pytest.raises(ValueError, match="Expected `tokenizer`, because the model takes integers"):
        top_expressions(explained, ["a"])
    with pytest.raises(ValueError, match="received 2 words and 1 ids"):
        top_expressions(explained, ["a"], tokenizer=lambda text: (["a", "b"], [1]))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="models of strings")
@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_counts_of_words_have_no_places_in_the_text(mode):
    texts = ["a moving and honest film", "a dull and lazy film"]
    bag = keras.layers.TextVectorization(output_mode=mode)
    bag.adapt(texts)
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, keras.layers.Dense(1)(bag(inputs)))
    with pytest.raises(ValueError, match=f'output_mode="int".*received {mode!r}'):
        kx.text.top_expressions(kx.saliency(model), ["a moving film"], verbose=0)
    with pytest.raises(ValueError, match="leave_one_out"):
        kx.text.show(kx.saliency(model), ["a moving film"], verbose=0)
    with pytest.raises(ValueError, match="Expected numbers for metrics"):
        kx.metrics.deletion(kx.saliency(model), np.array(["a moving film"], object), verbose=0)
