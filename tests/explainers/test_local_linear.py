"""The linear map that a network is at a point, against maps that were computed by hand."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import alive
from running import run

import keras_explain as kx

rng = np.random.default_rng(0)


def completeness(model, x, target=0, **options):
    """By how much contributions and remainder miss the logit, in parts of its range."""
    out = run(kx.local_linear(model, target=target, **options), x)
    maps = keras.tree.flatten(out["heatmap"])
    total = sum(h.reshape(len(h), -1).sum(axis=1) for h in maps) + out["remainder"]
    logits = run(model, x)
    assert max(np.abs(h).max() for h in maps) > 1e-3 * np.abs(logits).max()  # it is alive
    return np.abs(total - logits[:, target]).max() / np.ptp(logits)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


class Twin:
    """A transformer block by hand, in float64: with its gates, or with those of another input."""

    def __init__(self, model):
        self.weights = {x.name: [np.asarray(w, "float64") for w in x.get_weights()]
                        for x in model.layers}

    def __call__(self, e, gates=None):
        kept, given = [], iter(gates or ())

        def gate(value):
            kept.append(next(given) if gates else value)
            return kept[-1]

        def normalize(x, name):
            gamma, beta = self.weights[name]
            centered = x - x.mean(axis=-1, keepdims=True)
            deviation = gate(np.sqrt(x.var(axis=-1, keepdims=True) + 1e-3))
            return centered / deviation * gamma + beta

        wq, bq, wk, bk, wv, bv, wo, bo = self.weights["attention"]
        q, k, v = (np.einsum("td,dhe->the", e, w) + b
                   for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        weights = gate(softmax(np.einsum("qhe,khe->hqk", q, k) / np.sqrt(q.shape[-1])))
        y = np.einsum("hqk,khe->qhe", weights, v)
        x = normalize(e + np.einsum("qhe,hed->qd", y, wo) + bo, "norm1")
        z = x @ self.weights["up"][0] + self.weights["up"][1]
        y = z * gate(gelu(z) / z) @ self.weights["down"][0] + self.weights["down"][1]
        x = normalize(x + y, "norm2").mean(axis=0)
        return x @ self.weights["top"][0] + self.weights["top"][1], kept


def block(**options):
    x = inputs = keras.Input((5, 6))
    y = layers.MultiHeadAttention(2, 3, name="attention", **options)(x, x)
    x = layers.LayerNormalization(name="norm1")(x + y)
    y = layers.Dense(9, "gelu", name="up")(x)
    y = layers.Dense(6, name="down")(y)
    x = layers.LayerNormalization(name="norm2")(x + y)
    x = layers.GlobalAveragePooling1D()(x)
    return alive(keras.Model(inputs, layers.Dense(3, name="top")(x)), None)


@pytest.mark.parametrize("options", [{}, {"flash_attention": False}, {"dropout": 0.1}])
def test_is_the_jacobian_of_the_network_whose_gates_are_held(options):
    """By brute force: the twin with held gates is asked for each token alone, and for nothing."""
    model = block(**options)
    twin, batch = Twin(model), rng.normal(size=(3, 5, 6)).astype("float32")
    out = run(kx.local_linear(model, target=1), batch)
    for example, found, remainder in zip(batch, out["heatmap"], out["remainder"], strict=True):
        logits, gates = twin(example)
        np.testing.assert_allclose(logits, run(model, example[None])[0], atol=1e-5)
        nothing = twin(np.zeros_like(example), gates)[0]
        alone = [twin(example * (np.arange(5) == t)[:, None], gates)[0] - nothing
                 for t in range(5)]
        np.testing.assert_allclose(found, np.stack(alone)[:, 1], atol=1e-5)
        np.testing.assert_allclose(remainder, nothing[1], atol=1e-5)


def test_without_normalization_and_biases_it_is_gradient_times_input():
    x = keras.Input((12, 10, 3))
    y = layers.Conv2D(6, 3, activation="relu", use_bias=False)(x)
    y = layers.LeakyReLU()(layers.Conv2D(6, 3, use_bias=False)(layers.MaxPooling2D()(y)))
    y = layers.Dense(3, use_bias=False)(layers.Flatten()(y))
    model = alive(keras.Model(x, y), None)
    images = rng.uniform(size=(2, 12, 10, 3)).astype("float32")
    out = run(kx.local_linear(model, target=1), images)
    np.testing.assert_allclose(
        out["heatmap"], run(kx.gradient_x_input(model, target=1), images)["heatmap"], atol=1e-6)
    np.testing.assert_array_equal(out["remainder"], 0)


@keras.saving.register_keras_serializable("local_linear")
class OwnNormalization(layers.Layer):
    """Written with operations, weights of its own, no layer inside."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], name="gain", initializer="ones")
        self.shift = self.add_weight(shape=shape[-1:], name="shift")

    def call(self, x):
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
        return centered * ops.rsqrt(variance + 1e-5) * self.gain + self.shift


