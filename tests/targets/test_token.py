"""Which words of a prompt made a language model say this token: known answers, and errors."""

import functools
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from running import heatmap, run
from test_saving import load_elsewhere

import keras_explain as kx
from keras_explain.targets import Token

BUILDERS = [kx.saliency, kx.gradient_x_input, kx.integrated_gradients, kx.local_linear,
            kx.occlusion]
SYMBOLS, LENGTH = 12, 8


def random_model(end=None, length=LENGTH, mask=False):
    """A causal transformer of one block, with random weights; told of padding by an input."""
    keras.utils.set_random_seed(1)
    ids = inputs = keras.Input((length,), dtype="int32", name="ids")
    x = layers.Embedding(SYMBOLS, 16, mask_zero=mask == "zero")(ids)
    given = {}
    if mask is True:
        given["attention_mask"] = ops.expand_dims(
            seen := keras.Input((length,), dtype="int32", name="seen"), 1)
        inputs = {"ids": ids, "seen": seen}
    x = x + layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True, **given)
    x = x + layers.Dense(16)(layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x)))
    x = layers.Dense(SYMBOLS)(x)
    return keras.Model(inputs, layers.Activation(end)(x) if end else x)


def looking_up():
    """A network that finds the answer to the last token by two attentions, written by hand.

    Texts are keys and values in turn, and a key at the end: the value that followed the key is to
    come. The first layer writes to each place which symbol stood before it; the second looks for
    the place whose symbol before is the one here, and copies what stands there.
    """
    eye, sharp = np.eye(SYMBOLS, dtype="float32"), 30.0
    ids = keras.Input((LENGTH + 1,), dtype="int32")
    symbol = layers.Embedding(SYMBOLS, SYMBOLS, weights=[eye])(ids)
    before = layers.ZeroPadding1D((1, 0))(symbol[:, :-1])
    score = ops.matmul(symbol, ops.transpose(before, (0, 2, 1))) * sharp
    causal = np.triu(np.full((LENGTH + 1, LENGTH + 1), -1e9, "float32"), 1)
    weights = layers.Softmax()(score + causal)
    scale = layers.Dense(SYMBOLS, use_bias=False)
    logits = scale(ops.matmul(weights, symbol))
    scale.set_weights([eye * 4])
    return keras.Model(ids, logits)


