"""Small models with weights of a fixed draw, alive on every backend."""

import keras
import numpy as np
from keras import layers


def seeded(model, seed=0):
    rng = np.random.default_rng(seed)
    for v in model.trainable_variables:
        scale = np.sqrt(2 / max(1, np.prod(v.shape[:-1]))) if len(v.shape) > 1 else 0.1
        v.assign(rng.normal(size=v.shape) * scale + (v.name == "gamma"))
    return model


def convolutional(size=(10, 12), channels=3, units=4, activation="softmax"):
    x = image = keras.Input((*size, channels))
    x = layers.Conv2D(5, 3, padding="same", use_bias=False, name="conv1")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(6, 3, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return seeded(keras.Model(image, layers.Dense(units, activation=activation, name="top")(x)))


def linear(size=(6, 5, 2)):
    """f(x) = w x + 0.3, one unit; returns the model and w in the input's shape."""
    model = keras.Sequential([keras.Input(size), layers.Flatten(), layers.Dense(1)])
    w = np.random.default_rng(0).normal(size=(int(np.prod(size)), 1)).astype("float32")
    model.layers[-1].set_weights([w, np.array([0.3], "float32")])
    return model, w.reshape(size)


def pictures(count, size=(10, 12), channels=3, seed=1):
    return np.random.default_rng(seed).random((count, *size, channels)).astype("float32")


def maps(count, size=(10, 12), seed=2):
    return np.random.default_rng(seed).normal(size=(count, *size)).astype("float32")
