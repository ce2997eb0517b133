"""The tensors of a torch checkpoint, read with NumPy.

A checkpoint is a pickle, which may run any program when Python loads it. Nothing is run here: the
reader knows the few operations that build dicts of tensors, in `_OPERATIONS` and `_read_pickle`,
and refuses every other.
"""

import io
import math
import pathlib
import pickle
import pickletools
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
    file = io.BytesIO(pathlib.Path(path).read_bytes())
    try:
        return _read(file)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # whatever damage leads to
        raise pickle.UnpicklingError(
            f"Expected a torch checkpoint, received a file that cannot be read"
            f" ({type(error).__name__}). {_REINSTALL}"
        ) from error


def _read(file):
    _check_header(file)
    tensors = _check_tensors(_read_pickle(file))
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {key: _read_storage(file, storages.get(key)) for key in _read_pickle(file)}
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


_DTYPES = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
_CALLED = ("collections OrderedDict", "torch._utils _rebuild_tensor_v2")
# Operations that push what they hold, and those that push one object.
_VALUES = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}
_OBJECTS = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
            "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Global(NamedTuple):
    """A name that a pickle asks for; nothing is imported."""

    name: str


def _read_pickle(file):
    """The object of the next pickle in `file`."""
    stack, marks, memo = [], [], {}

    def pop_to_mark():
        first = marks.pop()
        items, stack[first:] = stack[first:], []
        return items

    for operation, value, _ in pickletools.genops(file):
        name = operation.name
        if name in _VALUES:
            stack.append(value)
        elif name in _OBJECTS:
            stack.append(_OBJECTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(pop_to_mark()))
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name in ("APPEND", "APPENDS"):
            items = pop_to_mark() if name == "APPENDS" else [stack.pop()]
            _expect(list, stack[-1]).extend(_expect(str, item) for item in items)
        elif name in ("SETITEM", "SETITEMS"):
            items = pop_to_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            keys = [_expect(str, key) for key in items[::2]]
            _expect(dict, stack[-1]).update(zip(keys, items[1::2], strict=True))
        elif name == "GLOBAL":
            stack.append(_Global(_check_global(value)))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            stack.pop()  # the versions of modules, which torch sets on its dict
        elif name == "STOP":
            return stack.pop()
        elif name != "PROTO":
            raise pickle.UnpicklingError(
                f"Expected a pickle of tensors, received the operation {name}. {_REINSTALL}")


def _expect(kind, value):
    if not isinstance(value, kind):
        raise pickle.UnpicklingError(
            f"Expected {kind.__name__} in the pickle, received {type(value).__name__}."
            f" {_REINSTALL}"
        )
    return value


def _check_global(name):
    if name not in _DTYPES and name not in _CALLED:
        raise pickle.UnpicklingError(
            "Expected a checkpoint that holds tensors only, received one that asks for "
            f"{name.replace(' ', '.')[:200]}. Do not load this file, reinstall its package."
        )
    return name


def _call(function, arguments):
    match function, arguments:
        case _Global(name="collections OrderedDict"), ():
            return OrderedDict()
        case _Global(name="torch._utils _rebuild_tensor_v2"), (
                _Storage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            if all(type(n) is int for n in (offset, *shape, *strides)):
                return _Tensor(storage, offset, shape, strides)
    raise pickle.UnpicklingError(
        f"Expected the parts of a tensor or an empty dict, received others. {_REINSTALL}")


def _storage(reference):
    match reference:
        case "storage", _Global(name=name), str(key), _, int(size), None if name in _DTYPES:
            return _Storage(_DTYPES[name], key, size)
    raise pickle.UnpicklingError(
        f"Expected a reference to a whole storage, received another. {_REINSTALL}")


def _check_header(file):
    header = file.read(len(_HEADER))
    if header != _HEADER:
        raise pickle.UnpicklingError(
            f"Expected a torch checkpoint in the legacy format, received a file that starts with "
            f"{header[:4]!r}. Save it with _use_new_zipfile_serialization=False."
        )
    _read_pickle(file)


def _check_tensors(state):
    values = state.values() if isinstance(state, dict) else [state]
    for value in values:
        if not isinstance(value, _Tensor):
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
        if math.prod(tensor.shape) > tensor.storage.size:  # strides of zero make much of little
            raise ValueError(f"{tensor.storage.size} numbers")
        # This constructor, unlike as_strided, refuses an array that leaves its buffer.
        return np.ndarray(tensor.shape, dtype, buffer, offset, steps)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(
            f"Expected numbers for a tensor of shape {str(tensor.shape)[:100]}, received too few"
            f" ({error}). {_REINSTALL}"
        ) from error