@pytest.fixture(scope="module")
def pairs():
    """Texts of keys and values with a key at the end, the places of its value, and the value."""
    rng = np.random.default_rng(0)
    rows, places, answers = [], [], []
    for _ in range(60):
        symbols = rng.permutation(np.arange(1, SYMBOLS))[:LENGTH]
        which = rng.integers(0, LENGTH // 2)
        rows.append([*symbols, symbols[2 * which]])
        places.append(2 * which + 1)
        answers.append(symbols[2 * which + 1])
    return np.array(rows), np.array(places), np.array(answers)


@pytest.mark.parametrize("builder", [kx.local_linear, kx.occlusion, kx.integrated_gradients])
def test_the_source_of_a_looked_up_value_leads(builder, pairs):
    texts, places, answers = pairs
    model = looking_up()
    assert (run(model, texts)[:, -1].argmax(-1) == answers).all()
    found = heatmap(builder(model, target=Token(-1)), texts)
    assert (found.argmax(axis=1) == places).mean() >= 0.95


@pytest.mark.parametrize("end", [None, "softmax"])
def test_contributions_and_remainder_add_up_to_the_logit(end):
    model, logits = random_model(end), random_model()
    model.set_weights(logits.get_weights())
    x = np.random.default_rng(0).integers(1, SYMBOLS, (3, LENGTH))
    z = run(logits, x)
    for target, wanted in ((Token(2, 5), z[:, 2, 5]), (Token(-1), z[:, -1].max(-1)),
                           (Token(-3, [4, 5, 1]), z[:, -3, 4] + z[:, -2, 5] + z[:, -1, 1])):
        out = run(kx.local_linear(model, target=target), x)
        np.testing.assert_allclose(out["heatmap"].sum(1) + out["remainder"], wanted, atol=1e-4)
        np.testing.assert_allclose(ops.convert_to_numpy(target(z)), wanted, rtol=1e-6)


def test_a_token_sees_what_stands_before_it_alone():
    x = np.random.default_rng(0).integers(1, SYMBOLS, (2, LENGTH))
    for builder in BUILDERS:
        found = heatmap(builder(random_model(), target=Token(3, 2)), x)
        assert found[:, :4].any(axis=1).all()
        np.testing.assert_allclose(found[:, 4:], 0, atol=1e-6)


@pytest.mark.parametrize("target, score", [
    (Token(4, 3), lambda z, top: z[:, 4, 3]),
    (Token(4, 3, "log_probability"), lambda z, top: log_softmax(z)[:, 4, 3]),
    (Token(-2), lambda z, top: z[np.arange(len(z)), -2, top]),
])
@pytest.mark.parametrize("end", [None, "softmax"])
def test_occlusion_is_what_leaving_out_costs(target, score, end):
    """The token is that of the whole text, also where others lead without one of its words."""
    model, logits = random_model(end), random_model()
    model.set_weights(logits.get_weights())
    x = np.random.default_rng(0).integers(1, SYMBOLS, (4, LENGTH))
    clean = run(logits, x)
    top = clean[:, -2].argmax(-1)
    drops = np.stack([score(clean, top) - score(
        run(logits, np.where(np.arange(LENGTH) == i, 7, x)), top) for i in range(LENGTH)], 1)
    found = heatmap(kx.occlusion(model, target=target, baseline=7), x)
    np.testing.assert_allclose(found, drops, atol=2e-5)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def test_gradients_are_those_of_finite_differences():
    model = random_model()
    table = model.layers[1]
    points = keras.Input((LENGTH, 16))
    x = points
    x = x + model.layers[2](x, x, use_causal_mask=True)
    norm, wide, narrow, top = [v for v in model.layers if v.name.startswith(
        ("layer_normalization", "dense"))]
    head = keras.Model(points, top(x + narrow(wide(norm(x)))))
    x = np.random.default_rng(0).integers(1, SYMBOLS, (1, LENGTH))
    target = Token(-2, 4, "log_probability")
    slopes = kx.finite_differences(head, target=target, signed=True, channel_axis=None)
    wanted = slopes(ops.convert_to_numpy(table(x)))["heatmap"].sum(-1)
    found = heatmap(kx.saliency(model, target=target, signed=True), x)
    np.testing.assert_allclose(found, wanted, atol=1e-2 * np.abs(wanted).max())  # float32


@pytest.mark.parametrize("builder", [b for b in BUILDERS if b is not kx.local_linear])
def test_the_end_of_a_text_is_where_padding_begins(builder):
    model, x = random_model(mask=True, length=None), np.array([[3, 7, 2, 5], [4, 6, 0, 0]])

    def give(x):
        return {"ids": x, "seen": (x != 0).astype("int32")}

    for target in (Token(-1), Token(-2, [3, 4])):
        found = heatmap(builder(model, target=target), give(x))
        for row in (0, 1):
            alone = x[row : row + 1, : (x[row] != 0).sum()]
            wanted = heatmap(builder(model, target=target), give(alone))[0]
            np.testing.assert_allclose(found[row, : len(wanted)], wanted, atol=1e-5)
            assert not found[row, len(wanted):].any()


def test_a_text_without_the_position_is_refused():
    model, x = random_model(mask="zero"), np.zeros((2, LENGTH), "int32")
    x[0, :4], x[1, :2] = 3, 5
    told = {"ids": x, "seen": (x != 0).astype("int32")}
    for target in (Token(-3), Token(2, 1), Token(1, [1, 2])):
        explained = kx.saliency(random_model(mask=True), target=target)
        with pytest.raises(ValueError, match="position.*1 of 2 that have padding there"):
            explained.predict(told, verbose=0)
    for target in (Token(2, 1), Token(1, [1, 2])):
        with pytest.raises(ValueError, match="position.*1 of 2 that have padding there"):
            kx.saliency(model, target=target).predict(x, verbose=0)
    with pytest.raises(ValueError, match="2 of 2 that have padding there"):
        kx.saliency(model, target=Token(-1)).predict(x, verbose=0)


def test_it_is_saved(tmp_path):
    model, x = random_model(), np.random.default_rng(0).integers(1, SYMBOLS, (2, LENGTH))
    np.save(tmp_path / "x.npy", x)
    maps = {}
    for builder in (kx.local_linear, kx.occlusion, kx.saliency):
        for name, target in (("answer", Token(-2, [3, 4])), ("top", Token(4))):
            explained = builder(model, target=target)
            maps[f"{builder.__name__}_{name}"] = heatmap(explained, x)
            explained.save(tmp_path / f"{builder.__name__}_{name}.keras")
    load_elsewhere(tmp_path, maps, "import keras, keras_explain")
    for name, wanted in maps.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), wanted, atol=1e-5)


