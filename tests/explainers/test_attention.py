"""Attention weights against those that layers give themselves, rollout by hand."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from running import run

import keras_explain as kx
from keras_explain.explainers.attention import AttentionWarning

LENGTH, WORDS = 6, 20


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttentionWarning)
        yield


class Own(layers.Layer):
    """Attention of the user's, written in `ops`, one head."""

    def build(self, shape):
        self.query, self.key = (layers.Dense(4, name=n) for n in ("query", "key"))
        self.query.build(shape)
        self.key.build(shape)

    def scores(self, x):
        return ops.softmax(ops.matmul(self.query(x), ops.swapaxes(self.key(x), 1, 2)))

    def call(self, x):
        return ops.matmul(self.scores(x), x)


def ask(layer, x):
    """A layer's own weights (N, heads, T, T)."""
    if isinstance(layer, Own):
        return ops.expand_dims(layer.scores(x), 1)
    if isinstance(layer, layers.Attention):
        return ops.expand_dims(layer([x, x], return_attention_scores=True)[1], 1)
    return layer(x, x, return_attention_scores=True)[1]


KINDS = {
    "fused": lambda: layers.MultiHeadAttention(2, 4),
    "not_fused": lambda: layers.MultiHeadAttention(2, 4, dropout=0.1),
    "grouped": lambda: layers.GroupQueryAttention(4, 4, 2),
    "plain": layers.Attention,
    "own": Own,
}


def transformer(kind, read=lambda x: x[:, 0], masked=False):
    """Two layers of attention; the model, and each layer with the model of what it takes."""
    keras.utils.set_random_seed(0)
    ids, taken = keras.Input((LENGTH,), dtype="int32"), []
    x = layers.Embedding(WORDS, 8, mask_zero=masked)(ids)
    for _ in range(2):
        layer = KINDS[kind]()
        taken.append((layer, keras.Model(ids, x)))
        y = layer([x, x]) if kind == "plain" else layer(x) if kind == "own" else layer(x, x)
        x = layers.LayerNormalization()(x + y)
    model = keras.Model(ids, layers.Dense(2)(read(x)))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(0, 0.6, v.shape))
    return model, taken


def tokens(masked=False):
    ids = np.random.default_rng(1).integers(1, WORDS, (3, LENGTH))
    if masked:
        ids[0, 4:] = 0
    return ids.astype("int32")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_the_layers(kind, masked):
    if kind == "own" and masked:
        pytest.skip("it takes no mask")
    model, taken = transformer(kind, masked=masked)
    ids = tokens(masked)
    found = run(kx.attention(model), ids)
    np.testing.assert_allclose(found["predictions"], run(model, ids), atol=1e-5)
    real = (ids != 0)[:, None, :, None]  # what padding attends to is nobody's business
    for k, (layer, before) in enumerate(taken):
        own = ops.convert_to_numpy(ask(layer, before(ids)))
        np.testing.assert_allclose(found["attention"][:, k] * real, own * real, atol=1e-5)
        sums = found["attention"][:, k].sum(axis=-1)
        np.testing.assert_allclose(sums * real[..., 0], 1.0 * real[..., 0] + 0 * sums, atol=1e-5)


@keras.saving.register_keras_serializable("attention")
class Sized(layers.Layer):
    """A block of a decoder, which asks for sizes that a graph does not know."""

    def __init__(self, dropout=0.0, **options):
        super().__init__(**options)
        self.dropout = dropout

    def build(self, shape):
        self.attention = layers.MultiHeadAttention(2, 4, dropout=self.dropout)
        self.attention.build(shape, shape)

    def call(self, x):
        return x + self.attention(x, x, attention_mask=self.mask(x))

    def mask(self, x):
        place = ops.arange(ops.shape(x)[1])
        return ops.expand_dims(place[:, None] >= place[None, :], 0)

    def ask(self, x):
        return self.attention(x, x, attention_mask=self.mask(x), return_attention_scores=True)[1]

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout}


