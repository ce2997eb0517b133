"""A zoo of tiny models, one of every kind that users bring. All are alive.

A model with random weights often is not: it answers the same for every input, every map is
zero, and every comparison agrees. So weights are drawn from NumPy (the same on each backend)
at a scale that keeps activations near one, and BatchNormalization is calibrated on data.
"""

import contextlib
import dataclasses
import functools
import os
import tempfile

import keras
import numpy as np
from keras import layers, ops

HEIGHT, WIDTH = 16, 12
KINDS = {}
DOT = "_" if keras.backend.backend() == "torch" else "."  # torch allows none in a layer's name


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of model, and what a test needs to know to explain it.

    Args:
        make: builds the model, with Keras's initial weights.
        heatmap: shape of its heatmap without batch; a dict by input for several inputs.
        options: for every builder.
        cam: for builders that read an inner layer: options, or words of the error they raise.
        shape: of the input, where the model itself does not say.
        layer: the path that these builders choose by themselves.
        seed: of the weights, where those of another draw speak against every class.
        alive: False for a model whose every map is blank.
    """

    make: object
    heatmap: object
    options: dict
    cam: object
    shape: object
    layer: str
    seed: int
    alive: bool

    @property
    def name(self):
        return self.make.__name__

    @functools.cached_property
    def model(self):
        """The model, which tests share: no builder changes it."""
        model = self.make()
        return alive(model, draw(self.shape or _input_spec(model), 16), self.seed)

    def inputs(self, count, seed=1):
        return draw(self.shape or _input_spec(self.model), count, seed)


def kind(heatmap=(HEIGHT, WIDTH), options=None, cam=None, shape=None, layer=None, seed=0,
         alive=True):
    def register(make):
        KINDS[make.__name__] = Kind(make, heatmap, options or {}, {} if cam is None else cam,
                                    shape, layer, seed, alive)
        return make

    return register


def _input_spec(model):
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def alive(model, inputs, seed=0):
    """Weights of a fixed draw, and BatchNormalization calibrated on `inputs`."""
    rng = np.random.default_rng(seed)
    for v in model.trainable_variables:
        noise = rng.normal(size=v.shape)
        if len(v.shape) > 1:
            v.assign(noise * np.sqrt(2 / np.prod(v.shape[:-1])))
        else:
            v.assign((1 if v.name == "gamma" else 0) + 0.2 * noise)
    norms = [x for x in model._flatten_layers() if isinstance(x, layers.BatchNormalization)]
    momenta = [x.momentum for x in norms]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        model(inputs, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


def draw(spec, count, seed=0):
    """Inputs as a model takes them: images, uint8 images, or tokens with padding."""
    rng = np.random.default_rng(seed)

    def one(spec):
        dtype = getattr(spec, "dtype", "float32")
        shape = getattr(spec, "shape", (None, *spec) if isinstance(spec, tuple) else spec)
        free = iter((HEIGHT, WIDTH))
        shape = (count, *[next(free) if n is None else n for n in shape[1:]])
        if dtype == "uint8":
            return rng.integers(0, 256, shape).astype(dtype)
        if dtype == "int32":
            tokens = rng.integers(1, 20, shape).astype(dtype)
            tokens[:, -2:] = 0
            return tokens
        return rng.uniform(size=shape).astype("float32")

    if isinstance(spec, tuple):
        return one(spec)
    return keras.tree.map_structure(one, spec)


# Parts ----------------------------------------------------------------------------------------


def image(*shape, **options):
    return keras.Input(shape or (HEIGHT, WIDTH, 3), **options)


def body(x, prefix="", filters=(4, 6)):
    """Convolution, normalization, pooling, convolution."""
    x = layers.Conv2D(filters[0], 3, padding="same", name=f"{prefix}conv1")(x)
    x = layers.BatchNormalization(name=f"{prefix}norm")(x)
    x = layers.ReLU(name=f"{prefix}relu")(x)
    x = layers.MaxPooling2D(name=f"{prefix}pool")(x)
    return layers.Conv2D(filters[1], 3, activation="relu", name=f"{prefix}conv2")(x)


def head(x, units=4, activation="softmax"):
    return layers.Dense(units, activation=activation, name="top")(
        layers.GlobalAveragePooling2D(name="gap")(x)
    )


def stack():
    return [
        layers.Conv2D(4, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(name="pool"),
        layers.Conv2D(6, 3, activation="relu", name="conv2"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(4, activation="softmax", name="top"),
    ]


def backbone(name="backbone", prefix=""):
    x = image()
    return keras.Model(x, body(x, prefix), name=name)


@keras.saving.register_keras_serializable("zoo")
class Block(layers.Layer):
    """A composite layer, as users write them: sublayers, residual, no weight of its own."""

    def __init__(self, filters=6, **options):
        super().__init__(**options)
        self.filters = filters
        self.conv = layers.Conv2D(filters, 3, padding="same", name="conv")
        self.norm = layers.BatchNormalization(name="norm")
        self.drop = layers.Dropout(0.5, name="drop")

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build((*shape[:-1], self.filters))

    def call(self, x, training=None):
        y = ops.relu(self.norm(self.conv(x), training=training))
        y = self.drop(y, training=training)
        return ops.concatenate([y, x], axis=-1)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("zoo")
class OwnConvolution(layers.Layer):
    """A convolution that is no subclass of Keras's."""

    def __init__(self, filters=6, **options):
        super().__init__(**options)
        self.filters = filters

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], self.filters), name="kernel")

    def call(self, x):
        return ops.relu(ops.conv(x, self.kernel, padding="same"))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("zoo")