def test_configurations_come_back():
    for target in (Token(-1), Token(2, 5, "log_probability"), Token(-2, [1, 2]),
                   Token(np.int64(1), np.array([4]))):
        config = keras.saving.serialize_keras_object(target)
        assert keras.saving.deserialize_keras_object(config) == target
    assert Token(-2, [1, 2]) == Token(-2, (1, 2)) and str(Token(-1)) == "top token at position -1"


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch exports no SavedModel")
def test_it_is_exported(tmp_path):
    import tensorflow as tf

    x = np.random.default_rng(0).integers(1, SYMBOLS, (2, LENGTH)).astype("int32")
    explained = kx.saliency(random_model(), target=Token(-1))
    kx.export(explained, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    out = served.signatures["explain"](tf.constant(x))
    np.testing.assert_allclose(out["heatmap"], heatmap(explained, x), atol=1e-5)


def test_a_callback_logs_it(tmp_path):
    x = np.random.default_rng(0).integers(1, SYMBOLS, (8, LENGTH))
    model = random_model()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = kx.callbacks.ExplanationCallback(
        functools.partial(kx.local_linear, target=Token(-1)), x[:2], log_dir=str(tmp_path))
    model.fit(x, np.roll(x, -1, 1), epochs=1, verbose=0, callbacks=[callback])
    assert list(tmp_path.rglob("events*"))


@pytest.mark.parametrize("target, error, message", [
    (lambda: Token(0.5), TypeError, "`position` to be an integer"),
    (lambda: Token(True), TypeError, "`position` to be an integer"),
    (lambda: Token(0, "the"), TypeError, "received position=0 and id='the'.*token_to_id"),
    (lambda: Token(0, -1), ValueError, "`id` to be a number from 0"),
    (lambda: Token(0, []), ValueError, "`id` to be a number from 0"),
    (lambda: Token(-1, [3, 4]), ValueError, "answer of 2 tokens to end within the text.*-2"),
    (lambda: Token(0, 1, "probability"), ValueError, "`score` to be one of"),
    (lambda: Token(0, SYMBOLS), ValueError, "ids from 0 to 11.*received 12"),
    (lambda: Token(LENGTH, 1), ValueError, "positions from -8 to 7.*received 8"),
    (lambda: Token(LENGTH - 1, [1, 2]), ValueError, "received 7 for an answer of 2 tokens"),
    (lambda: Token(-LENGTH - 1), ValueError, "positions from -8 to 7.*received -9"),
])
def test_errors_before_anything_is_computed(target, error, message):
    model = random_model()
    for builder in (kx.saliency, kx.local_linear, kx.occlusion):
        with pytest.raises(error, match=message):
            builder(model, target=target())


def test_positions_of_texts_of_any_length_are_checked_when_there_is_one():
    explained = kx.saliency(random_model(length=None), target=Token(6, 1))
    assert explained.predict(np.ones((1, 7), int), verbose=0)["heatmap"].shape == (1, 7)
    with pytest.raises(ValueError, match="positions from -4 to 3.*received 6"):
        explained(np.ones((1, 4), int))


def test_models_that_say_no_token():
    classifier = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="logits for each position.*received one of shape"):
        kx.saliency(classifier, target=Token(-1))
    with pytest.raises(ValueError, match='score="logit".*received \'log_probability\''):
        kx.local_linear(random_model(), target=Token(-1, score="log_probability"))


