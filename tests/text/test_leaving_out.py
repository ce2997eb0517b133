"""Whole words left out: each score is what a loop of `predict` over changed texts gives."""

import keras
import numpy as np
import pytest
from keras import layers
from test_words import SUBWORDS, summed, tokenize

import keras_explain as kx
from keras_explain.targets import Token

TEXTS = ["The film, loved it.", "bad", "A really bad film."]
ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="models of strings run on TensorFlow only")


def alive(model, scale=0.6):
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(0, scale, v.shape))
    return model


def without(text, word, baseline=""):
    """The first such word out of a text, the space beside it too."""
    if baseline:
        return text.replace(word, baseline, 1)
    for form in (f" {word}", f"{word} ", word):
        if form in text:
            return text.replace(form, "", 1)
    raise AssertionError(word)


def loop(predict, text, words, baseline, kind):
    """The drop of a score for each word, by `predict` of the changed texts."""
    p = predict([text, *(without(text, w, baseline) for w in words)]).astype("float64")
    scores = p if kind == "logit" else np.log(p) - np.log1p(-p)
    return (scores[0] - scores[1:]).T


@ON_TENSORFLOW
@pytest.mark.parametrize("baseline", ["", "[UNK]"])
@pytest.mark.parametrize("mode, shape, length", [
    ("int", (), 8), ("int", (1,), 6), ("multi_hot", (1,), None), ("count", (), None),
    ("tf_idf", (1,), None)])
def test_models_of_strings(mode, shape, length, baseline):
    words = ["the", "film", "loved", "it", "bad", "really"]
    given = {"idf_weights": np.arange(1.0, 7)} if mode == "tf_idf" else {}
    x = keras.Input(shape, dtype="string")
    y = layers.TextVectorization(
        vocabulary=words, output_mode=mode, output_sequence_length=length, **given)(x)
    if mode == "int":
        y = layers.Conv1D(4, 2, activation="gelu", padding="same")(layers.Embedding(9, 4)(y))
        y = layers.GlobalAveragePooling1D()(y)
    model = alive(keras.Model(x, layers.Dense(2)(y)))

    def predict(texts):
        texts = [keras.ops.convert_to_tensor([t] if shape == () else [[t]]) for t in texts]
        return np.concatenate([keras.ops.convert_to_numpy(model(t)) for t in texts])

    found = kx.text.leave_one_out(model, TEXTS, target=[0, 1], baseline=baseline, verbose=0)
    for text, one in zip(TEXTS, found, strict=True):
        wanted = loop(predict, text, one.words, baseline, "logit")
        np.testing.assert_allclose(one.scores, wanted, atol=1e-5)
        np.testing.assert_allclose(one.predictions, predict([text])[0], atol=1e-5)
    assert found[0].words == ("The", "film", "loved", "it") and np.abs(found[2].scores).max() > 0.1


@pytest.mark.parametrize("length", [9, None])
def test_models_of_ids(length):
    """By a function to pieces; the answer depends on the places of the others."""
    ids = keras.Input((length,), dtype="int32")
    y = layers.Conv1D(4, 2, activation="gelu", padding="same")(layers.Embedding(10, 4)(ids))
    y = layers.Dense(2, activation="softmax")(layers.GlobalMaxPooling1D()(y))
    model = alive(keras.Model(ids, y))

    def predict(texts):
        row = np.array([tokenize(texts[0])[1]], "int32")
        if length:
            row = np.pad(row, ((0, 0), (0, length - row.shape[1])))
        return keras.ops.convert_to_numpy(model(row))

    texts = ["the film loved the", "bad film", "loved"]
    found = kx.text.leave_one_out(model, texts, tokenizer=tokenize, target=1, batch_size=3,
                                  verbose=0)
    for text, one in zip(texts, found, strict=True):
        assert one.labels == ("class 1",) and not one.special.any()
        words = text.split()
        rest = [" ".join(words[:k] + words[k + 1:]) for k in range(len(words))]
        odds = [np.log(p) - np.log1p(-p) for p in (
            float(predict([t])[0, 1]) for t in (text, *rest))]
        np.testing.assert_allclose(one.scores[0], odds[0] - np.array(odds[1:]), atol=1e-4)


def test_the_top_class_is_that_of_the_whole_text():
    model, table = summed()
    texts = ["the film loved", "bad film"]
    for one in kx.text.leave_one_out(model, texts, tokenizer=tokenize, verbose=0):
        top = int(one.predictions.argmax())
        assert one.targets == (top,)
        wanted = [table[[SUBWORDS.index(p) for p in tokenize(w)[0][1:-1]], top].sum()
                  for w in one.words]
        np.testing.assert_allclose(one.scores[0], wanted, atol=1e-5)
    scored = kx.text.leave_one_out(
        model, texts, tokenizer=tokenize, target=lambda y: y[:, 0] - y[:, 1], verbose=0)
    assert scored[0].labels == ("score",)
    np.testing.assert_allclose(scored[1].scores[0, 0], table[8, 0] - table[8, 1], atol=1e-5)


