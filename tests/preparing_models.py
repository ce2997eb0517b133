"""Small models whose `predict` prepares its inputs, as tasks of keras-hub do."""

import keras
from keras import layers, ops


class Plain(keras.Model):
    """Takes what its network takes."""


class InPredict(keras.Model):
    """Prepares in `predict` alone."""

    def predict(self, x, **options):
        return super().predict(x / 255.0 - 0.5, **options)


class InBoth(InPredict):
    """Prepares in both methods that take data."""

    def predict_on_batch(self, x):
        return super().predict_on_batch(x / 255.0 - 0.5)


class InStep(keras.Model):
    """Prepares in the compiled step."""

    def predict_step(self, *given):
        *state, data = given
        x = keras.utils.unpack_x_y_sample_weight(data)[0]
        return super().predict_step(*state, (ops.cast(x, "float32") / 255.0 - 0.5,))


class Crops(keras.Model):
    """Takes pictures of any size, cuts the middle out, mirrors and resizes it."""

    def predict(self, x, **options):
        high, wide = x.shape[1] // 4, x.shape[2] // 4
        x = ops.flip(ops.convert_to_tensor(x[:, high : 3 * high, wide : 3 * wide]), axis=2)
        x = ops.image.resize(ops.cast(x, "float32"), (24, 30))
        return super().predict(ops.convert_to_numpy(x) / 255.0 - 0.5, **options)


def build(kind, shape=(6, 5, 3), classes=3):
    """A convolutional network of a class of `keras.Model`."""
    inputs = keras.Input(shape)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    model = kind(inputs, layers.Dense(classes, activation="softmax")(x))
    for i, v in enumerate(model.trainable_variables):  # alive and the same on each backend
        v.assign(keras.random.normal(v.shape, seed=i))
    return model
