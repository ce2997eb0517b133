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
    np.testing.assert_allclose(found["gradient_x_input"], share * real, atol=1e-6)
    signed = keras.ops.convert_to_numpy(kx.saliency(model, signed=True)(IDS)["heatmap"])
    np.testing.assert_allclose(signed, WEIGHTS.sum() * real, rtol=1e-5, atol=1e-6)
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


# What is a token ------------------------------------------------------------------------------


def numbers(x):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, x)


def test_a_sequential_without_input_takes_tokens_although_its_input_is_float():
    model = keras.Sequential([layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3),
                              layers.Dense(1, activation="sigmoid")])
    model(IDS)
    assert model.inputs[0].dtype == "float32"
    twin = keras.Sequential([keras.Input((6,), dtype="int32"), *model.layers])
    for builder in (*BUILDERS, kx.smooth_grad, kx.occlusion, kx.rise):
        found, wanted = (numbers(builder(m)(IDS)["heatmap"]) for m in (model, twin))
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    drops = [numbers(model(IDS))[:, 0] - numbers(model(np.where(np.arange(6) == i, 0, IDS)))[:, 0]
             for i in range(6)]
    found = kx.occlusion(model, target=1, score="probability", baseline="zero")(IDS)["heatmap"]
    np.testing.assert_allclose(numbers(found), np.stack(drops, 1) * (IDS != 0), atol=1e-6)



def test_a_table_for_each_column():
    """A sum over columns of row . weights: each column's share is its own table's."""
    inputs = keras.Input((3,), dtype="int32")
    tables = [layers.Embedding(9, 4, name=f"table{k}") for k in range(3)]
    weights = layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, weights(layers.Concatenate()(
        [table(inputs[:, k]) for k, table in enumerate(tables)])))
    kernel = numbers(weights.kernel).reshape(3, 4)
    ids = IDS[:, :3]
    shares = np.stack([numbers(t.embeddings)[ids[:, k]] @ kernel[k]
                       for k, t in enumerate(tables)], axis=1)
    found = kx.saliency(model)(ids)["heatmap"]
    np.testing.assert_allclose(numbers(found), np.tile(np.linalg.norm(kernel, axis=1), (3, 1)),
                               rtol=1e-5)
    np.testing.assert_allclose(numbers(kx.gradient_x_input(model)(ids)["heatmap"]), shares,
                               atol=1e-6)
    out = numbers(kx.integrated_gradients(model)(ids))
    np.testing.assert_allclose(out["heatmap"], shares, atol=1e-6)
    np.testing.assert_allclose(out["heatmap"].sum(1), out["predictions"][:, 0], atol=1e-6)
    assert np.abs(out["completeness_gap"]).max() < 1e-6


def test_wide_and_deep_tables_of_one_input_are_added():
    inputs = keras.Input((6,), dtype="int32")
    wide, deep = layers.Embedding(9, 1), layers.Embedding(9, 4)
    top = layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, top(keras.ops.sum(layers.Concatenate()(
        [wide(inputs), deep(inputs)]), axis=1)))
    rows = np.concatenate([numbers(wide.embeddings), numbers(deep.embeddings)], axis=1)
    kernel = numbers(top.kernel)[:, 0]
    found = {b.__name__: numbers(b(model)(IDS)["heatmap"]) for b in BUILDERS}
    np.testing.assert_allclose(found["saliency"], np.full(IDS.shape, np.linalg.norm(kernel)),
                               rtol=1e-5)
    for name in ("gradient_x_input", "integrated_gradients"):
        np.testing.assert_allclose(found[name], (rows @ kernel)[IDS], atol=1e-6)


@pytest.mark.parametrize("move", ["reversed", "reshaped", "first half", "offset"])
def test_a_score_belongs_to_the_token_it_was_looked_up_by(move):
    inputs = keras.Input((6,), dtype="int32")
    moved = {"reversed": lambda x: keras.ops.flip(x, axis=1), "offset": lambda x: x + 1,
             "reshaped": lambda x: keras.ops.reshape(x, (-1, 3, 2)),
             "first half": lambda x: x[:, :3]}[move]
    y = layers.Flatten()(layers.Embedding(10, 4)(moved(inputs)))
    model = keras.Model(inputs, layers.Dense(1)(y))
    rows, kernel = numbers(model.layers[-3].embeddings), numbers(model.layers[-1].kernel)
    looked_up = numbers(moved(IDS))
    shares = (rows[looked_up].reshape(3, -1, 4) * kernel.reshape(-1, 4)).sum(-1)
    wanted = {"reversed": shares[:, ::-1], "reshaped": shares, "offset": shares,
              "first half": np.pad(shares, ((0, 0), (0, 3)))}[move]
    found = numbers(kx.gradient_x_input(model)(IDS)["heatmap"])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_moved_tokens_of_any_length_are_refused():
    inputs = keras.Input((None,), dtype="int32")
    y = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(inputs[:, 1:]))
    with pytest.raises(ValueError, match="looked up in their own order.*fixed length"):
        kx.saliency(keras.Model(inputs, layers.Dense(1)(y)))


def test_words_of_sentences():
    """Ids of rank 3: a score for each word of each sentence."""
    inputs = keras.Input((2, 3), dtype="int32")
    table = layers.Embedding(9, 4, mask_zero=True)
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(
        keras.ops.sum(table(inputs), axis=(1, 2))))
    ids = IDS.reshape(3, 2, 3)
    share = (numbers(table.embeddings) @ numbers(model.layers[-1].kernel))[ids, 0] * (ids != 0)
    explained = kx.gradient_x_input(model)
    assert explained.output["heatmap"].shape == (None, 2, 3)
    np.testing.assert_allclose(numbers(explained(ids)["heatmap"]), share, atol=1e-6)
    assert kx.occlusion(model, patch_size=1, stride=1)(ids)["heatmap"].shape == (3, 2, 3)


