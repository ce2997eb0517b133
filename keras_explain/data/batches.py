"""Data of any kind as NumPy batches, one at a time."""

import keras
import numpy as np
from keras import tree


def batches(data, labels=None, batch_size=128):
    """Go through data once.

    Args:
        data: an array, a list of strings, a dict or list of arrays, a tuple `(x, y)`, or what
            gives batches as `model.fit` takes them: `tf.data.Dataset`, `keras.utils.PyDataset`,
            a torch `DataLoader`, a generator. Batches come as they are.
        labels: labels of arrays; None takes those that come with the data.
        batch_size: rows of a batch, where `data` is arrays.

    Yields:
        Pairs of inputs and labels; labels are None where the data has none.

    Raises:
        ValueError: no data, or inputs and labels of different lengths.

    Example:
        >>> [x.shape for x, _ in batches(np.zeros((5, 2)), batch_size=4)]
        [(4, 2), (1, 2)]
    """
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], str):
        data = np.array(data, dtype=object)
    if gives_batches(data):
        yield from map(_pair, each_batch(data))
        return
    if isinstance(data, tuple) and len(data) in (2, 3) and labels is None:
        data, labels = data[:2]
    inputs = tree.map_structure(to_numpy, data)
    labels = None if labels is None else to_numpy(labels)
    sizes = {len(x) for x in tree.flatten(inputs)} | (set() if labels is None else {len(labels)})
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            f"Expected data with as many rows in each array, received lengths {sorted(sizes)}."
            " Pass inputs and labels of the same examples."
        )
    for start in range(0, sizes.pop(), batch_size):
        rows = slice(start, start + batch_size)
        yield (tree.map_structure(lambda x, rows=rows: x[rows], inputs),
               None if labels is None else labels[rows])


def to_numpy(x):
    """An array as NumPy sees it; tensors of any backend, lists."""
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, (list, tuple)):
        return np.asarray(x)
    if hasattr(x, "numpy") and not keras.ops.is_tensor(x):  # TensorFlow's, on another backend
        return x.numpy()
    return keras.ops.convert_to_numpy(x)


def class_indices(labels):
    """Class per example from indices (N,) or (N, 1), or one-hot rows."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1)
    return labels.reshape(-1).astype("int64")


def gives_batches(data):
    """Whether `data` is a source of batches, rather than arrays."""
    if isinstance(data, keras.utils.PyDataset):
        return True
    return hasattr(data, "__iter__") and not (
        hasattr(data, "shape") or isinstance(data, (list, tuple, dict))
    )


def each_batch(source):
    """The batches of a source, one epoch of them; a `PyDataset` alone would go on for ever."""
    if isinstance(source, keras.utils.PyDataset):
        return (source[i] for i in range(len(source)))
    return iter(source)


def _pair(batch):
    inputs, labels = batch[:2] if isinstance(batch, (tuple, list)) and len(batch) > 1 else (
        batch, None)
    if isinstance(inputs, (tuple, list)) and len(inputs) == 1:
        inputs = inputs[0]
    return tree.map_structure(to_numpy, inputs), None if labels is None else to_numpy(labels)