NORMALIZATIONS = [
    layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization,
    layers.BatchNormalization, OwnNormalization, lambda: layers.LayerNormalization(axis=(-2, -1)),
    lambda: layers.GroupNormalization(2), lambda: layers.GroupNormalization(-1),
]


@pytest.mark.parametrize("make", NORMALIZATIONS)
@pytest.mark.parametrize("shape", [(5, 6), (4, 3, 6)], ids=str)
def test_normalizations(make, shape):
    """The deviation is held: what is left is linear, so each number has a closed form."""
    x = inputs = keras.Input(shape)
    y = make()(layers.Dense(6, use_bias=False)(x))
    batch = rng.normal(size=(3, *shape)).astype("float32")
    model = alive(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(y))), batch)
    assert completeness(model, batch) < 1e-4


def test_a_deviation_is_held_and_the_mean_is_not():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.LayerNormalization(epsilon=0.01)(inputs))
    model.layers[1].set_weights([rng.normal(size=6), rng.normal(size=6)])
    x = rng.normal(size=(4, 6)).astype("float32")
    gamma, beta = model.layers[1].get_weights()
    slope = gamma[2] / np.sqrt(x.var(axis=1, keepdims=True) + 0.01)
    out = run(kx.local_linear(model, target=2), x)
    np.testing.assert_allclose(out["heatmap"], x * slope * (np.eye(6)[2] - 1 / 6), atol=1e-5)
    np.testing.assert_allclose(out["remainder"], np.full(4, beta[2]), atol=1e-6)


@pytest.mark.parametrize("name", [
    "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "softplus",
    "softsign", "mish", "hard_sigmoid", "hard_silu", "exponential", "log_sigmoid", "celu",
    "hard_tanh", "tanh_shrink", "soft_shrink", "squareplus"])
def test_an_activation_is_its_ratio(name):
    """f(z) = f(0) + z * ratio: in a layer of one unit each, all is known."""
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, use_bias=False)(layers.Dense(3, name)(x)))
    alive(model, None)
    batch = rng.normal(size=(5, 4)).astype("float32")
    batch += np.sign(batch)  # no example in which every unit is flat
    (kernel, bias), (last,) = (layer.get_weights() for layer in model.layers[1:])
    z, f = batch @ kernel + bias, lambda z: np.asarray(ops.convert_to_numpy(
        getattr(keras.activations, name)(ops.convert_to_tensor(z, "float32"))), "float64")
    ratio = (f(z) - f(0 * z)) / z
    wanted = batch * np.einsum("ik,nk,k->ni", kernel, ratio, last[:, 1])
    out = run(kx.local_linear(model, target=1), batch)
    np.testing.assert_allclose(out["heatmap"], wanted, atol=1e-4)
    np.testing.assert_allclose(
        out["remainder"], (f(0 * z) + bias * ratio) @ last[:, 1], atol=2e-5)


@pytest.mark.parametrize("name", ["gelu", "tanh", "sigmoid"])
def test_a_ratio_at_zero_is_its_limit(name):
    """Two large inputs cancel: the activation sees zero, and each still gets its share."""
    x = keras.Input((2,))
    model = keras.Model(x, layers.Dense(1, name, use_bias=False)(x))
    model.layers[1].set_weights([np.array([[1.0], [-1.0]], "float32")])
    batch = np.array([[3.0, 3.0], [3.0, 3.0 + 1e-6]], "float32")
    slope = {"gelu": 0.5, "tanh": 1.0, "sigmoid": 0.25}[name]
    inner = keras.Model(x, layers.Dense(1)(model(x)))
    inner.layers[-1].set_weights([np.ones((1, 1), "float32"), np.zeros(1, "float32")])
    found = run(kx.local_linear(inner), batch)["heatmap"]
    np.testing.assert_allclose(found, np.array([[3 * slope, -3 * slope]] * 2), rtol=2e-3)


