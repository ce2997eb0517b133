"""Running models in tests. On JAX they are compiled: eager, it compiles every operation."""

import keras
from keras import ops, tree

JAX = keras.backend.backend() == "jax"


def run(model, inputs):
    """The model's answer, as NumPy."""
    answer = model.predict_on_batch(inputs) if JAX else model(inputs, training=False)
    return tree.map_structure(ops.convert_to_numpy, answer)


def heatmap(explained, inputs):
    """The heatmap, as NumPy."""
    return run(explained, inputs)["heatmap"]
