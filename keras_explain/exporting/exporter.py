"""`export`: an explained model as a file for another program."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import tree

from keras_explain import backend
from keras_explain.checks import check_choice
from keras_explain.data.preparing import prepare, prepares
from keras_explain.explainers._explained_model import ExplainedModel

FORMATS = ("saved_model", "onnx", "litert", "openvino")


def export(
    explained: keras.Model, path: str | os.PathLike, *,
    methods: Mapping[str, keras.Model] | None = None, signatures: Sequence[str] | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    preprocess: Callable[..., Any] | None = None,
    image_options: Mapping[str, Any] | None = None,
    format: Literal["saved_model", "onnx", "litert", "openvino"] = "saved_model",
    versioned: bool = False, overwrite: bool = False,
) -> pathlib.Path:
    """Write a model that answers with predictions and heatmaps where keras_explain is absent.

    A served model that says why: the SavedModel loads with TensorFlow alone, in Python as in
    TensorFlow Serving, whose C++ loader refuses what `tf.saved_model.save` writes for a Keras 3
    model. The folder explains itself: `README.md` for people, `explanation.json` for programs.

    Signatures, all with any batch size:

    - `serving_default`: the user's model, inputs and outputs as it has them;
    - `explain`: the same inputs; `predictions` and `heatmap` of each image's top class (or of
      the class or callable that `explained` was built with);
    - `explain_class`: the inputs and `target`, int32 of shape (N,), the class to explain for
      each image, -1 for its top class. Not for callable targets;
    - `explain_image`, for models of one image: `image_bytes`, encoded JPEG, PNG, GIF, BMP or
      WebP of any size, strings of shape (N,). Gives `predictions`, `heatmap`, `overlay_bytes`
      (PNG, the heatmap over what the model saw), `error` (per image, "" if there is none; the other
      outputs of that image are then zero or empty) and, for classifiers, `top_labels`,
      `top_classes`, `top_scores`, best first;
    - `explain_image_class`: `image_bytes` and `target`.

    Args:
        explained: what a builder returned.
        path: the folder (or file, see `format`) to write. It appears whole or not at all.
        methods: dict from names to further explained models of the same user's model. Each adds
            the signatures above with its name behind, as in `explain_occlusion`. Weights are
            stored once.
        signatures: names of those to write beside `serving_default`; what they build on comes
            with them. None writes all that the model allows.
        class_names: names of the classes, in order; a list, or a text file with one per line.
        preprocess: from RGB pixels, float32 of shape (N, H, W, channels), 0 to 255, to what the
            model takes: a Keras layer or a function of Keras operations. None: as they are.
        image_options: dict of further options of `explain_image`: `size`, (height, width), for
            models that take any; `fit`, "stretch" or "crop" (the central part of the model's
            shape); `top`, how many classes (5); `alpha`, the heatmap's weight in the overlay
            (0.5); `max_pixels`, above which an image is refused (2 ** 26).
        format: "saved_model", or for engines without TensorFlow "onnx", "litert" or "openvino",
            which hold `explain` alone and know no gradient operations: `cam`, `occlusion` and
            `rise` convert. See docs/export.md.
        versioned: write `path/1`, or the next number, as TensorFlow Serving expects it.
        overwrite: whether what is at `path` may be replaced.

    Returns:
        What was written, a `pathlib.Path`.

    Raises:
        TypeError: `explained` is not an explained model.
        ValueError: signatures, labels or options that do not fit the model; a target with one
            class per image, which fits one batch only; gradients in a format without them.
        FileExistsError: there is something at `path` and `overwrite` is False.
        RuntimeError: the Keras backend cannot write this format.

    Example:
        >>> import keras, tempfile, tensorflow as tf, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> folder = kx.export(kx.saliency(model), tempfile.mkdtemp(), versioned=True)
        >>> folder.name, sorted(tf.saved_model.load(folder).signatures)
        ('1', ['explain', 'explain_class', 'serving_default'])
    """
    every = {"": explained, **(methods or {})}
    _check(every)
    _check_graph(explained.explainer.model)
    check_choice("format", format, FORMATS)
    if backend.converter is None:
        raise RuntimeError(
            "Expected the TensorFlow or JAX backend to export a SavedModel, received PyTorch."
            ' Save with `explained.save("explained.keras")`, load that file under'
            " KERAS_BACKEND=tensorflow and export there."
        )
    from keras_explain.exporting import formats, placing, saved_model

    for one in every.values():
        one.check()
    path = placing.next_version(path) if versioned else pathlib.Path(path)
    if format != "saved_model":
        extras = {"methods": methods, "signatures": signatures, "class_names": class_names,
                  "preprocess": preprocess, "image_options": image_options}
        return formats.write(explained, path, format, overwrite, extras)
    with placing.place(path, overwrite) as scratch:
        saved_model.write(every, scratch, signatures, class_names, preprocess, image_options or {})
    return path


def _check_graph(model):
    """Refuse a model whose `predict` prepares its inputs where no graph is.

    What it prepares is tried on inputs that fit the network: one that gives them back as they
    are may be exported.
    """
    if not prepares(model):
        return
    rng = np.random.default_rng(0)
    x = tree.map_structure(
        lambda i: rng.integers(0, 2, [2, *[n or 8 for n in i.shape[1:]]]).astype(i.dtype),
        model.input)
    with contextlib.suppress(ValueError):
        made = prepare(model, x)
        pairs = zip(tree.flatten(x), keras.tree.flatten(made), strict=True)
        if all(np.array_equal(a, b) for a, b in pairs):
            return
    raise ValueError(
        f"Expected a model whose graph takes what its `predict` takes, received {model.name!r},"
        " whose `predict` prepares its inputs before (a task of keras-hub with its preprocessor"
        " does). Explain keras.Model(model.inputs, model.outputs), which takes prepared inputs"
        " everywhere, or set the task's `preprocessor` to None. A preparation of pictures"
        " can be part of the file: pass it as `preprocess`."
    )


def _check(methods):
    for name, explained in methods.items():
        if not isinstance(explained, ExplainedModel):
            raise TypeError(
                "Expected an explained model, as `grad_cam(model)` returns it, received"
                f" {type(explained).__name__}. Build one first."
            )
        if isinstance(explained.explainer.question.target, tuple):
            raise ValueError(
                "Expected a target that fits any batch, received one class for each of"
                f" {len(explained.explainer.question.target)} images. Build with target=None:"
                " requests"
                " then choose classes through the signature `explain_class`."
            )
        if explained.explainer.model is not methods[""].explainer.model:
            raise ValueError(
                f"Expected `methods` of one model, received {name!r} of another model than"
                " `explained`. Build all of them from the same object; after loading a file,"
                " from `explained.explainer.model`."
            )
        if name and (not name.isidentifier() or name in ("class", "image", "image_class")):
            raise ValueError(
                f"Expected names of `methods` like 'occlusion', received {name!r}. They become"
                " part of signature names: use letters, digits and underscores."
            )
