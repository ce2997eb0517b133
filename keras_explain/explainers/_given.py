"""What an explained model is given, looked at before anything is computed."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.graph.tokens import table_reads


def take_texts(x, specs):
    """Inputs with texts as the tensors that Keras takes.

    Args:
        x: inputs as a user gives them.
        specs: the model's inputs.

    Raises:
        ValueError: texts where the model takes numbers, or the reverse.
    """
    if isinstance(x, (list, tuple)) and specs[0].dtype == "string" and len(specs) == 1:
        _check_list(x)
    if isinstance(x, (list, tuple)) and x and all(isinstance(a, str) for a in x):
        x = np.array(x, object)
    given = in_order(x, specs)
    if len(given) == len(specs):
        for spec, leaf in zip(specs, given, strict=True):
            _check_kind(spec, leaf)
    return tree.map_structure(_as_tensor, x)


def in_order(x, specs):
    """The arrays of `x` in the order of the model's inputs, as Keras takes them."""
    names = [spec.name for spec in specs]
    if isinstance(x, dict) and set(names) <= set(x):
        return [x[name] for name in names]
    return tree.flatten(x)


def as_numbers(x):
    """A NumPy view of an array or eager tensor; None while a graph is traced."""
    if isinstance(x, np.ndarray):
        return x
    return ops.convert_to_numpy(x) if backend.is_concrete(x) else None


def check_array(spec, array):
    """An error for an array of another shape, without rows, or with NaN or infinity.

    Args:
        spec: the model's input.
        array: what it is given, NumPy.
    """
    _check_shape(spec, array)
    if len(array) == 0:
        raise ValueError(
            f"Expected at least one example, received {spec.name!r} of shape {array.shape}. Leave"
            " empty batches out."
        )
    _check_finite(spec, array)


def find_tables(program):
    """What inputs are looked up in: (input, lowest, highest index), and a program to their ids."""
    found = [(value, *read) for value in program.inputs for read in table_reads(program, value)]
    return [(value, low, high) for value, _, low, high in found], program.with_outputs(
        [read for _, read, _, _ in found])


def check_ids(tables, read, arrays):
    """An error for ids for which a table has no row: frameworks answer them as they like.

    Args:
        tables, read: as `find_tables` gives them.
        arrays: one NumPy array for each of the model's inputs, others behind them.
    """
    if not tables:
        return
    for value, array in zip(read.inputs, arrays, strict=False):
        whole = array.dtype.kind != "f" or "int" not in value.spec.dtype or not (array % 1).any()
        if not whole and any(value is v for v, _, _ in tables):
            raise ValueError(
                f"Expected ids, which are whole numbers, for input {value.spec.name!r}, received"
                f" {float(array[array % 1 != 0][0]):g}. Give ids as the tokenizer makes them.")
    given = [ops.convert_to_tensor(_as_taken(a, v)) for a, v in zip(
        arrays, read.inputs, strict=False)]
    with backend.no_gradient():
        found = read(given)
    for (value, low, high), ids in zip(tables, found, strict=True):
        least, largest = (int(ops.convert_to_numpy(f(ids))) for f in (ops.min, ops.max))
        if largest > high:
            raise ValueError(
                f"Expected ids below {high + 1}, the number of rows of the embedding in which input"
                f" {value.spec.name!r} is looked up, received {largest}. Use the tokenizer and the"
                " vocabulary that the model was trained with.")
        if least < low:
            raise ValueError(
                f"Expected ids from {low} on for input {value.spec.name!r}, which is looked up in"
                f" an embedding, received {least}. Give the id of padding where there is no token.")


def _as_taken(array, value):
    if value.spec.dtype == "string":
        return array.tolist()
    missing = len(value.spec.shape) - array.ndim
    array = array[..., None] if missing == 1 else array[..., 0] if missing == -1 else array
    return array.astype(value.spec.dtype)


def _is_text(x):
    dtype = getattr(x, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if kind == "O":
        return isinstance(next(iter(np.ravel(x)), None), (str, bytes))
    return isinstance(x, (str, bytes)) or kind in ("U", "S") or "string" in str(dtype)


def _check_list(x):
    if not x:
        raise ValueError("Expected at least one text, received an empty list. Leave it out.")
    other = next((a for a in x if a is None or isinstance(a, bytes)), "")
    if not isinstance(other, str):
        raise ValueError(
            f"Expected a list of texts, received {type(other).__name__} in it. Decode bytes and"
            ' give "" for a text that is missing.')


def _check_kind(spec, given):
    if not hasattr(given, "dtype"):
        return
    if _is_text(given) and spec.dtype != "string":
        raise ValueError(
            f"Expected numbers of dtype {spec.dtype} for input {spec.name!r}, received texts. Turn"
            " them into ids with the tokenizer or the TextVectorization layer of the model, or"
            " call `keras_explain.text.show(explained, texts, tokenizer=...)`.")
    if spec.dtype == "string" and not _is_text(given):
        raise ValueError(
            f"Expected texts for input {spec.name!r}, received {given.dtype}. Give the strings"
            " themselves; to explain ids, take the model behind its TextVectorization layer.")


def _as_tensor(x):
    """Keras takes no NumPy arrays of strings, only tensors of them."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "OU":
        return keras.ops.convert_to_tensor(x.tolist())
    return x


def _check_shape(spec, array):
    expected, received = spec.shape[1:], array.shape[1:]
    if len(expected) == len(received) + 1 and expected[-1] == 1:
        expected = expected[:-1]
    elif len(expected) == len(received) - 1 and received[-1] == 1:
        received = received[:-1]
    if len(expected) == len(received) and all(
        e in (None, r) for e, r in zip(expected, received, strict=True)
    ):
        return
    remedy = "Resize the data, or build the model for this size."
    if len(array.shape) == len(spec.shape) - 1:
        remedy = "For a single example, add a batch axis: x[None]."
    raise ValueError(
        f"Expected input {spec.name!r} of shape {spec.shape}, where None is the number of"
        f" examples or any size, received {array.shape}. {remedy}"
    )


def _check_finite(spec, array):
    if "float" not in array.dtype.name or np.isfinite(array).all():
        return
    nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    kind = " and ".join(["NaN"] * (nan > 0) + ["infinity"] * (infinite > 0))
    found = " and ".join([f"{nan} NaN"] * (nan > 0) + [f"{infinite} infinite"] * (infinite > 0))
    raise ValueError(
        f"Expected inputs without {kind}, received {found} in {spec.name!r} of shape"
        f" {array.shape}. Clean the data first."
    )
