"""Layers of the user's with masks, weights and numbers of their own: opened, and still right."""

import keras
import numpy as np
import pytest
from keras import layers, ops, tree
from models import alive, draw, image, policy

import keras_explain as kx
from keras_explain.graph.masks import get_mask, set_mask
from keras_explain.graph.program import Program

IDS = np.array([[3, 5, 5, 1, 0, 0], [7, 2, 0, 0, 0, 0], [8, 1, 2, 3, 4, 5]])


def numbers(x):
    return tree.map_structure(ops.convert_to_numpy, x)


def assert_equals_model(model, inputs, opened=()):
    """The program gives what the model gives, now and after the weights changed."""
    _, program = Program.trace(model)
    for seed in (None, 5):
        if seed:
            alive(model, None, seed)
        actual, wanted = numbers(program(inputs)), numbers(model(inputs, training=False))
        for a, w in zip(tree.flatten(actual), tree.flatten(wanted), strict=True):
            np.testing.assert_allclose(a, w, atol=1e-6)
    paths = [c.path for c in program.calls]
    assert all(any(p.endswith(name) for p in paths) for name in opened), paths
    return program


class Sets(layers.Layer):
    """Tokens and positions; sets the mask of its output itself."""

    def __init__(self, **options):
        super().__init__(**options)
        self.tokens = layers.Embedding(9, 4, name="tokens", mask_zero=True)
        self.positions = layers.Embedding(6, 4, name="positions")

    def build(self, shape):
        self.tokens.build(shape)
        self.positions.build(shape)

    def call(self, x):
        found = self.tokens(x)
        summed = found + self.positions(ops.arange(0, ops.shape(x)[-1], 1))
        set_mask(summed, get_mask(found))
        return summed


class Forgets(layers.Layer):
    """Takes the mask away that its inner layer passes on."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(4, name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        x = self.inner(x)
        set_mask(x, None)
        return x


class Halves(Forgets):
    """Keeps every second step, and tells so by `compute_mask`."""

    def call(self, x):
        return self.inner(x)[:, ::2]

    def compute_mask(self, x, mask=None):
        return None if mask is None else mask[:, ::2]


class Uses(Forgets):
    """Takes the mask as an argument, as Keras hands it on."""

    def call(self, x, mask=None):
        x = self.inner(x)
        return x if mask is None else x * ops.cast(mask, "float32")[..., None] + 1


class Reads(Forgets):
    """Looks at the mask itself."""

    def call(self, x):
        mask = get_mask(x)
        return self.inner(x) * (2.0 if mask is None else 3.0)


class Outer(layers.Layer):
    """Reads the mask that a layer inside sets in its own `call`."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = Sets(name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        found = self.inner(x)
        mask = get_mask(found)
        return found if mask is None else found * ops.cast(mask, "float32")[..., None]


def over_ids(*middle, embed=None):
    x = keras.Input((6,), dtype="int32")
    y = (embed or layers.Embedding(9, 4, mask_zero=True))(x)
    for layer in middle:
        y = layer(y)
    return alive(keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y))), None)


@pytest.mark.parametrize("change", [Forgets, Halves, Uses, Reads])
@pytest.mark.parametrize("supports", [None, True])
def test_masks_inside_a_layer(change, supports):
    layer = change()
    if supports is not None:
        layer.supports_masking = supports
    assert_equals_model(over_ids(layer, layers.Activation("tanh")), IDS, ["inner"])


def test_mask_that_a_layer_sets_itself():
    assert_equals_model(over_ids(embed=Sets()), IDS, ["tokens", "positions"])
    assert_equals_model(over_ids(Reads(), embed=Sets()), IDS, ["tokens", "inner"])
    assert_equals_model(over_ids(embed=Outer()), IDS, ["inner/tokens"])


