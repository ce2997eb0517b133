"""What a callback explains with, behind one face: an explained model, or a LIME explainer."""

from typing import NamedTuple

import keras
import numpy as np
from keras import tree

from keras_explain import images
from keras_explain.callbacks._series import (
    draw_lines,
    draw_subjects,
    is_series,
    lay_under,
    lay_under_subjects,
)
from keras_explain.data.predicting import predict_rows
from keras_explain.data.preparing import prepare, prepares
from keras_explain.explainers._explained_model import ExplainedModel


class Column(NamedTuple):
    """What one method says of all examples.

    Args:
        kind: "image", "superpixels" or "words".
        maps: `(N, h, w)` to draw, None for words.
        weights: for superpixels and words a list of weights for each example.
        segments: the superpixels' labels `(H, W)` for each example.
    """

    kind: str
    maps: object = None
    weights: object = None
    segments: object = None

    @property
    def values(self):
        """What the dashboard is given."""
        return self.maps if self.kind == "image" else self.weights


def make_source(builder, model, unpreprocess):
    """The source of a builder, an explained model or a LIME explainer, for a model that trains.

    Raises:
        TypeError: the builder gave something else.
        ValueError: an explained model of another model.
    """
    ready = isinstance(builder, ExplainedModel) or _explains_alone(builder)
    made = builder if ready else builder(model)
    if isinstance(made, ExplainedModel):
        if made.explainer.model is not model:
            raise ValueError(
                "Expected an explained model of the model that trains, received one of"
                f" {made.explainer.model.name!r}. Pass the builder function instead."
            )
        return ModelSource(made, unpreprocess)
    if _explains_alone(made):
        return LimeSource(made, model, unpreprocess)
    raise TypeError(
        "Expected the builder to return an explained model or a LIME explainer, received"
        f" {type(made).__name__}. Pass a function such as keras_explain.grad_cam."
    )


class ModelSource:
    """Explanations by an explained model, all examples in one batch."""

    def __init__(self, explained, unpreprocess):
        self.explained, self.unpreprocess = _at_native_size(explained), unpreprocess
        explainer = self.explained.explainer
        self.model, self.signed = explainer.model, explainer.signed
        self.activation = explainer.question.activation
        program = explainer.question.program
        self.series = [is_series(program, v) for v in explainer.question.explained]

    def columns(self, inputs):
        """A `Column` for each heatmap by tag suffix, and the predictions `(N, classes)`."""
        outputs = predict_rows(self.explained, inputs)
        maps = outputs["heatmap"]
        if "disagreement" in outputs:
            maps = tree.map_structure(images.fade, maps, outputs["disagreement"])
        if not isinstance(maps, dict):
            maps = dict(enumerate(maps)) if isinstance(maps, (list, tuple)) else {"": maps}
        return (
            {_suffix(key): self._column(value, self.series[i % len(self.series)])
             for i, (key, value) in enumerate(maps.items())},
            self._answers(outputs["predictions"]),
        )

    def show_inputs(self, inputs):
        """Pictures or words of the explained inputs, by the same tag suffixes."""
        explainer = self.explained.explainer
        arrays = tree.flatten(_pictures_or_prepared(self.model, inputs))
        arrays = [arrays[explainer.question.index(v)] for v in explainer.question.explained]
        shown = [self._show_array(x, explainer.question.program.data_format(), series)
                 for x, series in zip(arrays, self.series, strict=True)]
        if len(explainer.keys) == 1:
            return {"": shown[0]}
        shown = shown * len(explainer.keys) if len(shown) == 1 else shown
        return {_suffix(key): x for key, x in zip(explainer.keys, shown, strict=True)}

    def _column(self, maps, series):
        if series:
            return Column("image", lay_under(maps))
        if maps.ndim == 3:
            return Column("image", maps)
        if maps.ndim == 2:
            return Column("words", weights=maps)
        raise ValueError(
            f"Expected heatmaps of images, shape (N, H, W), or of tokens, (N, T), received"
            f" {maps.shape}. This callback draws pictures and words only."
        )

    def _show_array(self, array, data_format, series):
        if series and self.unpreprocess is None:
            return draw_lines(array)
        if array.ndim == 2 and array.dtype.kind in "iu":
            return _words(array, self.unpreprocess)
        if data_format == "channels_first" and array.ndim == 4:
            array = np.moveaxis(array, 1, -1)
        return _pictures(array, self.unpreprocess)

    def _answers(self, predictions):
        choice = self.explained.explainer.question.output
        if choice is not None and not hasattr(predictions, "ndim"):
            named = isinstance(predictions, dict) or isinstance(choice, int)
            predictions = predictions[choice] if named else predictions
        rows = [a for a in tree.flatten(predictions) if a.ndim == 2]
        return rows[0] if rows else None


