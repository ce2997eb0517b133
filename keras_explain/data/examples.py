"""The few examples that a callback explains at every epoch, taken once from any data."""

import contextlib
import random
import sys

import numpy as np
from keras import tree

from keras_explain.data.batches import class_indices, each_batch, gives_batches, to_numpy


def first_examples(data, y=None, count=8):
    """The first `count` examples as NumPy arrays.

    Args:
        data: an array, a structure of arrays (dict, list), a tuple `(x, y)`, or something that
            gives batches as `model.fit` takes them: `tf.data.Dataset`, `keras.utils.PyDataset`,
            a torch `DataLoader`. A shuffled `tf.data.Dataset` that is also trained on moves on
            by one epoch's order: pass validation data.
        y: class indices or one-hot rows; None takes those that come with the data.

    Returns:
        The inputs, and labels or None.

    Raises:
        ValueError: there are no examples, or not one label for each.
    """
    inputs, targets = first_rows(data, y, count)
    if targets is None or tree.is_nested(targets):  # several outputs: which is not known here
        return inputs, None
    return inputs, class_indices(targets)


def first_rows(data, y=None, count=8):
    """As `first_examples`, with the labels as the model trains on them."""
    if gives_batches(data):
        with _same_random_numbers():
            inputs, found = _first_batches(data, count)
    elif isinstance(data, tuple) and len(data) in (2, 3) and y is None:
        inputs, found = data[0], data[1]
    else:
        inputs, found = data, None
    labels = found if y is None else y
    inputs = tree.map_structure(lambda x: to_numpy(x)[:count], _texts_as_array(inputs))
    sizes = {len(x) for x in tree.flatten(inputs)}
    if sizes in ({0}, set()) or len(sizes) > 1:
        raise ValueError(
            f"Expected examples to explain, as many in each input, received {sizes or 'none'}."
            " Pass a few validation images."
        )
    if labels is None:
        return inputs, None
    if tree.is_nested(labels) and not _is_flat(labels):
        return inputs, tree.map_structure(lambda y: to_numpy(y)[:count], labels)
    labels = to_numpy(labels)[:count]
    if len(labels) != sizes.pop():
        raise ValueError(
            f"Expected one label for each example, received {len(labels)} labels."
            " Pass labels for the same images."
        )
    return inputs, labels


@contextlib.contextmanager
def _same_random_numbers():
    """Reading data may draw from the global generators that training draws from."""
    states = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if torch:
            torch.set_rng_state(torch_state)


def _first_batches(data, count):
    batches, taken = [], 0
    for batch in each_batch(data):
        pair = batch if isinstance(batch, (tuple, list)) and len(batch) > 1 else (batch, None)
        batches.append(pair[:2])
        taken += len(to_numpy(tree.flatten(pair[0])[0]))
        if taken >= count:
            break
    if not batches:
        return np.zeros((0,)), None
    inputs = tree.map_structure(lambda *x: np.concatenate([to_numpy(a) for a in x]),
                                *[x for x, _ in batches])
    if batches[0][1] is None:
        return inputs, None
    return inputs, tree.map_structure(lambda *y: np.concatenate([to_numpy(a) for a in y]),
                                      *[y for _, y in batches])


def _is_flat(labels):
    """A plain list of numbers or names, not a list of arrays for several outputs."""
    return isinstance(labels, (list, tuple)) and not any(
        getattr(y, "shape", ()) for y in labels
    )


def _texts_as_array(inputs):
    """A list of texts is one input, not one for each text."""
    texts = isinstance(inputs, (list, tuple)) and inputs and isinstance(inputs[0], str)
    return np.asarray(inputs, object) if texts else inputs