def test_the_mask_reaches_every_method():
    model = over_ids(embed=Sets())
    for builder in (kx.saliency, kx.occlusion, kx.integrated_gradients):
        found = numbers(builder(model)(IDS)["predictions"])
        np.testing.assert_allclose(found, numbers(model(IDS)), atol=1e-6)


def test_a_closed_layer_that_sets_a_mask_keeps_batch_normalization_out_of_folds():
    class Closed(layers.Layer):
        def call(self, x):
            y = x * 1.0
            set_mask(y, ops.any(x > 0.5, axis=-1))
            return y

    x = keras.Input((6, 4))
    y = layers.Dense(4)(Closed()(x))
    model = alive(keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(
        layers.Activation("relu")(y)))), None)
    inputs = draw((6, 4), 3)
    found = numbers(kx.occlusion(model)(inputs)["predictions"])
    np.testing.assert_allclose(found, numbers(model(inputs)), atol=1e-6)


# Weights and numbers of its own ------------------------------------------------------------------


class Weighted(layers.Layer):
    """Weights beside its layers; each test says how `call` uses them."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function
        self.inner = layers.Dense(6, name="inner")
        self.positions = layers.Embedding(5, 6, name="positions")

    def build(self, shape):
        self.inner.build(shape)
        self.positions.build((5,))
        self.table = self.add_weight(shape=(9, 6), name="table")
        self.first = self.add_weight(shape=(1, 1, 6), name="first")

    def call(self, x):
        return self.function(self, self.inner(x))


USES = {
    "product": lambda self, x: self.first * x + x * self.first[0],
    "rows": lambda self, x: x + ops.take(self.table, ops.arange(x.shape[1]), axis=0),
    "slice": lambda self, x: x + self.table[: x.shape[1], :],
    "number": lambda self, x: x * ops.sum(self.table),
    "token": lambda self, x: ops.concatenate(
        [ops.broadcast_to(self.first, (ops.shape(x)[0], 1, 6)), x], axis=1),
    "zeros": lambda self, x: ops.concatenate([ops.zeros_like(x[:, :1]) + self.first, x], axis=1),
    "layer on numbers": lambda self, x: x + self.positions(ops.arange(5)),
    "constant": lambda self, x: x + ops.convert_to_tensor(np.arange(6, dtype="float32")),
}


def around(layer):
    x = image(5, 6)
    return alive(keras.Model(x, layers.Dense(3)(layers.Flatten()(layer(x)))), None)


@pytest.mark.parametrize("name", USES)
def test_weights_of_a_layer_that_has_layers(name):
    model = around(Weighted(USES[name]))
    program = assert_equals_model(model, draw((5, 6), 4), ["inner"])
    inputs = draw((5, 6), 4)
    stem, head = program.split(program.find("weighted/inner" if any(
        c.path == "weighted/inner" for c in program.calls) else "inner").outputs)
    np.testing.assert_allclose(numbers(head(stem([inputs]))), numbers(model(inputs)), atol=1e-6)
    # What crosses the cut without a batch is not taken by example.
    found = kx.integrated_gradients(model, steps=3, batch_size=2)(inputs)
    single = [numbers(kx.integrated_gradients(model, steps=3)(inputs[i : i + 1])["heatmap"])[0]
              for i in range(4)]
    np.testing.assert_allclose(numbers(found["heatmap"]), single, atol=1e-5)


@pytest.mark.parametrize("name", ["rows", "number", "token"])
def test_weights_under_mixed_precision(name):
    with policy("mixed_float16"):
        model = around(Weighted(USES[name]))
    _, program = Program.trace(model)
    inputs = draw((5, 6), 2)
    np.testing.assert_array_equal(numbers(program(inputs)), numbers(model(inputs)))


def test_a_number_from_the_weights_of_another_layer_keeps_the_layer_closed():
    largest = Weighted(lambda self, x: ops.take(x, ops.argmax(self.inner.bias), axis=-1))
    assert_equals_model(around(largest), draw((5, 6), 2))


def test_a_layer_with_weights_does_not_close_the_layers_after_it():
    class Scale(layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(shape[-1],), name="factor")

        def call(self, x):
            return x * self.factor

    x = image(5, 6)
    y = Weighted(USES["product"], name="block")(Scale()(x))
    model = alive(keras.Model(x, layers.Dense(3)(layers.Flatten()(y))), None)
    assert_equals_model(model, draw((5, 6), 2), ["block/inner"])


def test_a_constant_of_a_layer_belongs_to_no_example():
    class Anchors(layers.Layer):
        def call(self, x):
            return ops.convert_to_tensor(np.arange(12, dtype="float32").reshape(2, 6))

        def compute_output_spec(self, x):
            return keras.KerasTensor((2, 6), "float32")

    x = image(5, 6)
    y = layers.Dense(6, activation="tanh")(x)
    y = ops.matmul(y, ops.transpose(Anchors()(y)))
    model = alive(keras.Model(x, layers.Dense(3)(layers.Flatten()(y))), None)
    inputs = draw((5, 6), 5)
    together = kx.smooth_grad(model, samples=3, batch_size=2)(inputs)
    alone = [numbers(kx.smooth_grad(model, samples=3)(inputs[i : i + 1])["heatmap"])[0]
             for i in range(5)]
    np.testing.assert_allclose(numbers(together["heatmap"]), alone, rtol=1e-4, atol=1e-5)


def test_a_layer_made_in_call_for_a_free_size_keeps_its_layer_closed():
    class Enlarges(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.conv = layers.Conv2D(3, 3, padding="same")

        def build(self, shape):
            self.conv.build(shape)

        def call(self, x):
            height, width = ops.shape(x)[1:3]
            small = layers.AveragePooling2D(2)(self.conv(x))
            return layers.Resizing(height, width)(small)

        def compute_output_shape(self, shape):
            return (*shape[:-1], 3)

    x = keras.Input((None, None, 3))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(Enlarges()(x))))
    assert_equals_model(alive(model, None), draw((8, 6, 3), 2))
    assert np.isfinite(numbers(kx.saliency(model)(draw((8, 6, 3), 2))["heatmap"])).all()


def test_spectral_normalization_is_looked_into():
    x = image(8, 8, 3)
    y = layers.SpectralNormalization(layers.Conv2D(4, 3, activation="relu", name="conv"))(x)
    y = layers.SpectralNormalization(layers.Dense(1, activation="sigmoid"))(
        layers.GlobalAveragePooling2D()(y))
    model = alive(keras.Model(x, y), None)
    assert_equals_model(model, draw((8, 8, 3), 2), ["/conv"])
    assert kx.grad_cam(model).explainer.layer_path.endswith("/conv")


def test_the_users_layers_are_as_before():
    layer = Sets()
    model = over_ids(embed=layer)
    before = [set(vars(x)) for x in (layer, layer.tokens, layer.positions)]
    Program.trace(model)
    assert before == [set(vars(x)) for x in (layer, layer.tokens, layer.positions)]


class Draws(layers.Layer):
    """Cannot be opened; a layer of preprocessing inside tells those after it to train."""

    def __init__(self, **options):
        super().__init__(**options)
        self.normalize, self.drop = layers.BatchNormalization(), layers.Dropout(0.5)

    def build(self, shape):
        self.normalize.build(shape)

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("Only tensors.")
        layers.Resizing(2, 2)(ops.ones((1, 3, 3, 1)))
        return self.drop(self.normalize(x))

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def test_layers_in_a_closed_layer_do_not_train():
    x = keras.Input((6,))
    model = alive(keras.Model(x, layers.Dense(2)(Draws(name="draws")(x))), draw((6,), 8))
    before = [ops.convert_to_numpy(v) for v in model.variables]
    _, program = Program.trace(model)
    inputs = draw((6,), 4)
    wanted = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(numbers(program([ops.convert_to_tensor(inputs)])), wanted,
                               atol=1e-6)
    for v, b in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(v), b)
