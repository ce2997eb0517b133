"""LIME for texts: any script, awkward texts, models with and without a vectorizer inside."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_explain.lime import LimeTextExplainer, LimeWarning, split_words

WEIGHTS = {"good": 0.2, "fine": 0.1, "bad": -0.25, "the": 0.0}


def score(texts):
    """Linear in the words that occur; takes a list of str and nothing else."""
    assert isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return np.array([0.5 + sum(w for k, w in WEIGHTS.items() if k in t.split()) for t in texts])


@pytest.mark.parametrize("surrogate", ["k_lasso", "highest_weights", "forward_selection"])
def test_bag_of_words(surrogate):
    """All occurrences go at once: a repeated word has the weight of its presence."""
    explainer = LimeTextExplainer(score, surrogate=surrogate, class_names=["no", "yes"])
    text = "the good film , the good bad fine plot of the day in a very long text indeed it is"
    explanation = explainer.explain(text, target=["yes"], samples=400, num_features=3)
    found = {f.name: f.weight for f in explanation.top(10)}
    assert set(found) == {"good", "bad", "fine"}
    assert np.allclose([found[k] for k in found], [WEIGHTS[k] for k in found], atol=3e-3)
    assert explanation.heatmap().shape == (19,)
    assert np.count_nonzero(explanation.heatmap()) == 4  # "good" twice
    assert explanation.class_names == ("yes",)


def test_positions():
    """Each occurrence by itself: the second of two equal words is as good as the first."""
    counts = lambda texts: np.array([t.split().count("good") / 10 for t in texts])  # noqa: E731
    explainer = LimeTextExplainer(counts, words="positions")
    explanation = explainer.explain("good is good and more", target=[1])
    assert explanation.words == ("good", "is", "good", "and", "more")
    assert np.allclose(explanation.weights[0], [0.1, 0, 0.1, 0, 0], atol=1e-6)


def test_a_baseline_keeps_positions():
    seen = []

    def spy(texts):
        seen.extend(texts)
        return score(texts)

    LimeTextExplainer(spy, baseline="[UNK]").explain("good, bad!", samples=10)
    assert sorted(seen) == sorted(["good, bad!", "[UNK], bad!", "good, [UNK]!", "[UNK], [UNK]!"])


@pytest.mark.parametrize("text, words", [("", 0), ("  ... !", 0), ("good", 1), ("good good", 1)])
def test_short_texts(text, words):
    explanation = LimeTextExplainer(score).explain(text, target=[1])
    assert explanation.weights.shape == (1, words)
    assert np.allclose(explanation.prediction, score([text]))
    if words:
        assert np.allclose(explanation.weights, 0.2)
    else:
        assert explanation.top() == [] and np.isclose(explanation.intercept[0], 0.5)
    assert explanation.to_html() and explanation.show() and str(explanation)
    assert type(explanation).from_json(explanation.to_json()).weights.shape == (1, words)


@pytest.mark.parametrize(
    "text, words",
    [
        ("Don't over-think 3.14, ok?", ["Don't", "over", "think", "3.14", "ok"]),
        ("résumé naïve cafe\u0301", ["résumé", "naïve", "cafe\u0301"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("مرحبا بالعالم، كيف", ["مرحبا", "بالعالم", "كيف"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("Это очень хорошо!", ["Это", "очень", "хорошо"]),
        ("好电影。很好", ["好", "电", "影", "很", "好"]),
        ("コーヒーはおいしい", ["コーヒー", "は", "お", "い", "し", "い"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("I ❤️ 👍🏽 x_1", ["I", "❤️", "👍🏽", "x_1"]),
        ("l’été à 10,000 m", ["l’été", "à", "10,000", "m"]),
    ],
)
def test_words_of_the_world(text, words):
    assert [text[start:end] for start, end in split_words(text)] == words
    explanation = LimeTextExplainer(lambda texts: np.array([len(t) / 99 for t in texts])).explain(
        text, target=[1]
    )
    assert explanation.words == tuple(dict.fromkeys(words))


def test_own_split():
    explainer = LimeTextExplainer(score, split=lambda text: text.split("|"))
    assert explainer.explain("good day|bad|x", target=[1]).words == ("good day", "bad", "x")
    with pytest.raises(ValueError, match="must not change the words"):
        LimeTextExplainer(score, split=lambda text: text.upper().split()).explain("good day")


def vectorizer(**kwargs):
    vocabulary = ["good", "bad", "fine", "day", "film"]
    return layers.TextVectorization(vocabulary=vocabulary, **kwargs)


def test_text_vectorization_as_tokenizer():
    encode = vectorizer(output_mode="multi_hot")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(inputs))
    model.set_weights([np.array([[0.0], [2], [-3], [1], [0], [0]]), np.zeros(1)])
    explainer = LimeTextExplainer(model, tokenizer=encode, class_names=["neg", "pos"])
    explanation = explainer.explain("a good film on a bad day", top=2)
    assert explanation.class_names == ("neg", "pos")
    expected = model.predict(np.asarray(encode(["a good film on a bad day"])), verbose=0)[0, 0]
    assert np.isclose(explanation.prediction[1], expected, atol=1e-6)
    assert np.allclose(explanation.weights[0], -explanation.weights[1], atol=1e-6)
    assert [f.name for f in explanation.top(2, "neg")] == ["bad", "good"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings need TensorFlow")
@pytest.mark.parametrize("shape", [(), (1,)])
def test_text_vectorization_inside(shape):
    """pain_points 13: a Keras model of strings, as it is; `lime` cannot call it."""
    import tensorflow as tf

    inputs = keras.Input(shape, dtype="string")
    ids = vectorizer(output_sequence_length=8)(inputs)
    x = layers.GlobalAveragePooling1D()(layers.Embedding(7, 3)(ids))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) * 3 for w in model.get_weights()])
    text = "a good film, a bad day"
    data = tf.constant([text] if shape == () else [[text]])
    for given in (model, model.predict):
        explanation = LimeTextExplainer(given, batch_size=16).explain(text, top=3)
        expected = model.predict(data, verbose=0)[0]
        assert np.allclose(explanation.prediction, np.sort(expected)[::-1], atol=1e-6)
        assert explanation.weights.any()


def test_sequences_of_tokens_and_a_dict_from_a_tokenizer():
    ids, mask = keras.Input((6,), dtype="int32", name="ids"), keras.Input((6,), name="mask")
    x = layers.Embedding(10, 4)(ids) * keras.ops.expand_dims(mask, -1)
    model = keras.Model({"ids": ids, "mask": mask}, layers.Dense(2)(layers.Flatten()(x)))

    def encode(texts):
        table = np.zeros((len(texts), 6), int)
        for row, text in zip(table, texts, strict=True):
            words = [len(word) for word in text.split()][:6]
            row[: len(words)] = words
        return {"ids": table, "mask": (table > 0).astype("float32")}

    explanation = LimeTextExplainer(model, tokenizer=encode, batch_size=8).explain(
        "a bb ccc dddd", top=2)
    assert explanation.samples == 16 and explanation.weights.any()


def test_scikit_learn_pipeline():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        ["good film", "good day", "bad film", "bad day"], [1, 1, 0, 0]
    )
    explanation = LimeTextExplainer(pipeline.predict_proba).explain("a good long day", target=[1])
    assert explanation.top(1)[0].name == "good"


def test_batches_are_bounded():
    sizes = []

    def spy(texts):
        sizes.append(len(texts))
        return score(texts)

    text = " ".join(f"w{i}" for i in range(40)) + " good"
    LimeTextExplainer(spy, batch_size=60).explain(text, target=[1], samples=500)
    assert max(sizes) == 60 and sum(sizes) == 500


def test_long_text_with_fewer_samples_than_words():
    text = " ".join(f"w{i}" for i in range(600)) + " good"
    with pytest.warns(LimeWarning, match="effective samples of 400 are few for 601 words"):
        explanation = LimeTextExplainer(score).explain(text, target=[1], samples=400)
    assert explanation.top(1)[0].name == "good"


@pytest.mark.parametrize("value", [None, b"bytes", ["a list"], 3])
def test_not_a_text(value):
    with pytest.raises(TypeError, match="Expected one text as a str"):
        LimeTextExplainer(score).explain(value)


def test_constructor_errors():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="takes float32. Pass `tokenizer`"):
        LimeTextExplainer(keras.Model(inputs, layers.Dense(1)(inputs)))
    with pytest.raises(ValueError, match="'bag', 'positions'.*received 'chars'"):
        LimeTextExplainer(score, words="chars")
    with pytest.raises(TypeError, match="re.findall"):
        LimeTextExplainer(score, split=r"\W+")


def masked_mean(shape=(8,), seed=0):
    """A mean over the words of a text: of none it is NaN."""
    ids = keras.Input(shape, dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True)(ids)
    model = keras.Model(ids, layers.Dense(2, activation="softmax")(
        layers.GlobalAveragePooling1D()(x)))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def ids_of(texts):
    known = ["a", "fine", "dull", "film"]
    rows = [[1 + known.index(w) if w in known else 9 for w in t.split()][:8] for t in texts]
    return np.array([row + [0] * (8 - len(row)) for row in rows], "int32")


def test_a_text_without_words_that_has_no_score_is_left_out():
    model = masked_mean()
    assert np.isnan(model.predict(ids_of([""]), verbose=0)).all()
    explainer = LimeTextExplainer(model, tokenizer=ids_of, surrogate="ridge")
    with pytest.warns(LimeWarning, match="NaN or infinity for the empty text of 8.*leaves out"):
        found = explainer.explain("a fine film", target=1)
    masks = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1]])
    texts = [" ".join(w for w, keep in zip(["a", "fine", "film"], row, strict=True) if keep)
             for row in masks]
    scores = model.predict(ids_of(texts), verbose=0)[:, 1]
    root = np.exp(-np.square((1 - np.sqrt(masks.mean(axis=1))) / 0.25) / 4)  # of the kernel
    design = np.column_stack([masks, np.ones(7)]) * root[:, None]
    wanted = np.linalg.lstsq(design, scores * root, rcond=None)[0]
    assert found.samples == 7 and np.isclose(found.prediction[0], scores[0], atol=1e-6)
    assert np.allclose(found.weights[0], wanted[:3], atol=0.02 * np.abs(wanted[:3]).max())


def test_a_baseline_gives_every_text_a_score(recwarn):
    found = LimeTextExplainer(masked_mean(), tokenizer=ids_of, baseline="[UNK]").explain(
        "a fine film")
    assert found.samples == 8 and np.isfinite(found.weights).all()
    assert not [w for w in recwarn if "leaves out" in str(w.message)]


def test_long_texts_leave_samples_without_score_out():
    """Of random masks of two words many are empty."""
    explainer = LimeTextExplainer(masked_mean(), tokenizer=ids_of, sampler="uniform")
    with pytest.warns(LimeWarning, match="shortened texts of 60, which the explanation leaves out"):
        found = explainer.explain("a fine dull film", samples=60)
    assert found.samples < 60 and np.isfinite(found.weights).all()


def test_a_score_that_cannot_be_done_without_is_asked_for():
    model = masked_mean()
    with pytest.raises(ValueError, match="which KernelSHAP needs.*baseline="):
        LimeTextExplainer(model, tokenizer=ids_of, kernel="shapley").explain("a fine film")
    with pytest.raises(ValueError, match="the empty text of 2.*baseline="):
        LimeTextExplainer(model, tokenizer=ids_of).explain("fine")
    with pytest.raises(ValueError, match="for the input with every word"):
        LimeTextExplainer(lambda t: np.full((len(t), 2), np.nan)).explain("a fine film")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TextVectorization is theirs")
@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("mode", ["multi_hot", "count", "int"])
def test_strings_become_what_the_layer_inside_makes_of_them(shape, mode):
    import tensorflow as tf

    inside = vectorizer(output_mode=mode, **(
        {"output_sequence_length": 6} if mode == "int" else {}))
    inputs = keras.Input(shape, dtype="string")
    x = inside(inputs)
    x = layers.Flatten()(layers.Embedding(40, 2)(x)) if mode == "int" else x
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    text = "a good film"
    data = tf.constant([text]) if shape == () else tf.constant([[text]])
    wanted = np.ravel(model.predict(data, verbose=0))
    assert wanted.shape == (1,)
    found = LimeTextExplainer(model).explain(text, target=1)
    assert np.allclose(found.prediction, wanted, atol=1e-6) and found.weights.any()