def test_the_factor_out_of_an_activation_is_the_gate():
    """A gated layer: nothing passes through the gate, all through the other factor."""
    x = keras.Input((4,))
    gate, value = layers.Dense(3, "silu", name="gate")(x), layers.Dense(3, name="value")(x)
    model = keras.Model(x, layers.Dense(2, use_bias=False, name="top")(gate * value))
    alive(model, None)
    batch = rng.normal(size=(5, 4)).astype("float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    z = batch @ weights["gate"][0] + weights["gate"][1]
    held = z / (1 + np.exp(-z)) * weights["top"][0][:, 1]
    out = run(kx.local_linear(model, target=1), batch)
    np.testing.assert_allclose(out["heatmap"], batch * (held @ weights["value"][0].T), atol=1e-5)
    np.testing.assert_allclose(out["remainder"], held @ weights["value"][1], atol=1e-5)


def test_a_product_without_a_gate_is_shared():
    x = keras.Input((3,))
    model = keras.Model(x, ops.sum(layers.Dense(4)(x) * layers.Dense(4)(x), -1, keepdims=True))
    alive(model, None)
    batch = rng.normal(size=(5, 3)).astype("float32")
    (a, c), (b, d) = (x.get_weights() for x in model.layers if x.get_weights())
    wanted = batch * ((batch @ a + c) @ b.T + (batch @ b + d) @ a.T) / 2
    found = run(kx.local_linear(model), batch)
    np.testing.assert_allclose(found["heatmap"], wanted, atol=1e-5)
    np.testing.assert_allclose(
        found["heatmap"].sum(axis=1) + found["remainder"], run(model, batch)[:, 0], atol=1e-5)


ATTENTIONS = {
    "flash off": lambda x: layers.MultiHeadAttention(2, 3, flash_attention=False)(x, x),
    "causal": lambda x: layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
    "masked": lambda x: layers.MultiHeadAttention(2, 3)(
        x, x, attention_mask=ops.ones_like(x[:, :, :1]) > 0),
    "weights asked for": lambda x: layers.MultiHeadAttention(2, 3)(
        x, x, return_attention_scores=True)[0],
    "window": lambda x: layers.MultiHeadAttention(2, 3, sliding_window=2)(x, x),
    "grouped": lambda x: layers.GroupQueryAttention(3, 4, 2)(x, x),
    "dot": lambda x: layers.Attention(use_scale=True)([x, x]),
    "additive": lambda x: layers.AdditiveAttention()([x, x, x]),
    "by hand": lambda x: ops.matmul(ops.softmax(
        ops.matmul(x, ops.transpose(x, (0, 2, 1)))), layers.Dense(6)(x)),
}


@pytest.mark.parametrize("name", ATTENTIONS)
def test_attentions(name):
    x = inputs = keras.Input((5, 6))
    y = ATTENTIONS[name](layers.Dense(6)(x))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x + y)))
    alive(model, None)
    assert completeness(model, rng.normal(size=(3, 5, 6)).astype("float32"), 1) < 1e-4


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("attend", [
    lambda *x, **options: layers.MultiHeadAttention(2, 3)(*x, **options),
    lambda *x, **options: layers.GroupQueryAttention(3, 4, 2)(*x, **options)],
    ids=["heads", "groups"])
def test_a_mask_that_is_given(attend, causal):
    """The mask of the trial may leave a single word: then no attention is seen to matter."""
    ids = keras.Input((8,), dtype="int32", name="ids")
    there = keras.Input((8,), dtype="int32", name="there")
    x = layers.Embedding(20, 6)(ids)
    y = attend(x, x, attention_mask=ops.cast(there, "bool")[:, None], use_causal_mask=causal)
    model = alive(keras.Model({"ids": ids, "there": there}, layers.Dense(3)((x + y)[:, -1])), None)
    mask = np.ones((4, 8), "int32")
    mask[0, :3] = mask[1, :1] = 0
    assert completeness(model, {"ids": rng.integers(0, 20, (4, 8)), "there": mask}, 1) < 1e-5


def test_a_softmax_that_weighs_nothing_is_averaged():
    x = keras.Input((4,))
    y = layers.Dense(5, "softmax")(x)
    model = alive(keras.Model(x, layers.Dense(2)(y)), None)
    assert completeness(model, rng.normal(size=(6, 4)).astype("float32")) < 1e-4


def test_padding_gets_nothing_and_what_it_said_is_in_the_remainder():
    ids = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(ids)
    model = alive(keras.Model(ids, layers.Dense(2)(layers.Flatten()(layers.Dense(4)(x)))), None)
    tokens = np.array([[3, 4, 5, 0, 0, 0], [1, 2, 3, 4, 5, 6]], "int32")
    out = run(kx.local_linear(model, target=0), tokens)
    assert not out["heatmap"][0, 3:].any() and out["heatmap"][0, :3].all()
    np.testing.assert_allclose(out["heatmap"].sum(axis=1) + out["remainder"],
                               run(model, tokens)[:, 0], atol=1e-6)


