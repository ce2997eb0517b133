"""Explained SavedModels: predictions and heatmaps where keras_explain is not installed."""

import os
import pathlib
import shutil
import tempfile

import keras
from keras import tree

from keras_explain import backend, targets
from keras_explain.explainers.explained_model import ExplainedModel


def export(explained, path, *, overwrite=False):
    """Write a SavedModel that answers with predictions and heatmaps.

    A served model that says why: it loads with TensorFlow alone, in Python as in TensorFlow
    Serving, whose C++ loader refuses what `tf.saved_model.save` writes for a Keras 3 model.

    Signatures, all with any batch size:

    - `serving_default`: the user's model, inputs and outputs as it has them;
    - `explain`: the same inputs; `predictions` and `heatmap` of each image's top class (or of
      the target that `explained` was built with);
    - `explain_class`: the inputs and `target`, int32 of shape (N,), the class to explain for
      each image, -1 for its top class. Not for callable targets.

    Args:
        explained: what a builder returned.
        path: the folder to write. It appears whole or not at all.
        overwrite: whether an existing folder may be replaced.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        TypeError: `explained` is not an explained model.
        FileExistsError: there is something at `path` and `overwrite` is False.
        RuntimeError: the Keras backend is PyTorch, which cannot write SavedModels.

    Example:
        >>> import keras, tempfile, tensorflow as tf, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> folder = kx.export(kx.saliency(model), tempfile.mkdtemp() + "/1")
        >>> sorted(tf.saved_model.load(folder).signatures)
        ['explain', 'explain_class', 'serving_default']
    """
    if not isinstance(explained, ExplainedModel):
        raise TypeError(
            "Expected an explained model, as `grad_cam(model)` returns it, received"
            f" {type(explained).__name__}. Build one first."
        )
    if backend.EXPORT_OPTIONS is None:
        raise RuntimeError(
            "Expected the TensorFlow or JAX backend to export a SavedModel, received PyTorch."
            ' Save with `explained.save("explained.keras")`, load that file under'
            " KERAS_BACKEND=tensorflow and export there."
        )
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"Expected a new folder, received {path}, which exists. Choose the next version"
            " number, or pass overwrite=True."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as scratch:
        written = os.path.join(scratch, "model")
        _archive(explained).write_out(written, verbose=False)
        os.chmod(written, 0o755)
        if path.exists():
            shutil.move(path, os.path.join(scratch, "replaced"))
        os.replace(written, path)
    return path


def _archive(explained):
    explainer = explained.explainer
    model = explainer.model
    archive = keras.export.ExportArchive()
    archive.track(explained)

    def add(name, fn, *specs):
        archive.add_endpoint(name, fn, input_signature=list(specs), **backend.EXPORT_OPTIONS)

    inputs = _specs(explainer.symbolic_inputs())
    add("serving_default", lambda inputs: model(inputs, training=False), inputs)
    add("explain", lambda inputs: _flat(explained(inputs, training=False)),
        _specs(explained.input))
    by_class = _by_class(explained)
    if by_class is not None:
        wish = keras.InputSpec(shape=(None,), dtype="int32", name="target")
        add("explain_class", _two_arguments(by_class), inputs, wish)
    return archive


def _by_class(explained):
    """The twin that takes a class per image; None where a callable decides."""
    if callable(explained.explainer.target):
        return None
    return explained.explainer.variant(target=targets.INPUT).explained_model()


def _two_arguments(by_class):
    def explain_class(inputs, target):
        if isinstance(inputs, dict):
            return _flat(by_class({**inputs, "target": target}, training=False))
        return _flat(by_class([*tree.flatten(inputs), target], training=False))

    return explain_class


def _specs(inputs):
    return tree.map_structure(
        lambda x: keras.InputSpec(shape=(None, *x.shape[1:]), dtype=x.dtype, name=x.name), inputs
    )


def _flat(outputs):
    """Signatures return flat dictionaries: {"heatmap_left": ..., "heatmap_right": ...}."""
    flat = {}
    for path, value in tree.flatten_with_path(outputs):
        flat["_".join(str(part) for part in path)] = value
    return flat
