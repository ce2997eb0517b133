"""What explained models are given: texts, ids and their mistakes; words that are left out."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx

ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras computes with strings there only")
WORDS = ["a", "good", "bad", "film"]
TEXTS = np.array(["a good film", "film bad bad", "good odd film film"])
BUILDERS = [kx.saliency, kx.occlusion, kx.integrated_gradients, kx.local_linear]


def alive(model):
    for i, v in enumerate(model.trainable_variables):
        v.assign(v + keras.random.normal(v.shape, stddev=0.5, seed=i))
    return model


def of_ids(look_up=None, length=5):
    x = keras.Input((length,), dtype="int32", name="ids")
    rows = (look_up or layers.Embedding(20, 4))(x)
    return alive(keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(rows))))


def of_texts(mode="int", shape=(), **options):
    x = keras.Input(shape, dtype="string", name="texts")
    options |= {"idf_weights": [1.0, 2.0, 3.0, 1.0]} if mode == "tf_idf" else {}
    y = layers.TextVectorization(output_mode=mode, vocabulary=WORDS, **options)(x)
    if mode == "int":
        y = layers.GlobalAveragePooling1D()(layers.Embedding(6, 4, mask_zero=True)(y))
    return alive(keras.Model(x, layers.Dense(3)(y)))


def score(model, text):
    given = ops.convert_to_tensor([text] if len(model.inputs[0].shape) == 1 else [[text]])
    return ops.convert_to_numpy(model(given, training=False))[0, 1]


# Mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("texts", [TEXTS, list(TEXTS), TEXTS.astype(object)],
                         ids=["array", "list", "objects"])
def test_texts_where_ids_are_expected(builder, texts):
    with pytest.raises(ValueError, match="Expected numbers .*'ids', received texts.*tokenizer"):
        builder(of_ids()).predict(texts, verbose=0)


@ON_TENSORFLOW
@pytest.mark.parametrize("builder", BUILDERS)
def test_ids_where_texts_are_expected(builder):
    with pytest.raises(ValueError, match="Expected texts .*'texts', received int64"):
        builder(of_texts()).predict(np.ones(2, int), verbose=0)


@pytest.mark.parametrize("builder", BUILDERS)
def test_ids_for_which_there_is_no_row(builder):
    explained, ids = builder(of_ids()), np.full((2, 5), 3)
    ids[1, 2] = 20
    for ask in (lambda: explained.predict(ids, verbose=0), lambda: explained(ids)):
        with pytest.raises(ValueError, match="Expected ids below 20, .*'ids'.*received 20"):
            ask()
    ids[1, 2] = 19
    assert np.isfinite(explained.predict(ids, verbose=0)["heatmap"]).all()


class OfColumns(layers.Layer):
    """A table of its own for each half of the columns, the second one of ids from 5 on."""

    def build(self, shape):
        self.first, self.second = layers.Embedding(20, 4), layers.Embedding(3, 4)
        self.first.build()
        self.second.build()

    def call(self, x):
        return ops.concatenate([self.first(x[:, :2]), self.second(x[:, 2:] - 5)], axis=1)


def test_each_column_has_its_own_table():
    explained, ids = kx.saliency(of_ids(OfColumns(), 4)), np.array([[19, 0, 7, 5]])
    assert np.isfinite(explained.predict(ids, verbose=0)["heatmap"]).all()
    with pytest.raises(ValueError, match="Expected ids below 3, .*received 3"):
        explained.predict(ids + [[0, 0, 1, 0]], verbose=0)


@ON_TENSORFLOW
def test_a_vocabulary_that_does_not_fit_the_embedding():
    x = keras.Input((), dtype="string", name="texts")
    y = layers.Embedding(4, 2)(layers.TextVectorization(
        vocabulary=WORDS, output_sequence_length=4)(x))
    explained = kx.saliency(alive(keras.Model(x, layers.Dense(2)(layers.Flatten()(y)))))
    assert explained.predict(["a good"], verbose=0)["heatmap"].shape == (1, 4)
    with pytest.raises(ValueError, match="Expected ids below 4, .*vocabulary"):
        explained.predict(["a bad film"], verbose=0)


@pytest.mark.parametrize("ids, message", [
    (-2, "ids from 0 on for input 'ids'.*received -2"), (1.5, "whole numbers.*received 1.5")])
def test_ids_that_are_none(ids, message):
    with pytest.raises(ValueError, match=message):
        kx.saliency(of_ids()).predict(np.full((2, 5), ids), verbose=0)


@ON_TENSORFLOW
@pytest.mark.parametrize("texts, message", [
    ([], "at least one text"), ([b"a film"], "received bytes.*Decode"),
    (["a film", None], "received NoneType")])
def test_lists_that_are_no_texts(texts, message):
    with pytest.raises(ValueError, match=message):
        kx.saliency(of_texts()).predict(texts, verbose=0)


@pytest.mark.parametrize("ids, message", [
    ([[1, 2, 30, 0, 0]], "below 20.*received 30"), ([[1] * 7], r"shape \(None, 5\).*\(1, 7\)")])
def test_a_tokenizer_that_does_not_fit_is_told_by_lime(ids, message):
    with pytest.raises(ValueError, match=message):
        kx.LimeTextExplainer(of_ids(), tokenizer=lambda texts: np.array(ids * len(texts))).explain(
            "a film", samples=20, verbose=0)


# Words left out ----------------------------------------------------------------------------------


@ON_TENSORFLOW
@pytest.mark.parametrize("shape, options", [
    ((), {}), ((), {"output_sequence_length": 6}), ((1,), {"output_sequence_length": 6})])
def test_occlusion_of_texts_leaves_each_word_out(shape, options):
    model = of_texts("int", shape, **options)
    texts = list(TEXTS) if shape == () else TEXTS[:, None]
    explained = kx.occlusion(model, target=1, score="logit")
    maps = explained.predict(ops.convert_to_tensor(list(texts)), verbose=0)["heatmap"]
    for text, found in zip(TEXTS, maps, strict=True):
        words = text.split()
        wanted = [score(model, text) - score(model, " ".join(words[:i] + words[i + 1:]))
                  for i in range(len(words))]
        np.testing.assert_allclose(found[: len(words)], wanted, atol=1e-5)
        assert not found[len(words):].any()


@ON_TENSORFLOW
def test_occlusion_of_looked_up_words_makes_each_unknown():
    x = keras.Input((4,), dtype="string")
    rows = layers.Embedding(5, 4)(layers.StringLookup(vocabulary=WORDS)(x))
    model = alive(keras.Model(x, layers.Dense(2)(layers.Flatten()(rows))))
    texts = [["a", "good", "odd", "film"], ["bad", "bad", "a", "film"]]
    found = kx.occlusion(model, target=1, score="logit").predict(
        np.array(texts, object), verbose=0)["heatmap"]
    for text, row in zip(texts, found, strict=True):
        changed = [text] + [[*text[:i], "?", *text[i + 1:]] for i in range(4)]
        scores = ops.convert_to_numpy(model(ops.convert_to_tensor(changed)))[:, 1]
        np.testing.assert_allclose(row, scores[0] - scores[1:], atol=1e-5)


@ON_TENSORFLOW
@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_word_counts_of_texts_in_a_column(mode, builder):
    """Keras declares them with an axis that they do not have."""
    texts = {(): list(TEXTS), (1,): TEXTS[:, None].astype(object)}
    models = {shape: of_texts(mode, shape) for shape in texts}
    models[1,].set_weights(models[()].get_weights())
    found = {shape: builder(models[shape], target=1).predict(given, verbose=0)["heatmap"]
             for shape, given in texts.items()}
    assert found[1,].shape == (3, len(WORDS) + 1) and found[1,].any()
    np.testing.assert_allclose(found[1,], found[()], atol=1e-6)


@ON_TENSORFLOW
@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
def test_occlusion_of_word_counts_leaves_all_of_a_word_out(mode, shape):
    model = of_texts(mode, shape)
    given = list(TEXTS) if shape == () else TEXTS[:, None].astype(object)
    found = kx.occlusion(model, target=1, score="logit").predict(given, verbose=0)["heatmap"]
    for text, row in zip(TEXTS, found, strict=True):
        wanted = [0.0] + [score(model, text) - score(model, " ".join(
            w for w in text.split() if w != word)) for word in WORDS]
        np.testing.assert_allclose(row[1:], wanted[1:], atol=1e-5)


@ON_TENSORFLOW
def test_a_score_that_is_not_defined_is_no_drop_of_zero(tmp_path):
    """The mean over no word: hiding the only one leaves no answer."""
    x = keras.Input((), dtype="string")
    ids = layers.TextVectorization(vocabulary=WORDS, output_sequence_length=3)(x)
    there = ops.cast(ids != 0, "float32")[..., None]
    rows = layers.Embedding(6, 4)(ids) * there
    y = layers.Dense(2)(ops.sum(rows, axis=1) / ops.sum(there, axis=1))
    explained = kx.occlusion(alive(keras.Model(x, y)), target=1)
    with pytest.warns(UserWarning, match="not finite.*where all of them are hidden"):
        found = explained.predict(["good", "good film"], verbose=0)["heatmap"]
    assert np.isnan(found[0, 0]) and np.isfinite(found[1]).all() and found[1].any()
    explained.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    np.testing.assert_allclose(again.predict(["good film"], verbose=0)["heatmap"], found[1:],
                               atol=1e-6)
