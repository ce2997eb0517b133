"""Directions in a layer's channels, and how the score changes there."""

import dataclasses

import keras
import numpy as np
from keras import ops, tree

from keras_explain.data.predicting import predict_rows
from keras_explain.data.preparing import as_arrays, prepare


@dataclasses.dataclass(frozen=True, eq=False)
class Direction:
    """A linear model that tells two kinds of features: `features @ vector > middle`."""

    vector: np.ndarray
    middle: float

    def accuracy(self, one, two):
        """How often it tells features of the one kind from the other, each counting alike."""
        return ((one @ self.vector > self.middle).mean()
                + (two @ self.vector <= self.middle).mean()) / 2


def find_direction(one, two):
    """The direction from features `two` to features `one`, by logistic regression.

    Zero where both are all the same.
    """
    from sklearn.linear_model import LogisticRegression

    features = np.concatenate([one, two]).astype("float64")
    center = features.mean(axis=0)
    scale = np.sqrt(((features - center) ** 2).sum(axis=1).mean())
    if scale <= 1e-12 * max(np.abs(features).max(), 1e-300):
        return Direction(np.zeros(features.shape[1]), 0.0)
    found = LogisticRegression(class_weight="balanced", max_iter=1000).fit(
        (features - center) / scale, np.arange(len(features)) < len(one))
    vector = found.coef_[0] / scale
    return Direction(vector, float(center @ vector - found.intercept_[0]))


class Slopes:
    """A compiled function: inputs -> slopes of the score by a layer's channels (N, channels).

    Args:
        question: a `Question`.
        value: the Value of the layer.
    """

    def __init__(self, question, value):
        self.question = question
        channel = question.program.channel_axis(value)
        self._places = tuple(a for a in range(1, len(value.spec.shape)) if a != channel)
        inputs = question.symbolic_inputs()
        self._network = keras.Model(
            inputs, _Slope(question, value, self._places)(inputs), name="slopes")

    def __call__(self, x):
        """Slopes along the channels, the same at all places, as NumPy."""
        return predict_rows(self._network, prepare(self.question.model, as_arrays(x)))

    def over_places(self, features):
        """The mean of features (N, ...) over the places, (N, channels)."""
        return features.mean(axis=self._places) if self._places else features


class _Slope(keras.layers.Layer):
    """The graph of `Slopes`."""

    def __init__(self, question, value, places):
        super().__init__(dtype="float32", autocast=False)
        self.model = question.model  # whose weights are read
        self.question, self.value, self.places = question, value, places

    def call(self, inputs):
        _, (slope,), _ = self.question.differentiate(tree.flatten(inputs), None, [self.value])
        slope = ops.cast(slope, "float32")
        return ops.sum(slope, axis=self.places) if self.places else slope

    def compute_output_spec(self, inputs):
        shape = [n for a, n in enumerate(self.value.spec.shape) if a not in self.places]
        return keras.KerasTensor((tree.flatten(inputs)[0].shape[0], *shape[1:]), "float32")

    def build(self, input_shape):
        self.built = True