class Tokens(layers.Layer):
    """Position embedding and, optionally, a class token in front."""

    def __init__(self, class_token=True, **options):
        super().__init__(**options)
        self.class_token = class_token

    def build(self, shape):
        _, tokens, width = shape
        self.position = self.add_weight(shape=(1, tokens, width), name="position")
        if self.class_token:
            self.first = self.add_weight(shape=(1, 1, width), name="first")

    def call(self, x):
        x = x + self.position
        if not self.class_token:
            return x
        first = ops.broadcast_to(self.first, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([ops.cast(first, x.dtype), x], axis=1)

    def get_config(self):
        return {**super().get_config(), "class_token": self.class_token}


@keras.saving.register_keras_serializable("zoo")
class Traceable(keras.Model):
    """Subclassed, with nothing but layers and operations in `call`."""

    def __init__(self, **options):
        super().__init__(**options)
        self.body = [layers.Conv2D(4, 3, activation="relu", name="conv1"),
                     Block(name="block"),
                     layers.Conv2D(6, 3, activation="relu", name="conv2")]
        self.top = layers.Dense(4, activation="softmax", name="top")

    def call(self, x, training=None):
        batch = ops.shape(x)[0]
        for layer in self.body:
            x = layer(x)
        x = ops.reshape(x, (batch, -1, 6))
        return self.top(ops.mean(x, axis=1))


@keras.saving.register_keras_serializable("zoo")
class Opaque(Traceable):
    """Subclassed, with a `call` that needs numbers: it cannot be traced."""

    def call(self, x, training=None):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("Only tensors.")
        return super().call(x)


@keras.saving.register_keras_serializable("zoo")
def best_box_of_class_1(outputs):
    return ops.max(outputs["scores"][..., 1], axis=1)


def vision_transformer(class_token, patch=4, width=8, activation="softmax"):
    x = inputs = image()
    x = layers.Conv2D(width, patch, strides=patch, name="patches")(x)
    x = layers.Reshape((-1, width), name="tokens")(x)
    x = Tokens(class_token, name="embed")(x)
    for i in (1, 2):
        y = layers.LayerNormalization(name=f"block{i}_norm1")(x)
        y = layers.MultiHeadAttention(2, 4, name=f"block{i}_attention")(y, y)
        x = layers.Add(name=f"block{i}_add1")([x, y])
        y = layers.LayerNormalization(name=f"block{i}_norm2")(x)
        y = layers.Dense(width, activation="gelu", name=f"block{i}_mlp")(y)
        x = layers.Add(name=f"block{i}_add2")([x, y])
    x = layers.LayerNormalization(name="norm")(x)
    x = x[:, 0] if class_token else layers.GlobalAveragePooling1D(name="gap")(x)
    return keras.Model(inputs, layers.Dense(4, activation=activation, name="top")(x))


@contextlib.contextmanager
def setting(get, put, value):
    """Builds a model under another global setting, then puts the old one back."""
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def policy(name):
    return setting(keras.config.dtype_policy, keras.config.set_dtype_policy, name)


# Structure ------------------------------------------------------------------------------------


@kind(layer="conv2")
def functional():
    x = image()
    return keras.Model(x, head(body(x)))


@kind(layer="conv2")
def sequential_with_input():
    return keras.Sequential([image(), *stack()])


@kind(layer="conv2")
def sequential_built_by_a_call():
    model = keras.Sequential(stack())
    model(np.zeros((1, HEIGHT, WIDTH, 3), "float32"))
    return model


@kind(layer="conv2")
def sequential_reloaded():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        sequential_built_by_a_call().save(path)
        return keras.models.load_model(path)


@kind(layer="backbone/conv2")
def nested_in_functional():
    x = image()
    return keras.Model(x, head(backbone()(layers.Rescaling(2.0, name="twice")(x))))


@kind(layer="backbone/conv2")
def nested_in_sequential():
    return keras.Sequential([image(), backbone(), *stack()[-2:]])


@kind(layer="middle/cut")
def nested_two_levels():
    x = image()
    middle = keras.Model(x, layers.ReLU(name="cut")(backbone()(x)), name="middle")
    return keras.Sequential([image(), middle, *stack()[-2:]])


@kind(layer=f"mobile_1.00_16/conv{DOT}2")
def names_with_dots():
    x = image()
    y = layers.Conv2D(4, 3, activation="relu", name=f"conv{DOT}1")(x)
    y = layers.DepthwiseConv2D(3, activation="relu", name=f"conv{DOT}2")(y)
    inner = keras.Model(x, y, name="mobile_1.00_16")
    x = image()
    return keras.Model(x, head(inner(x)))


@kind(shape=(HEIGHT, WIDTH, 3), layer="conv2")
def subclassed_traceable():
    model = Traceable()
    model(np.zeros((1, HEIGHT, WIDTH, 3), "float32"))
    return model


@kind(shape=(HEIGHT, WIDTH, 3), cam="cannot be looked into")
def subclassed_opaque():
    model = Opaque()
    model(np.zeros((1, HEIGHT, WIDTH, 3), "float32"))
    return model


@kind(layer="block2/concatenate_1")
def composite_layers():
    x = image()
    return keras.Model(x, head(Block(name="block2")(Block(4, name="block1")(x))))


@kind(cam={"layer": "twice", "node_index": 1})
def shared_layer():
    x = image()
    twice = layers.Conv2D(3, 3, padding="same", activation="relu", name="twice")
    return keras.Model(x, head(twice(twice(x))))


@kind(cam={"layer": "inner"}, seed=3)
def skip_around_the_layer():
    x = image()
    first = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="inner")(first)
    y = layers.Conv2D(4, 3, padding="same", name="last")(y)
    y = layers.ReLU(name="out")(layers.Add(name="add")([first, y]))
    return keras.Model(x, head(layers.Concatenate(name="both")([y, first])))