@pytest.mark.parametrize("length", [6, None])
def test_positions_that_are_counted_and_tokens_put_in_front_are_in_the_remainder(length):
    """Both are looked up by numbers that are made of the ids' shape alone."""
    ids = keras.Input((length,), dtype="int32")
    first = ops.pad(ids, ((0, 0), (1, 0)), constant_values=19) if length else ids
    place = ops.cumsum(ops.ones_like(first), axis=1) - 1
    words, places = layers.Embedding(20, 6), layers.Embedding(9, 6)
    x = words(first) + places(place)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 3)(x, x))
    model = alive(keras.Model(ids, layers.Dense(2)(x[:, 0])), None)
    tokens = rng.integers(1, 19, (3, 6))
    assert completeness(model, tokens, 1) < 1e-4
    linear = keras.Model(ids, ops.sum(words(first) + places(place), axis=(1, 2))[:, None])
    out = run(kx.local_linear(linear), tokens)
    np.testing.assert_allclose(
        out["heatmap"], ops.convert_to_numpy(words.embeddings).sum(axis=1)[tokens], atol=1e-4)


@keras.saving.register_keras_serializable("local_linear")
class Decoder(layers.Layer):
    """A block of a language model, as libraries write them: it needs sizes.

    Its mask and its class token depend on sizes that a graph does not know.
    """

    def build(self, shape):
        width = shape[-1]
        self.attention = layers.MultiHeadAttention(2, 3, dtype=self.dtype_policy)
        self.attention.build(shape, shape)
        self.norm = layers.RMSNormalization(dtype=self.dtype_policy)
        self.norm.build(shape)
        self.up = layers.EinsumDense("btd,df->btf", (None, 2 * width), dtype=self.dtype_policy)
        self.up.build(shape)
        self.down = layers.Dense(width, dtype=self.dtype_policy)
        self.down.build((*shape[:-1], width))
        self.first = self.add_weight(shape=(1, 1, width), name="first")

    def call(self, x):
        rows, length = ops.shape(x)[0], ops.shape(x)[1]
        x = ops.concatenate([ops.tile(self.first * 1.0, (rows, 1, 1)), x], axis=1)
        place = ops.arange(length + 1)
        seen = ops.expand_dims(place[:, None] >= place[None, :], 0)
        y = self.norm(x)
        x = x + self.attention(y, y, attention_mask=seen)
        gate, value = ops.split(self.up(x), 2, axis=-1)
        return x + self.down(keras.activations.gelu(gate, approximate=True) * value)


def language_model():
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20, 6)(ids)
    for _ in range(2):
        x = Decoder()(x)
    x = layers.Dense(3)(layers.GlobalAveragePooling1D()(x))
    return alive(keras.Model(ids, x), None)


def test_layers_that_cannot_be_traced_are_held_while_they_run():
    """They need sizes; so the numbers are compared at several, in graphs too."""
    model = language_model()
    explained = kx.local_linear(model, target=1)
    for length in (5, 7):
        ids = rng.integers(0, 20, (4, length))
        assert completeness(model, ids, 1) < 1e-4
        wanted = run(explained, ids)
        for batch_size in (4, 3):
            found = explained.predict(ids, batch_size=batch_size, verbose=0)
            for name in ("heatmap", "remainder"):
                size = np.abs(wanted[name]).max()
                np.testing.assert_allclose(found[name], wanted[name], atol=1e-5 * size)


