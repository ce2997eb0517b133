"""Data of any kind as NumPy batches, one at a time."""

import keras
import numpy as np
from keras import tree

from keras_explain.checks import check_positive
from keras_explain.progress import Progress


def batches(data, y=None, batch_size=128, verbose=0, what="examples"):
    """Go through data once.

    Args:
        data: an array, a sparse matrix of SciPy, a list of strings, a dict or list of them, a
            tuple `(x, y)`, or what gives batches as `model.fit` takes them: `tf.data.Dataset`,
            `keras.utils.PyDataset`, a torch `DataLoader`, a generator. Batches come as they are.
        y: labels of arrays; None takes those that come with the data.
        batch_size: rows of a batch, where `data` is arrays.
        verbose, what: see `Progress`.

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
        progress = Progress(None, what, verbose)
        for pair in map(_pair, each_batch(data)):
            yield pair
            progress.advance(len(tree.flatten(pair[0])[0]))
        progress.close()
        return
    if isinstance(data, tuple) and len(data) in (2, 3) and y is None:
        data, y = data[:2]
    inputs = tree.map_structure(lambda x: x.tocsr() if hasattr(x, "tocsr") else to_numpy(x), data)
    y = None if y is None else to_numpy(y)
    sizes = {x.shape[0] for x in tree.flatten(inputs)} | (set() if y is None else {len(y)})
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            f"Expected data with as many rows in each array, received lengths {sorted(sizes)}."
            " Pass inputs and labels of the same examples."
        )
    count, batch_size = sizes.pop(), check_positive("batch_size", batch_size)
    progress = Progress(count, what, verbose)
    for start in range(0, count, batch_size):
        rows = slice(start, start + batch_size)
        yield (tree.map_structure(lambda x, rows=rows: _take(x, rows), inputs),
               None if y is None else y[rows])
        progress.advance(min(batch_size, count - start))
    progress.close()


def _take(x, rows):
    return x[rows].toarray() if hasattr(x, "tocsr") else x[rows]


def labeled_batches(data, y=None, batch_size=128, verbose=0, what="examples"):
    """`batches` with the class of each example, as an integer.

    Raises:
        ValueError: no labels, or some that are no classes.
    """
    for x, given in batches(data, y, batch_size, verbose, what):
        if given is None:
            raise ValueError("Expected labels with the data, received none. Pass `y`.")
        classes = class_indices(given)
        if classes.dtype.kind not in "iu":
            raise ValueError(
                "Expected `y` to be class indices or one-hot rows, received"
                f" {classes[0]!r}. Number the classes from 0."
            )
        yield x, classes


def to_numpy(x):
    """An array as NumPy sees it; tensors of any backend, lists."""
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, (list, tuple)):
        return np.asarray(x)
    if hasattr(x, "numpy") and not keras.ops.is_tensor(x):  # TensorFlow's, on another backend
        return x.numpy()
    return keras.ops.convert_to_numpy(x)


def class_indices(y):
    """Class per example from indices (N,) or (N, 1), or one-hot rows.

    Names and numbers that are no whole ones come back as they are.
    """
    y = to_numpy(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    y = y.reshape(len(y), -1)[:, 0] if y.size else y.reshape(-1)
    whole = y.dtype.kind in "biuf" and np.array_equal(y, np.floor(y))
    return y.astype("int64") if whole else y


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


def can_begin_again(data):
    """Whether one may look at the first batch of a source: a generator would lose it."""
    return gives_batches(data) and not hasattr(data, "__next__")


def first_batch(source):
    """The inputs of the first batch; None where there is none."""
    return next((_pair(batch)[0] for batch in each_batch(source)), None)


def _pair(batch):
    inputs, labels = batch[:2] if isinstance(batch, (tuple, list)) and len(batch) > 1 else (
        batch, None)
    if isinstance(inputs, (tuple, list)) and len(inputs) == 1:
        inputs = inputs[0]
    return tree.map_structure(to_numpy, inputs), None if labels is None else to_numpy(labels)