class LimeSource:
    """Explanations by a LIME explainer, one example at a time."""

    signed = True

    def __init__(self, explainer, model, unpreprocess):
        self.explainer, self.model, self.unpreprocess = explainer, model, unpreprocess
        self.activation = None
        self._pictures = None

    def columns(self, inputs):
        """A `Column` under the empty suffix, and the predictions `(N, classes)` if known."""
        found = [self.explainer.explain(x, verbose=0) for x in _take_single(inputs)]
        subjects = [explanation.subject for explanation in found]
        if subjects[0].kind == "text":
            column = Column("words", weights=[explanation.heatmap() for explanation in found])
        elif subjects[0].kind == "image":
            column = Column(
                "superpixels",
                np.stack([explanation.heatmap() for explanation in found]),
                [explanation.weights[0] for explanation in found],
                [subject.segments for subject in subjects],
            )
        elif subjects[0].kind == "series":
            maps = np.stack([explanation.heatmap() for explanation in found])
            column = Column("image", lay_under_subjects(maps, subjects))
        else:
            raise ValueError(
                "Expected explanations of images, series or texts, received explanations of tables."
                " Use `Explanation.show` for those."
            )
        self._subjects = subjects
        return {"": column}, self._answers(found)

    def show_inputs(self, inputs):
        """Pictures or words of the examples explained last."""
        if self._subjects[0].kind == "text":
            return {"": [[s.text[a:b] for a, b, _ in s.spans] for s in self._subjects]}
        if self._subjects[0].kind == "series":
            return {"": draw_subjects(self._subjects)}
        pictures = np.stack([subject.picture for subject in self._subjects])
        return {"": _pictures(pictures, self.unpreprocess)}

    def _answers(self, found):
        """The scores that the explainer gave, NaN for other classes."""
        classes = 1 + max(max(explanation.classes) for explanation in found)
        rows = np.full((len(found), max(classes, 2)), np.nan, np.float32)
        for row, explanation in zip(rows, found, strict=True):
            row[list(explanation.classes)] = explanation.prediction
        return rows


def _explains_alone(builder):
    return hasattr(builder, "explain") and not isinstance(builder, (keras.Model, type))


def _at_native_size(explained):
    """The same method with maps at the size they are computed at; the browser enlarges them.

    It stretches them over the whole picture. Maps that belong elsewhere stay laid over the input.
    """
    explainer = explained.explainer
    if not getattr(explainer, "resize", False):
        return explained
    if not explainer.lies_evenly or prepares(explainer.model):  # which may crop
        return explained
    return explained.explainer.variant(resize=False).explained_model()


def _pictures_or_prepared(model, inputs):
    """Raw pictures as they are; of other inputs what the network gets, as the tokens of texts."""
    flat = tree.flatten(inputs)
    return inputs if len(flat) == 1 and flat[0].ndim == 4 else prepare(model, inputs)


def _suffix(key):
    return "" if key == "" else f"/{key}"


def _pictures(array, unpreprocess):
    """uint8 `(N, H, W, 3)`."""
    array = array[..., None] if array.ndim == 3 else array
    pictures = images.to_uint8(array, unpreprocess)
    if pictures.ndim != 4 or len(pictures) != len(array):
        raise ValueError(
            f"Expected pictures of shape ({len(array)}, H, W, 3) for inputs of shape {array.shape},"
            f" received {pictures.shape}. Pass `unpreprocess`, from a batch of inputs to a batch"
            " of pictures."
        )
    return pictures


def _words(tokens, unpreprocess):
    if unpreprocess is None:
        return [[str(token) for token in row] for row in tokens]
    words = [list(row) for row in unpreprocess(np.array(tokens))]
    if len(words) != len(tokens):
        raise ValueError(
            f"Expected `unpreprocess` to return a list of words for each of {len(tokens)} texts,"
            f" received {len(words)}. An empty list stands for a text without words."
        )
    return words


def _take_single(inputs):
    flat = tree.flatten(inputs)
    if len(flat) != 1:
        raise ValueError(
            f"Expected one input for a LIME explainer, received {len(flat)}. Pass an array, and a"
            " predictor that completes the other inputs."
        )
    rows = flat[0]
    # What NumPy makes of a tensor of strings.
    return [r.decode(errors="replace") if isinstance(r, bytes) else r for r in rows]
