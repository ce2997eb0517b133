import warnings

import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx


def test_is_the_finite_difference_times_the_pixel():
    _, twin = by_hand.network()
    batch = by_hand.images()
    wanted = []
    for image in batch:
        index = twin.top_class(image)
        slope = by_hand.gradient(lambda x, index=index: twin.logits(x)[index], image)
        wanted.append((slope * image).sum(axis=-1))
    by_hand.close(by_hand.explain(kx.gradient_x_input, batch), np.stack(wanted))


def test_tokens_are_explained_at_their_embedding():
    """A linear model of the embeddings: each token's share of the logit is known."""
    inputs = keras.Input((6,), dtype="int32")
    embedded = layers.Embedding(10, 4, name="embedding")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="top")(layers.Flatten()(embedded)))
    tokens = np.array([[1, 2, 3, 4, 5, 0], [9, 9, 1, 1, 2, 2]], "int32")
    vectors = ops.convert_to_numpy(model.get_layer("embedding").embeddings)[tokens]
    kernel = ops.convert_to_numpy(model.get_layer("top").kernel)[:, 1].reshape(6, 4)
    found = kx.gradient_x_input(model, target=1)(tokens)["heatmap"]
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), (vectors * kernel).sum(axis=-1), atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda x: layers.MultiHeadAttention(2, 3, name="gated")(x, x),
    lambda x: layers.LayerNormalization(name="gated")(x),
    lambda x: layers.RMSNormalization(name="gated")(x),
])
def test_models_with_attention_or_normalization_are_sent_to_local_linear(make):
    x = keras.Input((5, 6))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(make(x))))
    with pytest.warns(UserWarning, match="'gated' multiplies .* Use `local_linear`"):
        kx.gradient_x_input(model)


def test_other_models_are_not_warned_about():
    x = keras.Input((8, 8, 3))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))
    model = keras.Model(x, layers.Dense(2, "softmax")(layers.Flatten()(y)))
    tokens = keras.Input((5,), dtype="int32")
    z = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(tokens))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        kx.gradient_x_input(model)
        kx.gradient_x_input(keras.Model(tokens, layers.Dense(2, "softmax")(z)))
