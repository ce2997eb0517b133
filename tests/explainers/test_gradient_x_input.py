import by_hand
import keras
import numpy as np
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
