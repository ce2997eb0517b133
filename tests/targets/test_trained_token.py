"""A language model that has learnt to copy: the token that it copies leads."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.targets import Token

pytestmark = pytest.mark.slow
WORDS, LENGTH, MARK = 16, 6, 1  # words from 2 on are said, then the mark, then said again


def repeat(said):
    return np.concatenate([said, np.full((len(said), 1), MARK), said], axis=1).astype("int32")


@pytest.fixture(scope="module")
def copying():
    """A transformer of two blocks, trained on random texts to say again what it was told."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    place = ops.cumsum(ops.ones_like(ids), axis=1) - 1
    x = layers.Embedding(WORDS, 32)(ids) + layers.Embedding(2 * LENGTH, 32)(place)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 16)(y, y, use_causal_mask=True)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(32)(layers.Dense(64, activation="gelu")(y))
    model = keras.Model(ids, layers.Dense(WORDS)(layers.LayerNormalization()(x)))
    model.compile(keras.optimizers.Adam(5e-3),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    texts = repeat(np.random.default_rng(0).integers(2, WORDS, (9600, LENGTH)))
    weights = np.zeros((len(texts), 2 * LENGTH), "float32")
    weights[:, LENGTH:] = 1
    model.fit(texts[:, :-1], texts[:, 1:], sample_weight=weights, batch_size=64, verbose=0)
    return model


@pytest.mark.parametrize("builder", [kx.local_linear, kx.occlusion, kx.integrated_gradients])
def test_the_token_that_is_copied_leads(copying, builder):
    """Each of the words in turn, from texts in which all words differ."""
    rng = np.random.default_rng(1)
    texts = repeat(np.stack([rng.permutation(np.arange(2, WORDS))[:LENGTH] for _ in range(40)]))
    logits = copying.predict(texts[:, :-1], verbose=0)
    assert (logits.argmax(-1) == texts[:, 1:])[:, LENGTH:].mean() > 0.99
    right = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(LENGTH):
            given = texts[:, : LENGTH + 1 + k]  # the prompt ends where this word is to come
            out = builder(copying, target=Token(-1)).predict(given, verbose=0)
            right.append(out["heatmap"].argmax(axis=1) == k)
            if builder is kx.local_linear:
                top = logits[:, LENGTH + k].max(axis=-1)
                total = out["heatmap"].sum(axis=1) + out["remainder"]
                assert np.abs(total - top).max() < 1e-4 * np.ptp(logits)
    assert np.mean(right) >= 0.95


def test_an_answer_of_several_tokens_goes_back_to_all_of_them(copying):
    rng = np.random.default_rng(2)
    texts = repeat(np.stack([rng.permutation(np.arange(2, WORDS))[:LENGTH] for _ in range(10)]))
    right = []
    for said in texts:  # the second and third word together
        explained = kx.local_linear(copying, target=Token(LENGTH + 1, said[1:3].tolist()))
        found = explained.predict(said[None, :-1], verbose=0)["heatmap"][0]
        right.append(set(np.argsort(-found)[:2]) == {1, 2})
    assert np.mean(right) >= 0.95
