"""Random models: the recorded program computes what the model does, and so does its gradient."""

import autodiff
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from models import alive, draw

import keras_explain as kx
from keras_explain.graph.program import Program


class Scaled(layers.Layer):
    """A weight of its own, a layer, and operations between them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return ops.tanh(self.inner(x * (1.0 + self.scale))) + 0.1


class Closed(Scaled):
    """The same, where the recording cannot look into it."""

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("Only tensors.")
        return super().call(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor((*x.shape[:-1], 4), x.dtype)


ANY = {  # what works on maps and sequences alike
    "dense": lambda x: layers.Dense(4, activation="tanh")(x),
    "norm": lambda x: layers.BatchNormalization()(x),
    "layer norm": lambda x: layers.LayerNormalization()(x),
    "custom": lambda x: Scaled()(x),
    "closed": lambda x: Closed()(x),
    "lambda": lambda x: layers.Lambda(lambda x: x * 0.5 + 1)(x),
    "operation": lambda x: ops.sigmoid(x) - 0.5,
    "dropout": lambda x: layers.Dropout(0.5)(x),
    "flip": lambda x: ops.flip(x, axis=1),
}
IMAGE = ANY | {
    "conv": lambda x: layers.Conv2D(4, 3, padding="same", activation="gelu")(x),
    "valid": lambda x: layers.Conv2D(3, 2)(x),
    "pool": lambda x: layers.AveragePooling2D(2, padding="same")(x),
    "crop": lambda x: layers.Cropping2D(((1, 0), (0, 1)))(x) if min(x.shape[1:3]) > 2 else x,
    "pad": lambda x: layers.ZeroPadding2D(1)(x),
    "slice": lambda x: x[:, 1:] if x.shape[1] > 3 else x,
    "resize": lambda x: layers.Resizing(7, 4)(x),
    "resize, crop": lambda x: layers.Resizing(4, 4, crop_to_aspect_ratio=True)(x),
    "place": lambda x: layers.Rescaling(0.5, offset=draw(x.shape[1:], 1, 5)[0])(x),
}
SEQUENCE = ANY | {
    "conv": lambda x: layers.Conv1D(4, 3, padding="same")(x),
    "gru": lambda x: layers.GRU(4, return_sequences=True)(x),
    "crop": lambda x: x[:, 1:],
    "attention": lambda x: layers.MultiHeadAttention(2, 2)(x, x),
    "time": lambda x: layers.TimeDistributed(layers.Dense(4, activation="tanh"))(x),
}


@st.composite
def graphs(draw_one, table, start):
    """A model, step by step; now and then two branches are added or concatenated."""
    inputs, x = start()
    for name in draw_one(st.lists(st.sampled_from([*table, "add", "concat"]), min_size=2,
                                  max_size=5)):
        if name == "add":
            x = layers.Add()([x, layers.Dense(x.shape[-1], activation="tanh")(x)])
        elif name == "concat":
            x = layers.Concatenate()([x, layers.Activation("sigmoid")(x)])
        elif name != "valid" or min(x.shape[1:3]) > 2:
            x = table[name](x)
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D()(x)
    elif draw_one(st.booleans()):
        x = layers.GlobalAveragePooling1D()(x)
    else:
        x = layers.LSTM(3)(x)
    if draw_one(st.booleans()):  # nested
        model = keras.Sequential([keras.Model(inputs, x), layers.Dense(2)])
        model.build((None, *inputs.shape[1:]))
    else:
        model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    return model, draw_one(st.integers(0, 9))


def image():
    x = keras.Input((6, 5, 2))
    return x, x


def tokens():
    x = keras.Input((7,), dtype="int32")
    return x, layers.Embedding(9, 4, mask_zero=True)(x)


def series():
    x = keras.Input((7, 3))
    return x, layers.Masking()(x)


def check_program(model, x):
    """Predictions of the program, and of an explained model, are those of the model."""
    wanted = ops.convert_to_numpy(model(x, training=False))
    _, program = Program.trace(model)
    np.testing.assert_allclose(ops.convert_to_numpy(program([ops.convert_to_tensor(x)])), wanted,
                               atol=1e-5)
    return wanted


def check_gradient(model, x):
    """The saliency of class 1 is what the backend differentiates from the model itself."""
    wanted = autodiff.gradient(lambda x: ops.sum(model(x, training=False)[:, 1]), x)
    explained = kx.saliency(model, target=1, score="probability" if _ends_in_softmax(model)
                            else "logit", signed=True)
    found = ops.convert_to_numpy(explained(x)["heatmap"])
    np.testing.assert_allclose(found, wanted.sum(axis=-1), atol=1e-5 + 1e-4 * np.abs(wanted).max())


def check_tokens(model):
    """The evidence of each token is its embedding times the gradient by its row of the table."""
    (table,) = [v for v in model.variables if v.path.endswith("embeddings")]
    order = [3, 8, 1, 5, 2, 7, 4]  # each row of the table once
    ids = np.array([order], model.inputs[0].dtype)

    def score(values):
        with keras.StatelessScope(state_mapping=[(table, values * 1.0)]):
            return ops.sum(model(ids, training=False)[:, 1])

    rows = ops.convert_to_numpy(table)
    wanted = (rows * autodiff.gradient(score, rows)).sum(axis=-1)[order]
    explained = kx.gradient_x_input(model, target=1, score="probability" if _ends_in_softmax(model)
                                    else "logit")
    found = ops.convert_to_numpy(explained(ids)["heatmap"])[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5 + 1e-4 * np.abs(wanted).max())


def _ends_in_softmax(model):
    return model.layers[-1].activation is keras.activations.softmax


FEW = settings(max_examples=8, deadline=None, derandomize=True,
               suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
DEPTHS = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]


def numbers_for(model, seed):
    shape = model.inputs[0].shape[1:]
    if len(shape) == 1:
        x = np.random.default_rng(seed).integers(1, 9, (3, *shape)).astype(model.inputs[0].dtype)
        x[0, 4:] = x[1, 2:] = 0
        return x
    x = draw(shape, 3, seed) - 0.5
    if len(shape) == 2:
        x[0, 4:] = 0
    return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("depth", DEPTHS, ids=["few", "many"])
@pytest.mark.parametrize("table, start", [(IMAGE, image), (SEQUENCE, tokens), (SEQUENCE, series)],
                         ids=["image", "tokens", "series"])
def test_a_program_computes_its_model(table, start, depth):
    @depth
    @given(graphs(table, start))
    def check(made):
        model, seed = made
        x = numbers_for(model, seed)
        alive(model, x, seed)
        check_program(model, x)
        if start is not tokens:
            check_gradient(model, x)
        else:
            out = kx.saliency(model)(x)["predictions"]
            np.testing.assert_allclose(ops.convert_to_numpy(out),
                                       ops.convert_to_numpy(model(x, training=False)), atol=1e-5)
            check_tokens(model)

    check()