@pytest.mark.parametrize("dropout", [0.0, 0.1])  # fused or not
def test_layers_that_cannot_be_traced_are_looked_into_while_they_run(dropout, tmp_path):
    ids, blocks = keras.Input((None,), dtype="int32"), [Sized(dropout), Sized(dropout)]
    x = layers.Embedding(WORDS, 8)(ids)
    before = [keras.Model(ids, x)]
    x = blocks[0](x)
    before.append(keras.Model(ids, x))
    model = keras.Model(ids, layers.Dense(2)(blocks[1](x)[:, -1]))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(0, 0.6, v.shape))
    explained = kx.attention(model)
    assert len(explained.explainer.paths) == 2
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    for length in (5, 7):
        given = rng.integers(1, WORDS, (3, length)).astype("int32")
        found = explained.predict(given, verbose=0)
        np.testing.assert_allclose(found["predictions"], run(model, given), atol=1e-5)
        for k, block in enumerate(blocks):
            own = ops.convert_to_numpy(block.ask(ops.convert_to_tensor(run(before[k], given))))
            np.testing.assert_allclose(found["attention"][:, k], own, atol=1e-5)
        mixed = 0.5 * found["attention"].mean(axis=2) + 0.5 * np.eye(length)
        np.testing.assert_allclose(
            found["heatmap"], (mixed[:, 1] @ mixed[:, 0])[:, -1], atol=1e-5)
        np.testing.assert_allclose(again.predict(given, verbose=0)["attention"],
                                   found["attention"], atol=1e-6)


def translator():
    """An encoder, and a decoder that reads it twice, with masks beside the tokens."""
    names = "source", "target", "padding"
    given = {n: keras.Input((LENGTH,), dtype="int32", name=n) for n in names}
    attend, taken = [], []

    def mix(x, y):
        attend.append(layers.MultiHeadAttention(2, 4))
        taken.append(keras.Model(given, [x, y]))
        mask = ops.cast(given["padding"], "bool")[:, None, :] if y is encoded[-1] else None
        return x + attend[-1](x, y, attention_mask=mask)

    encoded = [layers.Embedding(WORDS, 8)(given["source"])]
    encoded.append(mix(encoded[0], encoded[0]))
    x = layers.Embedding(WORDS, 8)(given["target"])
    for _ in range(2):
        x = mix(x, x)
        x = mix(x, encoded[-1])
    model = keras.Model(given, layers.Dense(2)(x[:, 1]))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(0, 0.6, v.shape))
    return model, attend, taken


def test_rollout_follows_an_encoder_into_its_decoder():
    model, attend, taken = translator()
    rng = np.random.default_rng(1)
    given = {n: rng.integers(1, WORDS, (3, LENGTH)).astype("int32") for n in ("source", "target")}
    given["padding"] = np.ones((3, LENGTH), "int32")
    given["padding"][0, 4:] = 0
    own = []
    for layer, before in zip(attend, taken, strict=True):
        x, y = run(before, given)
        mask = given["padding"][:, None, :].astype(bool) if len(own) in (0, 2, 4) else None
        own.append(ops.convert_to_numpy(layer(
            x, y, attention_mask=mask, return_attention_scores=True)[1]))
    own = [one.mean(axis=1) for one in own]
    eye = np.eye(LENGTH)
    encoder, first, cross, second, last = own
    source = 0.5 * (encoder + eye)
    carried = 0.5 * cross @ source
    carried = 0.5 * (second + eye) @ carried
    carried = 0.5 * carried + 0.5 * last @ source
    found = run(kx.attention(model, input="source"), given)
    np.testing.assert_allclose(found["heatmap"], carried[:, 1], atol=1e-5)
    np.testing.assert_allclose(found["attention"].mean(axis=2), encoder[:, None], atol=1e-5)
    assert not found["heatmap"][0, 4:].any()
    target = 0.5 * 0.5 * (0.5 * (second + eye)) @ (0.5 * (first + eye))
    found = run(kx.attention(model, input="target"), given)
    np.testing.assert_allclose(found["heatmap"], target[:, 1], atol=1e-5)
    np.testing.assert_allclose(found["attention"].mean(axis=2), np.stack([first, second], 1),
                               atol=1e-5)
    with pytest.raises(ValueError, match=r"Name one of \['source', 'target'\]"):
        kx.attention(model)


def test_the_attention_of_another_tower_is_left_out():
    x, y = keras.Input((LENGTH, 8), name="x"), keras.Input((LENGTH, 8), name="y")
    a, b = layers.MultiHeadAttention(2, 4), layers.MultiHeadAttention(2, 4)
    both = ops.concatenate([(x + a(x, x))[:, 0], (y + b(y, y))[:, 0]], axis=-1)
    model = keras.Model([x, y], layers.Dense(2)(both))
    given = list(np.random.default_rng(0).normal(size=(2, 3, LENGTH, 8)).astype("float32"))
    for name, layer, one in (("x", a, given[0]), ("y", b, given[1])):
        found = run(kx.attention(model, input=name), given)
        own = ops.convert_to_numpy(layer(one, one, return_attention_scores=True)[1])
        np.testing.assert_allclose(found["attention"], own[:, None], atol=1e-5)
        np.testing.assert_allclose(
            found["heatmap"], 0.5 * (own.mean(axis=1) + np.eye(LENGTH))[:, 0], atol=1e-5)


