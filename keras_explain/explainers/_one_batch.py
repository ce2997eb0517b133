"""`predict` of what fits into one batch, without Keras's data pipeline.

The pipeline costs about 50 ms a call, which is more than small models take. The numbers are the
same bit by bit: it is the same compiled function, and it gets the same tensors.
"""

import keras
import numpy as np
from keras import tree

from keras_explain import backend
from keras_explain.checks import is_integer

DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")


def as_one_batch(model, x, batch_size=None, steps=None, callbacks=None):
    """The arrays of `x` as Keras's pipeline would hand them over; None where it has to run.

    It has to for data sets, strings, several batches, callbacks and data that is shared out
    over devices.
    """
    if steps is not None or callbacks or backend.is_distributed(model):
        return None
    leaves = [_as_numpy(leaf) for leaf in tree.flatten(x)]
    if not leaves or any(a is None or a.ndim == 0 for a in leaves):
        return None
    limit = 32 if batch_size is None else batch_size
    counts = {len(a) for a in leaves}
    if len(counts) > 1 or not is_integer(limit) or not 0 < counts.pop() <= limit:
        return None
    return tree.pack_sequence_as(x, leaves)


def predict_one_batch(model, x, verbose="auto"):
    """What `model.predict` gives for `x`, which `as_one_batch` made, with its progress bar."""
    model.stop_predicting = False
    if verbose == 0:
        return backend.predict_one_batch(model, x)
    progress = keras.callbacks.CallbackList(
        None, add_progbar=True, verbose=verbose, epochs=1, steps=1, model=model)
    progress.on_predict_begin()
    progress.on_predict_batch_begin(0)
    outputs = backend.predict_one_batch(model, x)
    progress.on_predict_batch_end(0, {"outputs": outputs})
    progress.on_predict_end()
    return outputs


def _as_numpy(leaf):
    """A plain array of numbers, floats in Keras's own precision; None for all else."""
    if backend.is_concrete(leaf) and hasattr(leaf, "__array__"):
        leaf = keras.ops.convert_to_numpy(leaf)
    if type(leaf) is not np.ndarray or leaf.dtype.name not in DTYPES:
        return None
    return leaf.astype(keras.config.floatx(), copy=False) if leaf.dtype.kind == "f" else leaf
