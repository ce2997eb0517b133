"""Load a SavedModel through TensorFlow's C API, as TensorFlow Serving does; run as a script.

Usage: python c_loader.py SAVED_MODEL. Prints the version that answered, or fails with the
loader's message. The C loader restores variables from the file's own graph, where
`tf.saved_model.load` follows Python objects: it refuses files that Python reads.
"""

import ctypes
import glob
import importlib.util
import os
import sys


def library():
    """libtensorflow of the installed wheel, found without importing TensorFlow."""
    folder = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            loaded = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    for path in glob.glob(os.path.join(folder, "python", "_pywrap_tensorflow_common*.so")) + (
        glob.glob(os.path.join(folder, "python", "lib_pywrap_tensorflow_common*.so"))
    ):
        loaded = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return loaded


def load(path):
    """Raises RuntimeError with the loader's message."""
    tf = library()
    tf.TF_Message.restype = ctypes.c_char_p
    for name in ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions",
                 "TF_LoadSessionFromSavedModel"):
        getattr(tf, name).restype = ctypes.c_void_p
    status, graph = tf.TF_NewStatus(), tf.TF_NewGraph()
    tags = (ctypes.c_char_p * 1)(b"serve")
    tf.TF_LoadSessionFromSavedModel(
        ctypes.c_void_p(tf.TF_NewSessionOptions()), None, os.fsencode(path), tags, 1,
        ctypes.c_void_p(graph), None, ctypes.c_void_p(status),
    )
    if tf.TF_GetCode(ctypes.c_void_p(status)) != 0:
        raise RuntimeError(tf.TF_Message(ctypes.c_void_p(status)).decode())


if __name__ == "__main__":
    load(sys.argv[1])
    print("loaded")