@pytest.mark.parametrize("name, read, rows", [
    ("first", lambda x: x[:, 0], [0]), ("mean", lambda x: ops.mean(x, axis=1), range(LENGTH)),
    ("two", lambda x: ops.mean(x[:, 1:3], axis=1), [1, 2])])
def test_rollout_follows_the_tokens_that_the_score_reads(name, read, rows):
    model, _ = transformer("fused", read)
    found = run(kx.attention(model), tokens())
    mixed = 0.5 * found["attention"].mean(axis=2) + 0.5 * np.eye(LENGTH)
    wanted = (mixed[:, 1] @ mixed[:, 0])[:, list(rows)].mean(axis=1)
    np.testing.assert_allclose(found["heatmap"], wanted, atol=1e-5)
    np.testing.assert_allclose(found["heatmap"].sum(axis=1), 1, atol=1e-5)


def test_padding_gets_nothing():
    model, _ = transformer("fused", lambda x: layers.GlobalAveragePooling1D()(x), masked=True)
    found = run(kx.attention(model), tokens(True))["heatmap"]
    assert not found[0, 4:].any() and found[0, :4].all() and found[1].all()


def picture_model(front=1, crop=0):
    """A small ViT with `front` tokens before those of the patches, which looks at bright ones."""
    x = keras.Input((16, 24, 1))
    y = layers.Cropping2D(((crop, 0), (0, 0)))(x) if crop else x
    y = layers.Conv2D(2, 4, strides=4, kernel_initializer="ones", use_bias=False)(y)
    y = layers.Reshape((-1, 2))(y)
    if front:
        y = ops.pad(y, ((0, 0), (front, 0), (0, 0)), constant_values=1.0)
    attention = layers.MultiHeadAttention(1, 2, use_bias=False)
    y = y + attention(y, y)
    model = keras.Model(x, layers.Dense(2)(y[:, 0]))
    for v in attention.trainable_variables[:2]:  # query and key: bright looks at bright
        v.assign(np.full(v.shape, 0.5, "float32"))
    return model


@pytest.mark.parametrize("front, crop", [(1, 0), (3, 0), (0, 0), (1, 4)])
def test_a_picture_is_lit_where_the_model_looks(front, crop):
    x = np.zeros((2, 16, 24, 1), "float32")
    x[0, 8:12, 16:20], x[1, 4:8, 0:4] = 1, 1
    if not front:  # then the first patch reads
        x[:, crop : crop + 4, :4] = 0.3
    found = run(kx.attention(picture_model(front, crop)), x)
    assert found["heatmap"].shape == (2, 16, 24)
    for one, (row, column) in zip(found["heatmap"], ((9.5, 17.5), (5.5, 1.5)), strict=True):
        if not front:
            one = one.copy()
            one[:4, :4] = 0
        places = np.argwhere(one > 0.9 * one.max()).mean(axis=0)
        np.testing.assert_allclose(places, (row, column), atol=1.6)


def test_it_is_saved_and_loaded(tmp_path):
    model, _ = transformer("fused")
    explained = kx.attention(model, target=1)
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    for name, x in run(explained, tokens()).items():
        np.testing.assert_allclose(run(again, tokens())[name], x, atol=1e-6)
    assert len(again.explainer.paths) == 2


def test_what_it_is_worth_is_said():
    model, _ = transformer("plain")
    with pytest.warns(AttentionWarning, match="hardly better than chance"):
        kx.attention(model)


def test_models_without_attention_are_refused():
    x = keras.Input((8,))
    gated = layers.Dense(4)(x) * layers.Dense(4, activation="softmax")(x)
    with pytest.raises(ValueError, match="none was found.*Use `local_linear`"):
        kx.attention(keras.Model(x, layers.Dense(2)(gated)))


def test_layers_that_differ_are_refused():
    x = y = keras.Input((LENGTH, 8))
    for heads in (2, 4):
        y = y + layers.MultiHeadAttention(heads, 4)(y, y)
    with pytest.raises(ValueError, match=r"as many heads.*\[\(2, 6, 6\), \(4, 6, 6\)\]"):
        kx.attention(keras.Model(x, layers.Dense(2)(y[:, 0])))
