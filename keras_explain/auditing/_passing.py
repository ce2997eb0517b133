"""One pass over data that explains it, and a second one that finds chosen examples again."""

import dataclasses
import hashlib

import numpy as np
from keras import tree

from keras_explain.auditing._pooling import pool
from keras_explain.data.batches import batches, class_indices
from keras_explain.data.predicting import predict
from keras_explain.graph import targets


@dataclasses.dataclass
class Pass:
    """What is kept of each example: some hundred bytes, whatever its size.

    `keys` are checksums by which an example is found again in data that come in another order,
    `shape` that of one heatmap.
    """

    predicted: np.ndarray
    y: np.ndarray | None
    confidence: np.ndarray
    shares: np.ndarray
    keys: np.ndarray
    shape: tuple
    classes: int

    @property
    def checksum(self):
        """Of all examples, whatever their order."""
        return hashlib.sha256(np.sort(self.keys).tobytes()).hexdigest()


def explain_all(explained, data, y, batch_size, verbose):
    """Explain each example once.

    Raises:
        ValueError: no examples, or answers that are no scores of classes.
    """
    parts, truth, shape, classes = [], [], None, 0
    for x, labels in batches(data, y, batch_size, verbose, "audit"):
        if not len(tree.flatten(x)[0]):  # nothing of a batch could be read
            continue
        answer = predict(explained, x, batch_size)
        heatmaps = answer["heatmap"]
        scores = _scores(answer["predictions"])
        shape, classes = heatmaps.shape[1:], scores.shape[1]
        parts.append((scores.argmax(axis=1), scores.max(axis=1), pool(heatmaps), checksums(x)))
        truth.append(None if labels is None else _check_truth(labels, classes))
    if not parts:
        raise ValueError("Expected examples to audit, received none. Pass data that give some.")
    predicted, confidence, shares, keys = map(np.concatenate, zip(*parts, strict=True))
    known = None if any(t is None for t in truth) else np.concatenate(truth)
    return Pass(predicted, known, confidence, shares, keys, shape, classes)


def _check_truth(labels, classes):
    found = class_indices(labels)
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= classes:
        raise ValueError(
            f"Expected `y` to be class indices from 0 to {classes - 1} or one-hot rows, received"
            f" {found[:3].tolist()} ... Number the classes as the model does.")
    return found


def find_examples(data, keys, batch_size):
    """The inputs whose checksums are `keys`, in that order, as arrays.

    Raises:
        ValueError: the data are other ones than before, as from a generator.
    """
    wanted, found, rows = np.unique(keys), [], []
    for x, _ in batches(data, None, batch_size):
        here = checksums(x) if len(tree.flatten(x)[0]) else np.zeros(0, "uint64")
        chosen = np.flatnonzero(np.isin(here, wanted))
        if len(chosen):
            found.append(here[chosen])
            rows.append(tree.map_structure(lambda a, chosen=chosen: a[chosen], x))
    have = np.concatenate(found) if found else np.zeros(0, "uint64")
    have, places = np.unique(have, return_index=True)
    if len(have) < len(wanted):
        raise ValueError(
            f"Expected data that give the same examples again, received {len(have)} of"
            f" {len(wanted)} of them the second time. Pass arrays or a data set that can be gone"
            " through twice, without random changes of its examples.")
    joined = tree.map_structure(lambda *a: np.concatenate(a), *rows)
    order = places[np.searchsorted(have, keys)]
    return tree.map_structure(lambda a: a[order], joined)


def checksums(x):
    """A checksum of each row of a structure of arrays, uint64 (N,)."""
    total = 0
    for array in tree.flatten(x):
        if array.dtype.kind in "OSU":
            numbers = np.array([int.from_bytes(hashlib.sha256(str(t).encode()).digest()[:8])
                                for t in array.reshape(-1)], "uint64").reshape(array.shape)
        else:
            rows = np.ascontiguousarray(array).reshape(len(array), -1)
            numbers = rows.view(f"u{rows.dtype.itemsize}") if rows.dtype.itemsize <= 8 else (
                rows.astype("float64").view("u8"))
        numbers = numbers.reshape(len(array), -1).astype("uint64")
        odd = np.random.default_rng(numbers.shape[1]).integers(
            0, 2**63, numbers.shape[1], dtype="uint64") * np.uint64(2) + np.uint64(1)
        with np.errstate(over="ignore"):
            total = total * np.uint64(31) + (numbers * odd).sum(axis=1, dtype="uint64")
    return total


def choose_classes(predictions):
    """The class that is answered for each example (N,)."""
    return _scores(predictions).argmax(axis=1)


def _scores(predictions):
    scores = tree.flatten(predictions)
    answers = [s for s in scores if s.ndim == 2]
    if len(scores) != 1 or len(answers) != 1:
        raise ValueError(
            "Expected a classifier with one output of shape (N, classes), received answers of"
            f" shapes {[s.shape for s in scores]}. Explain single examples of other models, or"
            " pass a model of the one output.")
    scores = answers[0].astype("float32")
    return scores if scores.shape[1] > 1 else targets.two_columns(scores)
