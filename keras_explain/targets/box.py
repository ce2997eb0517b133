"""A detector's answer nearest to a box."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_explain.checks import check_choice
from keras_explain.targets._target import Asked, Target, check_class

FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "rel_xyxy", "rel_yxyx", "rel_xywh",
           "rel_center_xywh")
LEAST = 1e-4  # of an overlap, whose logarithm is added to a score


@keras.saving.register_keras_serializable("keras_explain")
class Box(Target):
    """A detector's answer nearest to a box: why does it see a dog there?

    Of all boxes that a detector answers, the one is explained whose probability of the class times
    its overlap with the given box (intersection over union) is largest. It is looked for anew in
    each picture, hidden parts and all, so that a box that moves loses what it no longer covers.

    With `score="probability"`, the default of `occlusion` and `rise`, the score is that product, as
    in D-RISE; with "logit" or "log_odds" it is that of the class plus the logarithm of the overlap.
    Non-maximum suppression changes nothing of it, because the best box is what suppression keeps;
    explain the network without.

    Reference: Petsiuk et al. 2021, "Black-box Explanation of Object Detectors via Saliency Maps",
    CVPR, https://arxiv.org/abs/2006.03204.

    Args:
        box: four numbers in `format`, in the units of the model's boxes.
        id: of the class; None for the class that leads at the box in the picture.
        boxes, scores: names or indices of the outputs with boxes (N, boxes, 4) and scores of the
            classes (N, boxes, classes); not read where there is a `decode`.
        format: of all boxes, as in `keras.utils.bounding_boxes`: "xyxy", "yxyx", "xywh" (of the
            upper left corner), "center_xywh" in pixels; "rel_..." as shares of the picture.
        activation: "sigmoid" or "softmax", what makes probabilities of scores that are logits. None
            where the model ends in one of them, or where they are probabilities: their log-odds
            are then the logits.
        decode: from all outputs, as the model gives them, to (boxes, scores), written with
            `keras.ops`: for offsets to anchors, or an answer of one array. To be saved it needs
            `@keras.saving.register_keras_serializable()`.

    Raises:
        TypeError: a box or id that is none.
        ValueError: an empty box, one outside of the picture, an output that is not there or of
            another shape; pictures in which no box of the model overlaps it.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> image = keras.Input((16, 16, 3))
        >>> x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(image))
        >>> where = keras.layers.Dense(20, "sigmoid")(x)
        >>> model = keras.Model(image, {
        ...     "boxes": keras.layers.Reshape((5, 4))(where),
        ...     "scores": keras.layers.Reshape((5, 3))(keras.layers.Dense(15, "sigmoid")(x))})
        >>> box = kx.targets.Box((0.2, 0.2, 0.7, 0.9), 1, format="rel_center_xywh")
        >>> explained = kx.saliency(model, target=box)
        >>> explained.predict(np.random.rand(1, 16, 16, 3), verbose=0)["heatmap"].shape
        (1, 16, 16)
    """

    asks_one_output = False
    takes_score = "probability"
    missing = ("pictures", "in which no box of the model overlaps it, or in which its scores are no"
               " probabilities. Compare `format` with the model's boxes, and pass"
               " activation=\"sigmoid\" or \"softmax\" where the scores are logits.")

    def __init__(
        self, box: Sequence[float], id: int | None = None, *, boxes: str | int = "boxes",
        scores: str | int = "scores", format: str = "xyxy",
        activation: Literal["sigmoid", "softmax"] | None = None,
        decode: Callable[..., Any] | None = None,
    ) -> None:
        check_choice("format", format, FORMATS)
        check_choice("activation", activation, (None, "sigmoid", "softmax"))
        found = np.asarray(box)
        if found.shape != (4,) or found.dtype.kind not in "iuf":
            raise TypeError(
                f"Expected `box` to be four numbers in the format {format!r}, received {box!r}."
                " Take them from the model's own boxes.")
        if decode is not None and not callable(decode):
            decode = keras.saving.deserialize_keras_object(decode)
        self.box, self.id = tuple(map(float, found)), check_class(id, "at the box")
        self.boxes, self.scores, self.format = boxes, scores, format
        self.activation, self.decode = activation, decode
        x, y, right, bottom = self._corners
        if not (np.isfinite(found).all() and right > x and bottom > y):
            raise ValueError(
                f"Expected a box with an area, received {box!r}, which is from ({x:g}, {y:g}) to"
                f" ({right:g}, {bottom:g}) in the format {format!r}. Choose its `format`.")

    @property
    def _corners(self):
        """Left, top, right and bottom."""
        return np.asarray(_to_corners(np.asarray(self.box), self.format, np.stack))

    def __call__(self, outputs: Any) -> Any:
        """The score of each example, shape (N,), from answers as they are.

        Args:
            outputs: as the model gives them.
        """
        boxes, scores = self.decode(outputs) if self.decode is not None else (
            outputs[self.boxes], outputs[self.scores])
        boxes, scores = (ops.cast(ops.convert_to_tensor(x), "float32") for x in (boxes, scores))
        if self.activation is not None:
            scores = ops.sigmoid(scores) if self.activation == "sigmoid" else ops.softmax(scores)
        return ops.max(self.columns([boxes, scores, scores]), axis=-1)

    def read(self, asked: Asked) -> list[Any]:
        """Boxes, probabilities and scores; a ValueError where they do not fit.

        Args:
            asked: the model.
        """
        self._check_place(asked.picture_size())
        boxes, scores = asked.decode(self.decode) if self.decode is not None else (
            self.boxes, self.scores)
        read = [asked.output(boxes), asked.scores(scores, self.activation, "probability"),
                asked.scores(scores, self.activation, likely=True)]
        shape, other = (tuple(r.spec.shape) for r in read[:2])
        if len(shape) != 3 or shape[-1] != 4 or len(other) != 3 or shape[1] != other[1]:
            raise ValueError(
                "Expected boxes of shape (N, boxes, 4) and as many scores (N, boxes, classes),"
                f" received {shape} and {other}. Name the outputs with `boxes=` and `scores=`, or"
                " make them with `decode=`.")
        if self.id is not None and self.id >= other[-1]:
            raise ValueError(
                f"Expected the class of a Box from 0 to {other[-1] - 1}, because the model scores"
                f" {other[-1]} classes, received {self.id}. Count classes from 0.")
        return read

    def _check_place(self, size):
        x, y, right, bottom = self._corners
        relative = self.format.startswith("rel_")
        height, width = (1, 1) if relative else size
        outside = right <= 0 or bottom <= 0 or (width is not None and x >= width) or (
            height is not None and y >= height)
        if outside or not relative and max(right - x, bottom - y) < 1:
            raise ValueError(
                f"Expected a box in a picture of (height, width) {(height, width)}, received"
                f" {self.box}, which is from ({x:g}, {y:g}) to ({right:g}, {bottom:g}). Choose its"
                " `format`, or take it from the model's own boxes.")

    def count_columns(self, specs: Sequence[keras.KerasTensor]) -> int:
        """One score, or one for each class where `id` is None.

        Args:
            specs: boxes, probabilities and scores, symbolic.
        """
        return specs[1].shape[-1] if self.id is None else 1

    def columns(self, values: Sequence[Any], score: str = "probability") -> Any:
        """The scores of the best boxes, float32 of shape (N, 1), or (N, classes).

        Args:
            values: boxes (N, boxes, 4), probabilities (N, boxes, classes), and scores of the same
                shape.
            score: what the last of them are.
        """
        boxes, likely, scores = values
        if self.id is not None:
            likely, scores = (x[..., self.id : self.id + 1] for x in (likely, scores))
        overlap = ops.expand_dims(self.overlap(boxes), -1)
        best = ops.argmax(likely * ops.maximum(overlap, LEAST), axis=1)
        chosen = ops.cast(ops.equal(ops.expand_dims(best, 1), _count(overlap, best.dtype)),
                          "float32")
        scores, overlap = (ops.sum(x * chosen, axis=1) for x in (scores, overlap))
        if score == "probability":
            return scores * overlap
        return scores + ops.log(ops.maximum(overlap, LEAST))

    def overlap(self, boxes: Any) -> Any:
        """Intersection over union of this box with others, shape (N, boxes).

        Args:
            boxes: of shape (N, boxes, 4), in this box's format.
        """
        boxes = _to_corners(ops.cast(boxes, "float32"), self.format, ops.stack)
        own = [float(n) for n in self._corners]
        width = ops.minimum(boxes[..., 2], own[2]) - ops.maximum(boxes[..., 0], own[0])
        height = ops.minimum(boxes[..., 3], own[3]) - ops.maximum(boxes[..., 1], own[1])
        common = ops.maximum(width, 0.0) * ops.maximum(height, 0.0)
        areas = ops.maximum(boxes[..., 2] - boxes[..., 0], 0.0) * ops.maximum(
            boxes[..., 3] - boxes[..., 1], 0.0)
        area = (own[2] - own[0]) * (own[3] - own[1])
        return common / (areas + area - common)

    def finds(self, values: Sequence[Any]) -> Any:
        """Whether a box overlaps and has a probability, bool of shape (N,).

        Args:
            values: boxes, probabilities and scores.
        """
        is_probability = ops.logical_and(values[1] >= -1e-3, values[1] <= 1.001)
        return ops.logical_and(ops.any(self.overlap(values[0]) > 0, axis=1),
                               ops.all(is_probability, axis=(1, 2)))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        decode = self.decode and keras.saving.serialize_keras_object(self.decode)
        return {"box": list(self.box), "id": self.id, "boxes": self.boxes, "scores": self.scores,
                "format": self.format, "activation": self.activation, "decode": decode}

    def __eq__(self, other):
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in (
                "box", "id", "boxes", "scores", "format", "activation", "decode"))

    def __hash__(self):
        return hash((self.box, self.id, self.format))

    def __str__(self) -> str:
        what = "top class" if self.id is None else f"class {self.id}"
        return f"{what} in the box {tuple(round(n, 3) for n in self.box)}"

    def __repr__(self) -> str:
        return f"Box({self.box!r}, {self.id!r}, format={self.format!r})"


def _to_corners(boxes, format, stack):
    """Boxes as left, top, right, bottom on the last axis."""
    a, b, c, d = (boxes[..., i] for i in range(4))
    corners = {
        "xyxy": lambda: (a, b, c, d), "yxyx": lambda: (b, a, d, c),
        "xywh": lambda: (a, b, a + c, b + d),
        "center_xywh": lambda: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    }[format.removeprefix("rel_")]()
    return stack(corners, -1)


def _count(x, dtype):
    """0, 1, 2 ... along the boxes, of shape (N, boxes, 1)."""
    return ops.cumsum(ops.ones_like(x, dtype=dtype), axis=1) - 1
