"""The signatures of an explained SavedModel, on one set of weights."""

import tempfile

import keras
import tensorflow as tf
from keras import tree

from keras_explain import backend
from keras_explain.exporting import describe
from keras_explain.exporting.image_signature import ImageSignature
from keras_explain.exporting.labels import Labels
from keras_explain.graph import targets

SIGNATURES = ("explain", "explain_class", "explain_image", "explain_image_class")


def write(methods, path, wanted, labels, preprocess, image_options):
    """Trace and write everything into the folder `path`; see `export`."""
    wanted = _check_signatures(wanted)
    explainer = methods[""].explainer
    with tempfile.TemporaryDirectory() as scratch:
        labels = Labels(labels, explainer.question.classes, scratch)
        with_images = _check_images(explainer, wanted, preprocess, image_options)
        writer = _Writer(list(methods.values()), labels)
        inputs = _specs(explainer.question.symbolic_inputs())
        writer.compute("serving_default",
                       lambda inputs: explainer.model(inputs, training=False), inputs)
        for name, explained in methods.items():
            suffix = f"_{name}" if name else ""
            selective, answer = _add_tensor_signatures(writer, explained, suffix, inputs)
            if with_images and not ImageSignature.refusal(explained.explainer, image_options):
                image = ImageSignature(explained.explainer, answer, labels, preprocess,
                                       writer.convert, **image_options)
                _add_image_signatures(writer, image, suffix, wanted, selective)
        writer.save(str(path))
    describe.write(path, methods, labels.names, preprocess)


class _Writer:
    """Collects signatures. A function that several of them call is stored once."""

    def __init__(self, explained, labels):
        everything = keras.layers.Layer(name="explained_models")  # a shared weight counts once
        everything.parts, everything.built = explained, True
        self.convert, tables = backend.converter(everything)
        self.signatures, self.tables = {}, [*tables, *labels.tables]

    def compute(self, name, fn, *specs):
        """Add a signature of Keras operations; returns its function."""
        return self.compose(name, self.convert(fn, name, list(specs)), *specs)

    def compose(self, name, fn, *specs):
        """Add a signature of TensorFlow operations and other signatures; returns its function."""
        traced = tf.function(fn, autograph=False).get_concrete_function(*specs)
        self.signatures[name] = traced
        return traced

    def save(self, path):
        """Write with raw TensorFlow variables, each once.

        What hides them behind Keras objects does not load in C++; `ExportArchive` stores each
        weight and each function twice.
        """
        root = tf.Module()
        used = {id(v): v for traced in self.signatures.values() for v in traced.variables}
        root.weights, root.tables = list(used.values()), self.tables
        tf.saved_model.save(root, path, signatures=self.signatures)


def _check_images(explainer, wanted, preprocess, image_options):
    """Options of image signatures that are not written are an error."""
    asked = wanted is not None and any("image" in name for name in wanted)
    given = preprocess is not None or bool(image_options)
    known = ImageSignature.__init__.__kwdefaults__
    unknown = sorted(set(image_options) - set(known))
    if unknown:
        raise ValueError(
            f"Expected `image_options` among {list(known)}, received {unknown}. What turns pixels"
            " into what the model takes is `preprocess=`."
        )
    if given and wanted is not None and not asked:
        raise ValueError(
            "Expected `preprocess` and `image_options` only with `explain_image`, which they are"
            f" for, received signatures={tuple(wanted)}. Add it, or leave them out."
        )
    refusal = ImageSignature.refusal(explainer, image_options)
    if refusal and (asked or given):
        raise ValueError(refusal)
    return asked or wanted is None


def _add_image_signatures(writer, image, suffix, wanted, selective):
    data = tf.TensorSpec((None,), tf.string, name="image_bytes")
    if wanted is None or "explain_image" in wanted:
        writer.compose(f"explain_image{suffix}", image.explain_top, data)
    if selective and (wanted is None or "explain_image_class" in wanted):
        writer.compose(f"explain_image_class{suffix}", image.explain_chosen, data,
                       tf.TensorSpec((None,), tf.int32, name="target"))


def _add_tensor_signatures(writer, explained, suffix, inputs):
    """`explain` and `explain_class`.

    Returns:
        Whether requests can choose a class, and `answer(inputs, target=None)`.
    """
    target, name = explained.explainer.question.target, f"explain{suffix}"
    if callable(target):
        computed = writer.convert(
            lambda inputs: _flat(explained(inputs, training=False)), name, [inputs])
        explain = writer.compose(name, _with_a_row(computed), inputs)
        return False, lambda inputs, target=None: explain(inputs)
    by_class = explained.explainer.variant(target=targets.INPUT).explained_model()
    by_class.check()
    wish = tf.TensorSpec((None,), tf.int32, name="target")
    computed = writer.convert(_two_arguments(by_class), f"explain_class{suffix}", [inputs, wish])
    explain_class = writer.compose(
        f"explain_class{suffix}", _with_a_row(computed), inputs, wish)
    fixed = target if isinstance(target, int) else targets.TOP_CLASS

    def answer(inputs, target=None):
        if target is None:
            target = tf.fill([tf.shape(tree.flatten(inputs)[0])[0]], fixed)
        return explain_class(inputs, target)

    writer.compose(name, lambda inputs: answer(inputs), inputs)
    return True, answer


def _with_a_row(fn):
    """`fn` that sees one row of zeros where there is none: TensorFlow convolves no empty batch."""
    def answer(*inputs):
        rows = tf.shape(tree.flatten(inputs)[0])[0]

        def add_row(x):
            blank = tf.zeros(tf.concat([[tf.maximum(1 - rows, 0)], tf.shape(x)[1:]], 0), x.dtype)
            return tf.ensure_shape(tf.concat([x, blank], 0), x.shape)

        return {k: v[:rows] for k, v in fn(*tree.map_structure(add_row, inputs)).items()}

    return answer


def _two_arguments(by_class):
    def explain_class(inputs, target):
        if isinstance(inputs, dict):
            return _flat(by_class({**inputs, "target": target}, training=False))
        return _flat(by_class([*tree.flatten(inputs), target], training=False))

    return explain_class


def _specs(inputs):
    return tree.map_structure(
        lambda x: tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=x.name), inputs
    )


def _flat(outputs):
    """Signatures return flat dictionaries: {"heatmap_left": ..., "heatmap_right": ...}."""
    flat = {}
    for path, value in tree.flatten_with_path(outputs):
        flat["_".join(str(part) for part in path)] = value
    return flat


def _check_signatures(wanted):
    wanted = (wanted,) if isinstance(wanted, str) else wanted
    unknown = [name for name in wanted or () if name not in SIGNATURES]
    if unknown:
        raise ValueError(
            f"Expected `signatures` among {SIGNATURES}, received {unknown[0]!r}."
            " `serving_default` is always written."
        )
    return wanted
