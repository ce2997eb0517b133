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