@kind(layer="custom")
def custom_convolution():
    x = image()
    y = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    return keras.Model(x, head(OwnConvolution(name="custom")(y)))


@kind(alive=False, layer="dead")
def dead_layer():
    x = image()
    return keras.Model(x, head(layers.ReLU(threshold=1e6, name="dead")(body(x))))


# Inputs and outputs ---------------------------------------------------------------------------


def image_and_table(as_dict):
    picture, table = image(name="picture"), keras.Input((5,), name="table")
    x = layers.GlobalAveragePooling2D(name="gap")(body(picture))
    x = layers.Concatenate(name="both")([x, layers.Dense(6, "tanh", name="columns")(table)])
    inputs = {"picture": picture, "table": table} if as_dict else [picture, table]
    return keras.Model(inputs, layers.Dense(4, "softmax", name="top")(x))


@kind(heatmap=[(HEIGHT, WIDTH), (5,)], layer="conv2")
def inputs_list():
    return image_and_table(as_dict=False)


@kind(heatmap={"picture": (HEIGHT, WIDTH), "table": (5,)}, layer="conv2")
def inputs_dict():
    return image_and_table(as_dict=True)


@kind(options={"output": 1}, layer="conv2")
def outputs_list():
    x = image()
    y = body(x)
    return keras.Model(x, [layers.Dense(1, name="age")(layers.Flatten()(y)), head(y)])