class OwnTable(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=(9, 4), name="table")

    def call(self, x):
        return keras.ops.take(self.table, x, axis=0)


class TokenAndPosition(layers.Layer):
    """As in many tutorials: positions are numbers that a second Embedding looks up."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = layers.Embedding(9, 4), layers.Embedding(6, 4)

    def call(self, x):
        return self.tokens(x) + self.positions(keras.ops.arange(0, keras.ops.shape(x)[-1], 1))


@pytest.mark.parametrize("embed", [OwnTable, TokenAndPosition])
def test_embeddings_of_the_users(embed):
    inputs = keras.Input((6,), dtype="int32")
    layer = embed()
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(layers.Flatten()(layer(inputs))))
    kernel = numbers(model.layers[-1].kernel).reshape(6, 4)
    table = numbers(layer.table if embed is OwnTable else layer.tokens.embeddings)
    found = numbers(kx.gradient_x_input(model)(IDS)["heatmap"])
    np.testing.assert_allclose(found, (table[IDS] * kernel).sum(-1), atol=1e-6)
    np.testing.assert_allclose(numbers(kx.saliency(model)(IDS)["heatmap"]),
                               np.tile(np.linalg.norm(kernel, axis=1), (3, 1)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_numbers_and_codes_in_one_table(dtype):
    inputs = keras.Input((3,), dtype=dtype)
    table = layers.Embedding(9, 4)
    y = layers.Concatenate()([keras.ops.cast(inputs[:, :2], "float32"), table(inputs[:, 2])])
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(y))
    kernel, x = numbers(model.layers[-1].kernel)[:, 0], np.array([[3, -2, 7]], dtype)
    wanted = [3 * kernel[0], -2 * kernel[1], numbers(table.embeddings)[7] @ kernel[2:]]
    for explained in (kx.gradient_x_input(model), kx.integrated_gradients(model, baseline="zero")):
        np.testing.assert_allclose(numbers(explained(x)["heatmap"])[0], wanted, atol=1e-5)


@pytest.mark.parametrize("builder", [kx.saliency, kx.integrated_gradients, kx.occlusion])
def test_masks_and_segments_beside_tokens_get_no_map(builder):
    ids, mask, segments = (keras.Input((6,), dtype="int32", name=n)
                           for n in ("ids", "mask", "segments"))
    y = layers.Embedding(9, 4)(ids) + layers.Embedding(2, 4)(segments)
    y = layers.MultiHeadAttention(1, 4)(y, y, attention_mask=keras.ops.cast(mask[:, None], "bool"))
    model = keras.Model({"ids": ids, "mask": mask, "segments": segments}, layers.Dense(2)(y[:, 0]))
    x = {"ids": IDS, "mask": (IDS != 0) + 0, "segments": np.zeros_like(IDS)}
    assert builder(model)(x)["heatmap"].shape == (3, 6)
    assert builder(model, input="segments")(x)["heatmap"].shape == (3, 6)


def test_several_columns_of_one_table_each_get_a_map():
    """As for structured data: an input and a table for each category."""
    a, b = (keras.Input((1,), dtype="int32", name=n) for n in "ab")
    y = layers.Concatenate()([layers.Flatten()(layers.Embedding(n, 4)(x))
                              for x, n in ((a, 9), (b, 2))])
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(y))
    found = kx.saliency(model)({"a": IDS[:, :1], "b": IDS[:, :1] % 2})["heatmap"]
    assert set(found) == {"a", "b"}


@pytest.mark.parametrize("first", [2, 1])
def test_two_inputs_of_one_lookup(first):
    a, b = (keras.Input((n,), dtype="int32", name=name)
            for n, name in ((first, "a"), (6 - first, "b")))
    table = layers.Embedding(9, 4)
    y = layers.Flatten()(table(layers.Concatenate()([a, b])))
    model = keras.Model([a, b], layers.Dense(1, use_bias=False)(y))
    kernel = numbers(model.layers[-1].kernel).reshape(6, 4)
    share = (numbers(table.embeddings)[IDS] * kernel).sum(-1)
    found = kx.gradient_x_input(model)([IDS[:, :first], IDS[:, first:]])["heatmap"]
    np.testing.assert_allclose(numbers(found[0]), share[:, :first], atol=1e-6)
    np.testing.assert_allclose(numbers(found[1]), share[:, first:], atol=1e-6)


def test_columns_of_one_number_in_one_lookup():
    columns = [keras.Input((1,), dtype="int32", name=name) for name in "abc"]
    table = layers.Embedding(9, 4)
    y = layers.Flatten()(table(layers.Concatenate()(columns)))
    model = keras.Model(columns, layers.Dense(1, use_bias=False)(y))
    kernel = numbers(model.layers[-1].kernel).reshape(3, 4)
    share = (numbers(table.embeddings)[IDS[:, :3]] * kernel).sum(-1)
    found = kx.gradient_x_input(model)([IDS[:, i : i + 1] for i in range(3)])["heatmap"]
    for i in range(3):
        np.testing.assert_allclose(numbers(found[i]).reshape(-1), share[:, i], atol=1e-6)
