"""One callable for every batch engine: an exported model over a batch, with errors per row.

Beam, Ray Data, Spark and a plain loop all hand over a batch and want a batch back. This module
imports TensorFlow only when the first batch arrives, and Keras never.
"""

import json
import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_explain.checks import check_positive

ERROR = "error"


class SavedExplainer:
    """A signature of an exported model as a function from columns to columns.

    It is small until it is called, so that engines can pickle it to their workers, where each
    loads the model once. A row that cannot be explained (bytes that are no image, a class that
    does not exist, NaN, a shape that does not fit) gets a reason in the column `error` and
    spoils no other row; as many rows come out as went in.

    Args:
        path: the folder that `export` wrote.
        signature: which one to ask, as "explain", "explain_class", "explain_image" or
            "explain_image_class". None: "explain_image" if there is one, else "explain".
        outputs: names of the outputs to return; None for all. `error` always comes.
        batch_size: rows that the model sees at once. Columns of any length may be given; they
            bound the answer's memory, this bounds the model's.

    Call arguments:
        columns: dict from the signature's inputs to columns, one value a row: a NumPy array or
            a list. Rows of a list may have different shapes. Other keys are ignored.

    Returns:
        dict from outputs to NumPy arrays with one row for each row given; `error` is an object
        array of str, "" for rows that are fine. Bad rows are zero or empty elsewhere.

    Raises:
        FileNotFoundError: no export at `path`.
        ValueError: a damaged explanation.json, no such signature or output, a missing column,
            columns of different lengths.

    Example:
        >>> explain = SavedExplainer("served/1")                       # doctest: +SKIP
        >>> answer = explain({"image_bytes": [open("cat.jpg", "rb").read(), b"no image"]})
        ...                                                            # doctest: +SKIP
        >>> answer["error"][1][:24]                                    # doctest: +SKIP
        'Expected the bytes of a '
    """

    def __init__(
        self, path: str | os.PathLike, signature: str | None = None, *,
        outputs: Sequence[str] | None = None, batch_size: int = 32,
    ) -> None:
        self.path = pathlib.Path(path).absolute()  # workers start in other folders
        self.batch_size = check_positive("batch_size", batch_size)
        file = self.path / "explanation.json"
        if not file.exists():
            raise FileNotFoundError(
                f"Expected a folder that `keras_explain.export` wrote, received {path} without"
                " explanation.json. Name the version's folder, as in served/1."
            )
        self.classes, known = _read_about(file)
        if signature is None:
            signature = "explain_image" if "explain_image" in known else "explain"
        _check_known("signature", [signature], known)
        self.signature = signature
        self.inputs, available = known[signature]["inputs"], known[signature]["outputs"]
        _check_known("outputs", outputs or (), available)
        self.outputs = {k: v for k, v in available.items() if outputs is None or k in outputs}
        self.outputs.pop(ERROR, None)
        self._function, self._lock = None, threading.Lock()

    def __getstate__(self):
        return {**self.__dict__, "_function": None, "_lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state, _lock=threading.Lock())

    def load(self) -> "SavedExplainer":
        """Load the model now, instead of at the first batch; returns self."""
        with self._lock:
            if self._function is None:
                import tensorflow as tf

                model = tf.saved_model.load(str(self.path))
                self._function = model.signatures[self.signature]
                self._function.keeps_alive = model
        return self

    def __call__(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The outputs of all rows and a reason for each row that could not be explained."""
        rows = self._rows(columns)
        self.load()
        checked = [self._check(row) for row in rows]
        errors = [error for _, error in checked]
        answers = [None] * len(rows)
        self._ask(checked, [i for i, error in enumerate(errors) if not error], answers, errors)
        return {**{name: self._column(name, answers) for name in self.outputs},
                ERROR: np.array(errors, object)}

    def _rows(self, columns):
        missing = [name for name in self.inputs if name not in columns]
        if missing:
            raise ValueError(
                f"Expected the columns {list(self.inputs)} for the signature"
                f" {self.signature!r}, received {list(columns)}. Rename yours."
            )
        lengths = {name: len(columns[name]) for name in self.inputs}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Expected columns of one length, received {lengths}. Pass one value"
                             " per row in each.")
        return [dict(zip(self.inputs, values, strict=True))
                for values in zip(*(columns[name] for name in self.inputs), strict=True)]

    def _check(self, row):
        """The row as arrays, and what is wrong with it ("" for nothing)."""
        arrays = {}
        for name, value in row.items():
            spec = self.inputs[name]
            try:
                arrays[name] = _array(value, spec["dtype"])
            except (TypeError, ValueError) as error:
                return None, (f"Expected {spec['dtype']} for {name}, received {error}."
                              " Convert it first.")
            shape = spec["shape"][1:]
            given = arrays[name].shape
            if len(given) != len(shape) or any(
                    n not in (None, m) for n, m in zip(shape, given, strict=True)):
                return None, (f"Expected {name} of shape {tuple(shape)} for each row, received"
                              f" {given}. Leave the axis of the batch out.")
            if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
                return None, (f"Expected {name} without NaN and infinity, received some. Mend or"
                              " leave out this row.")
        target = arrays.get("target")
        is_bool = target is not None and np.asarray(row["target"]).dtype.kind == "b"
        if is_bool or target is not None and not -1 <= target < self.classes:
            return None, (f"Expected a target from -1 (top class) to {self.classes - 1},"
                          f" received {row['target']}. Count classes from 0.")
        return arrays, ""

    def _ask(self, checked, indices, answers, errors):
        """Fill in the rows `indices`; halve a batch that fails until it is known whose fault."""
        for group in _groups(checked, indices, self.batch_size):
            batch = {name: np.stack([checked[i][0][name] for i in group]) for name in self.inputs}
            try:
                outputs = self._run(batch)
            except Exception as error:  # whatever the model raises is told for its row
                if len(group) == 1:
                    errors[group[0]] = f"{type(error).__name__}: {_first_line(error)}"
                    continue
                middle = len(group) // 2
                self._ask(checked, group[:middle], answers, errors)
                self._ask(checked, group[middle:], answers, errors)
                continue
            for row, i in enumerate(group):
                answers[i] = {name: outputs[name][row] for name in self.outputs}
                errors[i] = _error_of(outputs, row)
                if errors[i]:
                    answers[i] = None

    def _run(self, batch):
        import tensorflow as tf

        answer = self._function(**{
            name: tf.constant(x, self.inputs[name]["dtype"]) for name, x in batch.items()})
        return {name: x.numpy() for name, x in answer.items()}

    def _column(self, name, answers):
        """Rows put together; blank where a row failed. Ragged rows give an object array."""
        spec = self.outputs[name]
        shape = tuple(n or 0 for n in spec["shape"][1:])
        dtype = object if spec["dtype"] == "string" else np.dtype(spec["dtype"])
        found = [a[name] for a in answers if a is not None]
        shapes = {np.shape(x) for x in found}
        if len(shapes) > 1:
            column = np.empty(len(answers), object)
            column[:] = [np.zeros(0, dtype) if a is None else a[name] for a in answers]
            return column
        blank = b"" if dtype is object else 0
        column = np.full((len(answers), *(shapes.pop() if shapes else shape)), blank, dtype)
        for i, answer in enumerate(answers):
            if answer is not None:
                column[i] = answer[name]
        return column


def _array(value, dtype):
    """The value of a row as an array; an error says what was received instead."""
    if dtype == "string":
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(type(value).__name__)
        scalar = np.empty((), object)
        scalar[()] = bytes(value)
        return scalar
    try:
        array = np.asarray(value)
    except ValueError:
        raise TypeError("lists of different lengths") from None
    if array.dtype.kind not in "biuf" or dtype.startswith(("int", "uint")) and (
            array.dtype.kind == "f"):
        raise TypeError(array.dtype)
    dtype = np.dtype("float32" if dtype == "bfloat16" else dtype)
    if array.size and dtype.kind in "iuf":
        _check_range(array, dtype)
    return array.astype(dtype)


def _check_range(array, dtype):
    """Refuse what a cast would wrap or turn to infinity: class 2**32 + 5 is not class 5."""
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        return
    exact = float if dtype.kind == "f" else int  # as a float, int64's end is 2**63, beyond it
    for value in (finite.min().item(), finite.max().item()):
        if not exact(limits.min) <= value <= exact(limits.max):
            raise ValueError(f"{value}, which is out of its range")


def _groups(checked, indices, size):
    """Groups of at most `size` rows that can be stacked, in order."""
    groups = {}
    for i in indices:
        shapes = tuple(x.shape for x in checked[i][0].values())
        groups.setdefault(shapes, []).append(i)
    return [group[start : start + size] for group in groups.values()
            for start in range(0, len(group), size)]


def _error_of(outputs, row):
    if ERROR in outputs and outputs[ERROR][row]:
        return outputs[ERROR][row].decode()
    numbers = [x[row] for x in outputs.values() if x.dtype.kind == "f"]
    if not all(np.isfinite(x).all() for x in numbers):
        return "Expected finite answers, received NaN or infinity. Look for an input out of range" \
               " or broken weights of the model."
    return ""


def _first_line(error):
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]


def _check_known(what, names, known):
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"Expected `{what}` among {sorted(known)}, received {unknown[0]!r}."
                         " Choose one of these, or export once more.")


def _read_about(file):
    """The number of classes and the signatures that an explanation.json tells of."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        classes, signatures = about["classes"], about["signatures"]
        columns = [spec for signature in signatures.values() for side in ("inputs", "outputs")
                   for spec in signature[side].values()]
        whole = isinstance(classes, (int, type(None))) and bool(signatures) and all(
            isinstance(spec["dtype"], str) and all(
                n is None or isinstance(n, int) for n in spec["shape"] or ()) for spec in columns)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ValueError(
            f"Expected {file} as `keras_explain.export` wrote it, with the classes and the inputs"
            " and outputs of each signature, received another one. Export the model again.")
    return classes, signatures
