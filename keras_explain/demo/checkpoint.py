"""The tensors of a torch checkpoint, read with NumPy.

A checkpoint is a pickle, which may run any program when it is loaded. The unpickler here knows
the four globals of a tensor file and refuses every other.
"""

import pickle
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

# The file: a magic number and a version, three pickles (the writer's integer sizes, the tensors,
# the keys of their storages), then for each key a count (int64) and the numbers.


_HEADER = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
_REINSTALL = "The file is damaged. Reinstall its package."


def read_checkpoint(path):
    """The tensors of a torch checkpoint in the legacy format, read without torch.

    A pickle can run any program when it is loaded; this reader builds tensors and nothing else.

    Args:
        path: a file written by torch before 1.6, or with
            `torch.save(state, path, _use_new_zipfile_serialization=False)`.

    Returns:
        dict from names to read-only arrays in torch's layout (convolutions: out, in, height,
        width).

    Raises:
        pickle.UnpicklingError: the file is not such a checkpoint, is damaged, or asks for any
            object that is not part of a tensor.
    """
    with open(path, "rb") as file:
        _check_header(file)
        tensors = _check_tensors(_TensorUnpickler(file).load())
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        numbers = {
            key: _read_storage(file, storages.get(key)) for key in _TensorUnpickler(file).load()
        }
    return {name: _view(tensor, numbers) for name, tensor in tensors.items()}


class _Storage(NamedTuple):
    """A flat run of numbers that tensors look into."""

    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    """A tensor before its numbers are read; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, shape, strides)


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _TensorUnpickler(pickle.Unpickler):
    """Builds dicts of tensors; whatever else a pickle asks for is refused."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                "Expected a checkpoint that holds tensors only, received one that asks for "
                f"{module}.{name}. Do not load this file, reinstall its package."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, reference):
        match reference:
            case "storage", np.dtype() as dtype, str(key), _, int(size), None:
                return _Storage(dtype, key, size)
        raise pickle.UnpicklingError(
            f"Expected a reference to a whole storage, received {reference!r}. {_REINSTALL}"
        )


def _check_header(file):
    header = file.read(len(_HEADER))
    if header != _HEADER:
        raise pickle.UnpicklingError(
            f"Expected a torch checkpoint in the legacy format, received a file that starts with "
            f"{header[:4]!r}. Save it with _use_new_zipfile_serialization=False."
        )
    _TensorUnpickler(file).load()


def _check_tensors(state):
    values = state.values() if isinstance(state, dict) else [state]
    for value in values:
        if not (isinstance(value, _Tensor) and isinstance(value.storage, _Storage)):
            raise pickle.UnpicklingError(
                f"Expected a dict of tensors, received {type(value).__name__} in a "
                f"{type(state).__name__}. Save model.state_dict()."
            )
    return state


def _read_storage(file, storage):
    count = int.from_bytes(file.read(8), "little")
    if storage is None or storage.size != count:
        raise pickle.UnpicklingError(
            f"Expected the numbers of {storage}, received {count} numbers. {_REINSTALL}"
        )
    return file.read(count * storage.dtype.itemsize)


def _view(tensor, numbers):
    dtype = tensor.storage.dtype
    try:
        buffer, offset = numbers[tensor.storage.key], tensor.offset * dtype.itemsize
        steps = [stride * dtype.itemsize for stride in tensor.strides]
        # This constructor, unlike as_strided, refuses an array that leaves its buffer.
        return np.ndarray(tensor.shape, dtype, buffer, offset, steps)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(
            f"Expected numbers for {tensor}, received too few ({error}). {_REINSTALL}"
        ) from error