def test_attention_to_the_past_is_held_at_any_length():
    """Keras makes the causal mask of numbers that a text of free length has only when it comes."""
    model, x = random_model(length=None), np.array([[3, 7, 2, 5, 1], [4, 6, 2, 8, 9]])
    out = run(kx.local_linear(model, target=Token(-2, 3)), x)
    np.testing.assert_allclose(out["heatmap"].sum(1) + out["remainder"], run(model, x)[:, -2, 3],
                               atol=1e-4)
    assert out["heatmap"][:, :4].all() and not out["heatmap"][:, 4:].any()


def letters_and_mask(texts):
    """Ids of the letters of texts, and where they are."""
    ids = np.zeros((len(texts), LENGTH), "int32")
    for row, text in zip(ids, texts, strict=True):
        found = [ord(c) - 96 for c in text if c != " "]
        row[: len(found)] = found
    return {"ids": ids, "seen": (ids > 0).astype("int32")}


@pytest.mark.parametrize("target", [Token(-1), Token(-2, 5), Token(-2, [4, 1]),
                                    Token(-1, 3, "log_probability")], ids=str)
@pytest.mark.parametrize("options", [{}, {"kernel": "shapley"}], ids=["lime", "shapley"])
def test_lime_for_texts_is_that_of_the_score_at_the_end(target, options):
    """The end moves with the words that are left out; the likeliest token is the whole text's."""
    model, text = random_model(mask=True), "f b a d h c"
    logits = run(model, letters_and_mask([text]))[0, 5]
    ids = target.ids or (int(logits.argmax()),)

    def score(texts):
        given, found = letters_and_mask(texts), np.zeros(len(texts))
        rows = run(model, given)
        for i, count in enumerate(given["seen"].sum(axis=1)):
            if count < -target.position:
                found[i] = np.nan
                continue
            for k, token in enumerate(ids):
                z = rows[i, count + target.position + k].astype("float64")
                z = z - np.log(np.exp(z).sum()) if target.score != "logit" else z
                found[i] += z[token]
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kx.lime.LimeWarning)
        explained = kx.LimeTextExplainer(model, tokenizer=letters_and_mask, baseline="j", **options)
        found = explained.explain(text, target=target, verbose=0)
        wanted = kx.LimeTextExplainer(score, baseline="j", class_names=["score"],
                                      **options).explain(text, verbose=0)
    np.testing.assert_allclose(found.weights, wanted.weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.prediction, wanted.prediction, rtol=1e-4)
    assert found.class_names == (str(target),)
    assert found.weights.any()


def test_lime_for_texts_leaves_out_texts_that_end_too_early():
    explainer = kx.LimeTextExplainer(random_model(mask=True), tokenizer=letters_and_mask)
    with pytest.warns(kx.lime.LimeWarning, match="the empty text.*which the explanation leaves"):
        assert explainer.explain("f b a d", target=Token(-1, 3), verbose=0).weights.any()


def test_lime_for_texts_needs_to_know_the_end():
    """Words that are left out move the others."""
    with pytest.raises(ValueError, match="which tells where a text ends.*received 'score'"):
        def score(texts):
            return np.ones((len(texts), 4, 3))
        kx.LimeTextExplainer(score).explain("a b", target=Token(-1))
    explainer = kx.LimeTextExplainer(random_model(mask=True), tokenizer=letters_and_mask)
    with pytest.raises(ValueError, match=r"Count from the end, as Token\(-1\) does"):
        explainer.explain("a b", target=Token(1))
    with pytest.raises(ValueError, match="received .*8, 12.*pass a `target`"):
        explainer.explain("a b")
