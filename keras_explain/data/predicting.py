"""A model on many examples, as NumPy, with the state of random generators left as it was.

It takes what `model.predict` takes, and answers what the model's network says of it.

Not `model.predict`: on PyTorch that draws from the global generator, which would change a
training around it, and its data pipeline costs more than small models do.
"""

import math

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.preparing import answer, as_arrays, overrides, prepare, prepares
from keras_explain.progress import Progress


def predict(model, x, batch_size, verbose=0, what="examples"):
    """`model` on all of `x`, at most `batch_size` rows at a time.

    Args:
        model: a `keras.Model`.
        x: an array, a list of texts, or a structure of arrays, as the model takes them.
        batch_size: rows of a forward pass.
        verbose, what: see `Progress`.

    Returns:
        The outputs in their structure, as NumPy arrays.
    """
    x = as_arrays(x)
    return in_batches(lambda rows: predict_rows(model, tree.map_structure(lambda a: a[rows], x)),
                      len(tree.flatten(x)[0]), batch_size, verbose, what)


def predict_rows(model, x):
    """`model` on one batch of any number of rows, under any data parallelism."""
    count = len(tree.flatten(x)[0])
    distribution = keras.distribution.distribution()
    parts = 1 if distribution is None else int(np.prod(distribution.device_mesh.shape))
    if count % parts:
        rows = np.arange(-(-count // parts) * parts) % count
        x = tree.map_structure(lambda a: a[rows], x)
    with backend.predict_alone():
        outputs = tree.map_structure(ops.convert_to_numpy, _answer(model, x))
    return tree.map_structure(lambda a: a[:count], outputs)  # every replica may have answered


def _answer(model, x):
    if not prepares(model):
        return model.predict_on_batch(x)
    if overrides(model, "predict_step"):
        return answer(model, x)
    return keras.Model.predict_on_batch(model, prepare(model, x))


def in_batches(run, count, batch_size, verbose=0, what="examples"):
    """`run(rows)` for the rows 0 to `count` - 1 in equal batches; the results as NumPy, joined."""
    size = math.ceil(count / math.ceil(count / batch_size))
    progress, parts = Progress(count, what, verbose), []
    for start in range(0, count, size):
        rows = np.arange(start, min(start + size, count))
        parts.append(tree.map_structure(ops.convert_to_numpy, run(rows)))
        progress.advance(len(rows))
    progress.close()
    return tree.map_structure(lambda *a: np.concatenate(a), *parts)
