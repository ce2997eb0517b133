"""The signature that takes encoded images and answers with pictures."""

import tensorflow as tf
from keras import tree

from keras_explain.exporting import decoding, drawing


class ImageSignature:
    """Bytes in; predictions, top labels, heatmap and overlay out. For options see `export`."""

    def __init__(self, explainer, answer, labels, preprocess, convert, *,
                 size=None, fit="stretch", top=5, alpha=0.5, max_pixels=2**26):
        if fit not in decoding.FITS:
            raise ValueError(f"Expected `fit` to be one of {decoding.FITS}, received {fit!r}."
                             " Choose what the training did.")
        if not 0 <= alpha <= 1:
            raise ValueError(f"Expected `alpha` between 0 and 1, received {alpha!r}. 0 shows the"
                             " image alone, 1 the heatmap.")
        self.explainer, self.answer, self.labels = explainer, answer, labels
        self.fit, self.top, self.alpha, self.max_pixels = fit, top, alpha, max_pixels
        (spec,) = tree.flatten(explainer.question.symbolic_inputs())
        self.channels_first = _channels_first(explainer)
        shape = spec.shape[2:] + spec.shape[1:2] if self.channels_first else spec.shape[1:]
        self.height, self.width = size or shape[:2]
        self.channels, self.dtype = shape[2], spec.dtype
        self.preprocess = preprocess and self._convert(preprocess, convert)

    @staticmethod
    def refusal(explainer, options):
        """Why a model has no such signature; None if it can have it."""
        specs = tree.flatten(explainer.question.symbolic_inputs())
        reason = None
        if len(specs) != 1:
            reason = f"{len(specs)} inputs"
        elif len(specs[0].shape) != 4:
            reason = f"an input of shape {specs[0].shape}"
        elif len(explainer.keys) != 1 or len(explainer.heatmap_shapes()) != 1:
            reason = "several heatmaps"
        else:
            first = _channels_first(explainer)
            channels, size = specs[0].shape[1 if first else 3], specs[0].shape[2:]
            size = size if first else specs[0].shape[1:3]
            if channels not in (1, 3):
                reason = f"{channels} channels"
            elif None in size and not options.get("size"):
                reason = ("images of any size; pass image_options={'size': (height, width)} to"
                          " say to which to resize")
        return reason and (
            "Expected a model of one image with 1 or 3 channels for the signature"
            f" `explain_image`, received one of {reason}. Export without it:"
            " signatures=('explain', 'explain_class')."
        )

    def explain_top(self, image_bytes):
        """`explain_image`."""
        return self._answer(image_bytes)

    def explain_chosen(self, image_bytes, target):
        """`explain_image_class`."""
        classes = self.explainer.question.classes
        wrong = tf.logical_or(target < -1, target >= classes)
        message = tf.strings.join([
            f"Expected a target from -1 (top class) to {classes - 1}, received ",
            tf.strings.as_string(target), ". Count classes from 0.",
        ])
        errors = tf.where(wrong, message, "")
        return self._answer(image_bytes, tf.where(wrong, -1, target), errors)

    def _answer(self, image_bytes, target=None, errors=""):
        pixels, unread = decoding.decode_all(image_bytes, self.height, self.width, self.channels,
                                             self.fit, self.max_pixels)
        errors = tf.where(unread != "", unread, errors)
        outputs = self.answer(self._model_input(pixels), target)
        fine = errors == ""
        outputs = {k: _where(fine, v) for k, v in outputs.items()}
        signed = self.explainer.signed and self.explainer.normalize != "range"
        heatmap = outputs["heatmap"]
        if "disagreement" in outputs:
            heatmap = drawing.fade(heatmap, outputs["disagreement"])
        picture = drawing.overlay(pixels, heatmap, signed, self.alpha)
        pngs = tf.map_fn(tf.io.encode_png, picture, fn_output_signature=tf.string)
        return {**outputs, **self._top(outputs, fine), "error": errors,
                "overlay_bytes": tf.where(fine, pngs, "")}

    def _model_input(self, pixels):
        if self.preprocess:
            pixels = self.preprocess(pixels)
        if self.channels_first:
            pixels = tf.transpose(pixels, (0, 3, 1, 2))
        if "int" in self.dtype:
            pixels = tf.round(pixels)
        return tf.cast(pixels, self.dtype)

    def _convert(self, preprocess, convert):
        """`preprocess` as a TensorFlow function, on every backend, its result checked."""
        shape = (None, self.height, self.width, self.channels)
        spec = tf.TensorSpec(shape, tf.float32, name="pixels")
        name = f"preprocess_for_{self.explainer.name}"
        function = convert(lambda pixels: preprocess(pixels), name, [spec])
        traced = tf.function(function, autograph=False).get_concrete_function(spec)
        result = traced.structured_outputs
        if not hasattr(result, "shape") or not result.shape.is_compatible_with(shape):
            raise ValueError(
                f"Expected `preprocess` to return images of shape {shape}, received"
                f" {getattr(result, 'shape', type(result).__name__)}. It gets pixels of that"
                " shape, channels last, and may change the numbers, not the layout."
            )
        return function

    def _top(self, outputs, fine):
        """The best classes of each image; nothing for models that do not classify."""
        scores = class_probabilities(self.explainer, outputs)
        if scores is None:
            return {}
        scores, classes = tf.math.top_k(scores, min(self.top, scores.shape[-1]))
        classes = tf.where(fine[:, None], classes, -1)
        names = tf.where(fine[:, None], self.labels.lookup(classes), "")
        return {"top_scores": scores, "top_classes": classes, "top_labels": names}


def class_probabilities(explainer, outputs):
    """The explained output as float32 of shape (N, classes); None if it has no classes."""
    found = [v for k, v in outputs.items() if k == "predictions" or k.startswith("predictions_")]
    if callable(explainer.question.target):
        return None
    scores = tf.cast(found[_index(explainer)], tf.float32)
    if len(scores.shape) != 2 or explainer.question.classes < 2:
        return None
    return tf.concat([1 - scores, scores], axis=-1) if scores.shape[-1] == 1 else scores


def _index(explainer):
    choice, model = explainer.question.output, explainer.model
    if not isinstance(choice, str):
        return choice or 0
    names = list(model.output) if isinstance(model.output, dict) else list(model.output_names)
    return sorted(names).index(choice) if isinstance(model.output, dict) else names.index(choice)


def _channels_first(explainer):
    return explainer.question.program.channel_axis(explainer.question.program.inputs[0]) == 1


def _where(fine, values):
    rank = len(values.shape)
    return tf.where(tf.reshape(fine, (-1, *[1] * (rank - 1))), values, tf.zeros_like(values))