@kind(options={"output": "kind"}, layer="conv2")
def outputs_dict():
    x = image()
    y = body(x)
    age = layers.Dense(1, name="years")(layers.Flatten()(y))
    return keras.Model(x, {"age": age, "kind": head(y)})


@kind(options={"target": 1}, layer="conv2")
def sigmoid_of_one_unit():
    x = image()
    return keras.Model(x, head(body(x), 1, "sigmoid"))


@kind(layer="conv2")
def softmax_as_activation():
    x = image()
    return keras.Model(x, layers.Activation("softmax")(head(body(x), activation=None)))


@kind(layer="conv2")
def softmax_as_layer():
    x = image()
    return keras.Model(x, layers.Softmax()(head(body(x), activation=None)))


@kind(layer="conv2")
def softmax_as_operation():
    x = image()
    return keras.Model(x, ops.softmax(head(body(x), activation=None)))


@kind(layer="conv2")
def no_softmax():
    x = image()
    return keras.Model(x, head(body(x), activation=None))


@kind(options={"score": "logit"}, layer="conv2")
def saturated_softmax():
    x = image()
    scores = layers.Rescaling(1000.0, name="sure")(head(body(x), activation=None))
    return keras.Model(x, layers.Softmax()(scores))


@kind(layer="conv2")
def regression():
    x = image()
    return keras.Model(x, head(body(x), 1, None))


@kind(options={"target": 2}, layer="middle")
def segmentation():
    x = image()
    y = layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="down")(x)
    y = layers.Conv2D(6, 3, padding="same", activation="relu", name="middle")(y)
    y = layers.UpSampling2D(name="up")(y)
    return keras.Model(x, layers.Conv2D(3, 1, activation="softmax", name="classes")(y))


@kind(options={"target": best_box_of_class_1}, layer="conv2")
def detection():
    x = image()
    y = layers.Flatten(name="flat")(body(x))
    boxes = layers.Reshape((6, 4), name="boxes")(layers.Dense(24, name="where")(y))
    scores = layers.Reshape((6, 3), name="scores")(layers.Dense(18, "sigmoid", name="what")(y))
    return keras.Model(x, {"boxes": boxes, "scores": scores})


@kind(cam={"reshape": (4, 3)}, layer="block2_norm1")
def transformer_with_class_token():
    return vision_transformer(class_token=True)


@kind(cam={"reshape": (4, 3)}, layer="norm")
def transformer_without_class_token():
    return vision_transformer(class_token=False)


# Kinds of input -------------------------------------------------------------------------------


