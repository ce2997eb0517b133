"""Load and ask a SavedModel through TensorFlow's C API, as TensorFlow Serving does.

Usage as a script: python c_loader.py SAVED_MODEL [SIGNATURE ...]. Asks the signatures with
inputs of zeros (batch 2, free sizes 16) and prints their outputs' shapes, or fails with the
loader's message. The C loader restores variables from the file's own graph, where
`tf.saved_model.load` follows Python objects: it refuses files that Python reads.
"""

import ctypes
import glob
import importlib.util
import os
import sys

import ml_dtypes
import numpy as np

TYPES = {1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 7: np.bytes_, 9: np.int64,
         10: np.bool_, 14: ml_dtypes.bfloat16, 19: np.float16}
STRING = 24  # bytes of a TF_TString


class Output(ctypes.Structure):
    """TF_Output: one output of an operation."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def library():
    """libtensorflow of the installed wheel."""
    folder = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            loaded = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    for path in glob.glob(os.path.join(folder, "python", "_pywrap_tensorflow_common*.so")) + (
        glob.glob(os.path.join(folder, "python", "lib_pywrap_tensorflow_common*.so"))
    ):
        loaded = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_GraphOperationByName",
                 "TF_LoadSessionFromSavedModel", "TF_AllocateTensor", "TF_TensorData",
                 "TF_StringGetDataPointer"):
        getattr(loaded, name).restype = ctypes.c_void_p
    loaded.TF_Message.restype = ctypes.c_char_p
    loaded.TF_Dim.restype = ctypes.c_int64
    loaded.TF_TensorByteSize.restype = loaded.TF_StringGetSize.restype = ctypes.c_size_t
    return loaded


class SavedModel:
    """A SavedModel in a session of the C API. Raises RuntimeError with the C API's message."""

    def __init__(self, path):
        self.tf, self.path = library(), path
        self.status = ctypes.c_void_p(self.tf.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.tf.TF_NewGraph())
        tags = (ctypes.c_char_p * 1)(b"serve")
        options = ctypes.c_void_p(self.tf.TF_NewSessionOptions())
        self.session = ctypes.c_void_p(self.tf.TF_LoadSessionFromSavedModel(
            options, None, os.fsencode(path), tags, 1, self.graph, None, self.status))
        self._check()

    def ask(self, signature, inputs):
        """NumPy arrays (strings as objects) in and out, under the signature's names."""
        feeds = [self._output(signature.inputs[name].name) for name in inputs]
        fetches = [self._output(tensor.name) for tensor in signature.outputs.values()]
        given = (ctypes.c_void_p * len(feeds))(*[self._tensor(x) for x in inputs.values()])
        answer = (ctypes.c_void_p * len(fetches))()
        self.tf.TF_SessionRun(
            self.session, None, (Output * len(feeds))(*feeds), given, len(feeds),
            (Output * len(fetches))(*fetches), answer, len(fetches), None, 0, None, self.status)
        self._check()
        return dict(zip(signature.outputs, map(self._array, answer), strict=True))

    def _check(self):
        if self.tf.TF_GetCode(self.status) != 0:
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def _output(self, name):
        operation, _, index = name.partition(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        return Output(found, int(index or 0))

    def _tensor(self, array):
        strings = array.dtype.kind in "OS"
        kind = 7 if strings else next(k for k, v in TYPES.items() if v == array.dtype)
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = array.size * STRING if strings else array.nbytes
        tensor = self.tf.TF_AllocateTensor(kind, shape, array.ndim, ctypes.c_size_t(size))
        place = self.tf.TF_TensorData(ctypes.c_void_p(tensor))
        if not strings:
            ctypes.memmove(place, np.ascontiguousarray(array).ctypes.data, size)
        for i, text in enumerate(array.ravel() if strings else ()):
            cell = ctypes.c_void_p(place + i * STRING)
            self.tf.TF_StringInit(cell)
            self.tf.TF_StringCopy(cell, bytes(text), ctypes.c_size_t(len(text)))
        return tensor

    def _array(self, pointer):
        tensor = ctypes.c_void_p(pointer)
        shape = [self.tf.TF_Dim(tensor, i) for i in range(self.tf.TF_NumDims(tensor))]
        kind, place = self.tf.TF_TensorType(tensor), self.tf.TF_TensorData(tensor)
        if kind != 7:
            data = ctypes.string_at(place, self.tf.TF_TensorByteSize(tensor))
            return np.frombuffer(data, TYPES[kind]).reshape(shape)
        texts = np.empty(shape, object)
        for i in range(texts.size):
            cell = ctypes.c_void_p(place + i * STRING)
            texts.flat[i] = ctypes.string_at(self.tf.TF_StringGetDataPointer(cell),
                                             self.tf.TF_StringGetSize(cell))
        return texts


def signatures(path):
    """The SignatureDefs of a SavedModel, by name."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        saved.ParseFromString(file.read())
    return dict(saved.meta_graphs[0].signature_def)


def zeros(tensor):
    shape = [d.size for d in tensor.tensor_shape.dim]
    shape = [2, *[16 if n < 0 else n for n in shape[1:]]]
    return np.full(shape, b"", object) if tensor.dtype == 7 else np.zeros(
        shape, TYPES[tensor.dtype])


if __name__ == "__main__":
    known, model = signatures(sys.argv[1]), SavedModel(sys.argv[1])
    for name in sys.argv[2:]:
        given = {k: zeros(t) for k, t in known[name].inputs.items()}
        print(name, {k: v.shape for k, v in model.ask(known[name], given).items()})
    print("loaded")
