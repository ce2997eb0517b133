"""Gradients on token models: closed form, padding, masks, strings inside the model."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx

BUILDERS = [kx.saliency, kx.gradient_x_input, kx.integrated_gradients]
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
TABLE = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
WEIGHTS = np.random.default_rng(1).normal(size=(4, 1)).astype("float32")
IDS = np.array([[3, 5, 5, 1, 0, 0], [7, 0, 0, 0, 0, 0], [8, 1, 2, 3, 4, 5]])


def summed(mask_zero, length=6):
    """A linear model of the embeddings: the sum over tokens of embedding . weights."""
    ids = keras.Input((length,), dtype="int32")
    embedding = layers.Embedding(9, 4, mask_zero=mask_zero, name="words")
    x = embedding(ids)
    x = keras.ops.sum(layers.Dense(1, use_bias=False, name="weights")(x), axis=1)
    model = keras.Model(ids, x)
    model.get_layer("words").embeddings.assign(TABLE)
    model.get_layer("weights").kernel.assign(WEIGHTS)
    return model


def vectorizer():
    layer = layers.TextVectorization(output_sequence_length=6)
    layer.adapt(["a good film", "a bad film", "not good"])
    return layer


@pytest.mark.parametrize("mask_zero", [True, False])
def test_closed_forms(mask_zero):
    model, real = summed(mask_zero), np.ones(IDS.shape) if not mask_zero else IDS != 0
    share = (TABLE @ WEIGHTS)[IDS, 0]
    found = {b.__name__: keras.ops.convert_to_numpy(b(model)(IDS)["heatmap"]) for b in BUILDERS}
    np.testing.assert_allclose(found["saliency"], np.linalg.norm(WEIGHTS) * real, rtol=1e-6)
    np.testing.assert_allclose(found["gradient_x_input"], share * real, rtol=1e-5)
    signed = keras.ops.convert_to_numpy(kx.saliency(model, signed=True)(IDS)["heatmap"])
    np.testing.assert_allclose(signed, WEIGHTS.sum() * real, rtol=1e-5)
    # Along the way to the embedding of nothing, which is zero, a linear model keeps its slope.
    zero = kx.integrated_gradients(model, baseline="zero")(IDS)["heatmap"]
    np.testing.assert_allclose(zero, (share - _at_baseline(model)) * real, rtol=1e-4, atol=1e-5)


def _at_baseline(model):
    """What one token contributes at the baseline: embedding 0, or the embedding of token 0."""
    contribution = kx.integrated_gradients(model, baseline="zero")(np.zeros((1, 6), "int32") + 8)
    share = keras.ops.convert_to_numpy(contribution["heatmap"])[0, 0]
    return (TABLE @ WEIGHTS)[8, 0] - share


@pytest.mark.parametrize("builder", BUILDERS)
def test_padding_is_zero_and_changes_nothing(builder):
    """A network that ignores masked steps: more padding leaves the tokens' scores as they are."""
    keras.utils.set_random_seed(3)
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(ids)
    model = keras.Model(ids, layers.Dense(2)(layers.LSTM(3)(x)))
    short = keras.ops.convert_to_numpy(builder(model, target=0)(IDS[:2])["heatmap"])
    assert (short[IDS[:2] == 0] == 0).all() and (short[IDS[:2] != 0] != 0).all()
    longer = np.pad(IDS[:2], ((0, 0), (0, 3)))
    long = keras.ops.convert_to_numpy(builder(model, target=0)(longer)["heatmap"])
    np.testing.assert_allclose(long[:, :6], short, atol=1e-6)


def test_a_convolution_reads_padding_but_its_map_does_not_show_it():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,), dtype="int32"),
                              layers.Embedding(9, 4, mask_zero=True), layers.Conv1D(8, 3),
                              layers.GlobalAveragePooling1D(), layers.Dense(2)])
    found = keras.ops.convert_to_numpy(kx.saliency(model)(IDS)["heatmap"])
    assert ((found == 0) == (IDS == 0)).all()


def test_the_gradient_is_that_of_finite_differences():
    keras.utils.set_random_seed(0)
    ids = keras.Input((6,), dtype="int32")
    vectors = keras.Input((6, 4))
    head = keras.Model(vectors, layers.Dense(1)(layers.GlobalAveragePooling1D()(
        layers.Conv1D(5, 3, activation="tanh")(vectors))))
    embedding = layers.Embedding(9, 4)
    model = keras.Model(ids, head(embedding(ids)))
    points = keras.ops.convert_to_numpy(embedding(IDS))
    slopes = kx.finite_differences(head, signed=True, channel_axis=None)
    expected = np.linalg.norm(slopes(points)["heatmap"], axis=-1)
    found = keras.ops.convert_to_numpy(kx.saliency(model)(IDS)["heatmap"])
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


@pytest.mark.skipif(not ON_TENSORFLOW, reason="strings inside a model need TensorFlow")
@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("shape", [(), (1,)])
def test_strings_give_the_maps_of_their_ids(builder, shape, tmp_path):
    vectorize, model = vectorizer(), summed(mask_zero=False)
    inputs = keras.Input(shape, dtype="string")
    explained = builder(keras.Model(inputs, model(vectorize(inputs))))
    texts = np.array(["A good film!", "bad", "not a good film at all"]).reshape(3, *shape)
    ids = keras.ops.convert_to_numpy(vectorize(texts))
    expected = keras.ops.convert_to_numpy(builder(model)(ids)["heatmap"]) * (ids != 0)
    for given in (texts, texts.astype(object), keras.ops.convert_to_tensor(texts.tolist())):
        found = explained.predict(given, verbose=0)["heatmap"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert explained.output["heatmap"].shape == (None, 6)


@pytest.mark.skipif(ON_TENSORFLOW, reason="TensorFlow can")
def test_strings_on_another_backend_are_an_error():
    inputs = keras.Input((), dtype="string")
    x = layers.Embedding(9, 4)(vectorizer()(inputs))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalMaxPooling1D()(x)))
    with pytest.raises(ValueError, match="takes strings.*Run on TensorFlow"):
        kx.saliency(model)