def test_a_block_that_is_held_while_it_runs_equals_one_that_is_traced():
    """The same block from its parts, in a Functional model."""
    x = inputs = keras.Input((4, 6))
    own = Decoder()
    own.build((None, 4, 6))
    y = own.norm(x)
    causal = ops.convert_to_tensor(np.tril(np.ones((1, 4, 4), bool)))
    y = layers.Add()([x, own.attention(y, y, attention_mask=causal)])
    gate, value = ops.split(own.up(y), 2, axis=-1)
    y = y + own.down(ops.gelu(gate, approximate=True) * value)
    parts = keras.Model(inputs, ops.mean(y, axis=(1, 2))[:, None])

    @keras.saving.register_keras_serializable("local_linear")
    class Whole(layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = own

        def call(self, x):
            length = ops.shape(x)[1]
            place = ops.arange(length)
            y = own.norm(x)
            y = x + own.attention(y, y, attention_mask=(place[:, None] >= place)[None])
            gate, value = ops.split(own.up(y), 2, axis=-1)
            return y + own.down(ops.gelu(gate, approximate=True) * value)

    free = keras.Input((None, 6))
    y = Whole()(free)
    whole = keras.Model(free, ops.mean(y, axis=(1, 2))[:, None])
    alive(parts, None)
    batch = rng.normal(size=(3, 4, 6)).astype("float32")
    found, wanted = (run(kx.local_linear(m), batch) for m in (whole, parts))
    np.testing.assert_allclose(found["heatmap"], wanted["heatmap"], atol=1e-5)
    np.testing.assert_allclose(found["remainder"], wanted["remainder"], atol=1e-5)


@keras.saving.register_keras_serializable("local_linear")
class Closed(layers.Layer):
    """Bends, and cannot be looked into."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            return keras.KerasTensor((*x.shape[:-1], 4))
        return ops.tanh(ops.matmul(x, self.kernel))


def test_a_layer_without_a_gate_is_named():
    x = keras.Input((3,))
    model = alive(keras.Model(x, layers.Dense(2)(Closed(name="riddle")(x))), None)
    with pytest.raises(ValueError, match="received 'riddle' .Closed., in which none was found"):
        kx.local_linear(model)


@keras.saving.register_keras_serializable("local_linear")
class Borrowing(layers.Layer):
    """Attention with a function of the backend's own, in its weights or in what is weighed."""

    def __init__(self, weighed, **options):
        super().__init__(**options)
        self.weighed, self.inner = weighed, layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        if keras.backend.backend() == "tensorflow":
            from tensorflow import tanh
        elif keras.backend.backend() == "jax":
            from jax.numpy import tanh
        else:
            from torch import tanh
        y = self.inner(x)
        scores = ops.matmul(y, ops.transpose(y, (0, 2, 1)))
        if self.weighed:
            return ops.matmul(ops.softmax(scores), tanh(y) + y)
        return ops.matmul(ops.softmax(scores + tanh(scores)), y)


def test_what_the_backend_makes_of_a_gate_is_held_and_of_anything_else_refused():
    def make(layer):
        x = keras.Input((5, 4))
        y = layers.GlobalAveragePooling1D()(layer(x))
        return alive(keras.Model(x, layers.Dense(2)(y)), None)

    with pytest.raises(ValueError, match="received 'riddle.*in which none was found"):
        kx.local_linear(make(Borrowing(True, name="riddle")))
    model, x = make(Borrowing(False)), rng.normal(size=(3, 5, 4)).astype("float32")
    if keras.backend.backend() == "jax":  # whose functions take nothing but arrays
        with pytest.raises(ValueError, match="received 'borrowing.*in which none was found"):
            kx.local_linear(model)
        return
    assert completeness(model, x) < 1e-5
    inner, offset, kernel, _ = (w for layer in model.layers for w in layer.get_weights())
    y = x.astype("float64") @ inner + offset
    scores = y @ y.transpose(0, 2, 1)
    share = softmax(scores + np.tanh(scores)).mean(axis=1)  # of each position in the answer
    np.testing.assert_allclose(run(kx.local_linear(model, target=0), x)["heatmap"],
                               share * (x @ (inner @ kernel[:, 0])), rtol=1e-4, atol=1e-5)


def test_a_recurrent_layer_is_named():
    x = keras.Input((5, 3))
    model = keras.Model(x, layers.Dense(2)(layers.LSTM(4, name="memory")(x)))
    with pytest.raises(ValueError, match="received 'memory' .LSTM., in which none was found"):
        kx.local_linear(model)


def test_a_step_that_is_less_linear_than_it_looked_is_told():
    x = keras.Input((3,))
    y = layers.Lambda(lambda z: ops.clip(z, -1000.0, 1000.0))(layers.Dense(4)(x))
    explained = kx.local_linear(alive(keras.Model(x, layers.Dense(2)(y)), None))
    explained(np.ones((2, 3), "float32"))
    with pytest.warns(kx.BlankHeatmapWarning), pytest.warns(UserWarning, match="miss the score"):
        explained(np.full((2, 3), 1e5, "float32"))


def test_only_logits_are_sums_of_contributions():
    x = keras.Input((3,))
    with pytest.raises(ValueError, match='Expected score="logit"'):
        kx.local_linear(keras.Model(x, layers.Dense(2, "softmax")(x)), score="probability")