@kind(heatmap=(24,), layer="conv2")
def sequence():
    x = image(24, 3)
    y = layers.MaxPooling1D()(layers.Conv1D(4, 3, activation="relu", name="conv1")(x))
    y = layers.Conv1D(6, 3, activation="relu", name="conv2")(y)
    return keras.Model(x, layers.Dense(3, "softmax")(layers.GlobalMaxPooling1D()(y)))


@kind(heatmap=(6, 8, 10), layer="conv2")
def volume():
    x = image(6, 8, 10, 2)
    y = layers.Conv3D(3, 3, padding="same", activation="relu", name="conv1")(x)
    y = layers.Conv3D(4, 3, activation="relu", name="conv2")(layers.MaxPooling3D()(y))
    return keras.Model(x, layers.Dense(3, "softmax")(layers.GlobalAveragePooling3D()(y)))


@kind(heatmap=(5,), cam="received one without")
def table():
    x = image(5)
    return keras.Model(x, layers.Dense(3, "softmax")(layers.Dense(8, "tanh")(x)))


@kind(heatmap=(9,), cam="received one without")
def tokens():
    x = image(9, dtype="int32")
    y = layers.Embedding(20, 6, mask_zero=True, name="embedding")(x)
    y = layers.LayerNormalization(name="norm")(layers.Dense(8, "tanh", name="dense")(y))
    y = layers.GlobalAveragePooling1D()(y)
    return keras.Model(x, layers.Dense(3, "softmax", name="top")(y))


@kind(layer="conv2")
def grayscale():
    x = image(HEIGHT, WIDTH, 1)
    return keras.Model(x, head(body(x)))


@kind(layer="conv2")
def grayscale_without_channel_axis():
    x = image(HEIGHT, WIDTH)
    return keras.Model(x, head(body(layers.Reshape((HEIGHT, WIDTH, 1))(x))))


@kind(heatmap=(10, 20), layer="conv2")
def wide():
    x = image(10, 20, 3)
    return keras.Model(x, head(body(x)))


@kind(layer="conv2")
def variable_size():
    x = image(None, None, 3)
    return keras.Model(x, head(body(x)))


@kind(layer="conv2")
def channels_first():
    with setting(keras.config.image_data_format, keras.config.set_image_data_format,
                 "channels_first"):
        x = image(3, HEIGHT, WIDTH)
        y = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
        y = layers.Conv2D(6, 3, activation="relu", name="conv2")(layers.AveragePooling2D(2)(y))
        return keras.Model(x, head(y))


@kind(layer="conv2")
def uint8_image():
    x = image(dtype="uint8")
    return keras.Model(x, head(body(layers.Rescaling(1 / 255)(x))))


@kind(layer="conv2")
def preprocessing_inside():
    x = image()
    y = layers.RandomFlip("horizontal", seed=1)(layers.Rescaling(2.0, -1.0)(x))
    y = layers.Dropout(0.5)(layers.GaussianNoise(0.5)(y))
    return keras.Model(x, head(body(y)))


@kind(layer="conv2")
def mixed_float16():
    with policy("mixed_float16"):
        return functional()


@kind(layer="conv2")
def mixed_float16_sequential():
    with policy("mixed_float16"):
        return keras.Sequential([image(), layers.Rescaling(1 / 3, 1.0, dtype="float32"), *stack()])


@kind(layer="conv2")
def mixed_bfloat16():
    with policy("mixed_bfloat16"):
        return functional()


def kind_for(method):
    """A kind of pictures that a method is made for, of Keras's own layers alone."""
    kind = KINDS["functional"]
    return dataclasses.replace(kind, make=patch_transformer) if method == "attention" else kind


def patch_transformer():
    """Patches that attend to each other."""
    x = image(HEIGHT, WIDTH, 3)
    y = layers.Reshape((-1, 4))(layers.Conv2D(4, 4, strides=4)(x))
    y = y + layers.MultiHeadAttention(2, 4)(y, y)
    return keras.Model(x, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(y)))
