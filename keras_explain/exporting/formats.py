"""ONNX, LiteRT and OpenVINO: engines that know no gradient operations."""

import contextlib
import importlib.util
import io
import os
import pathlib

import keras
import tensorflow as tf

from keras_explain.exporting import placing

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "openvino": ".xml"}
PACKAGES = {"onnx": "tf2onnx", "openvino": "openvino"}


def write(explained, path, format, overwrite, saved_model_options):
    """Write `explained` as one file for another engine; see `export`."""
    path = pathlib.Path(path)
    _check(path, format, saved_model_options)
    _check_no_gradient(explained, format)
    with placing.place(path, overwrite) as scratch:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            explained.export(str(scratch), format=format, verbose=False)
        weights = scratch.with_suffix(".bin")  # of OpenVINO
        if weights.exists():
            os.replace(weights, path.with_suffix(".bin"))
    return path


def _check(path, format, saved_model_options):
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f'Expected the TensorFlow backend for format="{format}", received'
            f" {keras.backend.backend()}. Save with `explained.save(...)`, load that file under"
            " KERAS_BACKEND=tensorflow and export there."
        )
    foreign = [name for name, value in saved_model_options.items() if value]
    if foreign:
        raise ValueError(
            f'Expected only `explained` for format="{format}", received {foreign}, which make'
            " signatures of a SavedModel. Export a file for each method, and prepare images"
            " before."
        )
    if path.suffix != SUFFIXES[format]:
        raise ValueError(
            f'Expected a path that ends in {SUFFIXES[format]!r} for format="{format}", received'
            f" {path.name!r}. Change the path or the format."
        )
    package = PACKAGES.get(format)
    if package and importlib.util.find_spec(package) is None:
        raise ImportError(
            f'Expected the package {package} for format="{format}", found none. Run: pip install'
            ' "keras3-explain[engines]".'
        )


def _check_no_gradient(explained, format):
    """Gradients are known by what the tape calls its operations."""
    specs = keras.tree.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name), explained.input)
    function = tf.function(lambda inputs: explained(inputs, training=False),
                           input_signature=[specs], autograph=False)
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    if any("gradient_tape" in node.name for node in nodes):
        kind = type(explained.explainer).__name__
        raise ValueError(
            f'Expected a method without gradients for format="{format}", whose engines know no'
            f" gradient operations, received {kind}. Use `cam` (the numbers of Grad-CAM, for"
            " models that end in global average pooling and Dense), `occlusion` or `rise`; or"
            " export a SavedModel, which holds every method."
        )