def pairwise():
    """The logits are products of neighbors: what both pieces of a word do together is no sum."""
    ids = keras.Input((9,), dtype="int32")
    x = layers.Embedding(len(SUBWORDS), 2)(ids)
    model = keras.Model(ids, keras.ops.sum(x[:, :-1] * x[:, 1:], axis=1))
    return alive(model, 1.0)


@pytest.mark.parametrize("baseline", [None, 3, np.array([[3] * 9, [0] * 9])])
def test_occlusion_hides_the_pieces_of_a_word_together(baseline):
    model = pairwise()
    explained = kx.occlusion(model, target="input", baseline=baseline)
    (one, other) = kx.text.show(explained, ["the loved film", "loved"], target=[0, 1],
                                tokenizer=tokenize, verbose=0)
    ids = np.array([[1, 4, 6, 7, 5, 2, 0, 0, 0], [1, 6, 7, 2, 0, 0, 0, 0, 0]], "int32")
    for found, row, groups in ((one, ids[0], ([1], [2, 3], [4])), (other, ids[1], ([1, 2],))):
        for k, group in enumerate(groups):
            drops = []
            for fill in [0] if baseline is None else [3, 0] if np.ndim(baseline) else [3]:
                hidden = row.copy()
                hidden[group] = fill
                drops.append(keras.ops.convert_to_numpy(model(row[None]) - model(hidden[None]))[0])
            np.testing.assert_allclose(found.scores[:, k], np.mean(drops, axis=0), atol=1e-5)


def test_a_word_that_is_all_there_is():
    x = keras.Input((4,), dtype="int32")
    there = keras.ops.cast(x > 2, "float32")[..., None]
    y = keras.ops.sum(layers.Embedding(10, 2)(x) * there, axis=1) / keras.ops.sum(there, axis=1)
    with pytest.warns(UserWarning, match="no finite answer for 'bad' without 'bad'"):
        (found,) = kx.text.leave_one_out(keras.Model(x, y), ["bad"], tokenizer=tokenize, verbose=0)
    assert np.isnan(found.scores).all()


def test_errors():
    model, _ = summed()
    for options, error, message in (
            ({"texts": "the film"}, TypeError, "one string"),
            ({"baseline": 3}, TypeError, "a text that stands in for a word"),
            ({"target": [2]}, ValueError, "from 0 to 1, received 2"),
            ({"target": []}, ValueError, "a class or a list"),
            ({"target": 2}, ValueError, "received 2"),
            ({"tokenizer": lambda text: (["a"], [30])}, ValueError, "ids below 10.*received 30"),
            ({"tokenizer": None}, ValueError, "takes integers"),
            ({"batch_size": 0}, ValueError, "batch_size")):
        given = {"texts": ["the film"], "tokenizer": tokenize, **options}
        with pytest.raises(error, match=message):
            kx.text.leave_one_out(model, given.pop("texts"), verbose=0, **given)
    assert kx.text.leave_one_out(model, [], tokenizer=tokenize) == []
    (found,) = kx.text.leave_one_out(model, ["..."], tokenizer=tokenize, verbose=0)
    assert found.words == () and found.scores.shape == (1, 0)
    with pytest.raises(TypeError, match="`keras.Model`"):
        kx.text.leave_one_out(lambda texts: texts, ["a"])


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["", "good"])
def test_a_task_of_keras_hub_is_asked_by_its_own_predict(baseline):
    hub = pytest.importorskip("keras_hub")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "bor", "##ing", "good"]
    preprocessor = hub.models.BertTextClassifierPreprocessor(
        hub.models.BertTokenizer(vocabulary=words, lowercase=True), sequence_length=8)
    backbone = hub.models.BertBackbone(
        vocabulary_size=len(words), num_layers=1, num_heads=2, hidden_dim=16,
        intermediate_dim=32, max_sequence_length=8)
    task = alive(hub.models.BertTextClassifier(
        backbone, 2, activation="softmax", preprocessor=preprocessor), 0.4)
    texts = ["The BORING film!", "good film", "good good boring boring good"]
    with pytest.warns(UserWarning, match="1 of 3 texts"):
        found = kx.text.leave_one_out(task, texts, target=[0, 1], baseline=baseline, verbose=0)
    assert found[0].words == ("The", "BORING", "film") and found[2].cut == "good"

    def predict(texts):
        return task.predict(texts, verbose=0)

    for text, one in zip(texts[:2], found, strict=False):
        np.testing.assert_allclose(one.scores, loop(predict, text, one.words, baseline, "odds"),
                                   atol=1e-4)
    with pytest.raises(ValueError, match="Count from the end"):
        kx.text.leave_one_out(task, texts, target=Token(2))
