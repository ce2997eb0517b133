"""A class of a segmentation, over a region of the picture."""

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_explain.checks import is_integer
from keras_explain.targets._target import Asked, Target, check_class


@keras.saving.register_keras_serializable("keras_explain")
class Region(Target):
    """The score of a class over a region: why does a segmentation call these pixels a road?

    For models with scores of classes at each place, as segmentation models have. Without a target
    of this kind such scores are averaged over the whole picture, where all of its objects mix.

    The score is that of the builder's `score`, averaged over the places of the region: logits,
    log-odds or probabilities. A single sigmoid unit has two classes: class 1 is the unit, class 0
    its negated logit.

    Args:
        where: in cells of the model's answer, which for most models are the pixels of its input: a
            place (row, column); a box (top, left, bottom, right), whose bottom and right are
            outside; or a mask, an array (H, W) of True and False. Of series a place is (step,), a
            box (start, end); of volumes there are three numbers or six.
        id: of the class; None for the class with the highest score over the region.

    Raises:
        TypeError: a region or id of another kind.
        ValueError: an empty region; one that does not fit the model's answer; a model with no
            scores at places, or without the class.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> image = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(4, 3, padding="same", activation="tanh")(image)
        >>> model = keras.Model(image, keras.layers.Conv2D(3, 1, activation="softmax")(x))
        >>> explained = kx.saliency(model, target=kx.targets.Region((2, 5), 1))
        >>> heatmap = explained.predict(np.random.rand(1, 8, 8, 1), verbose=0)["heatmap"][0]
        >>> bool(heatmap[1:4, 4:7].any()), bool(heatmap[4:].any())  # what a kernel of 3 sees
        (True, False)
    """

    def __init__(self, where: Any, id: int | None = None) -> None:
        self.id = check_class(id, "over the region")
        self.where = _check_where(where)

    @property
    def _is_mask(self):
        return isinstance(self.where, np.ndarray)

    def __call__(self, outputs: Any) -> Any:
        """The score of each example, shape (N,), from scores at places.

        Args:
            outputs: of shape (N, ..., classes).
        """
        return ops.max(self.columns([ops.convert_to_tensor(outputs)]), axis=-1)

    def read(self, asked: Asked) -> list[Any]:
        """The scores at places; a ValueError where there are none or the region is not there.

        Args:
            asked: the model.
        """
        scores = asked.scores()
        self.check(scores.spec)
        return [scores]

    def check(self, scores: Any) -> None:
        """Refuse scores that have no such places or class, as a ValueError.

        Args:
            scores: of shape (N, ..., classes), symbolic or numbers.
        """
        shape = tuple(scores.shape)
        space, classes = shape[1:-1], shape[-1]
        if not space:
            raise ValueError(
                "Expected a model with scores at each place, an output of shape (N, H, W, classes),"
                f" for a Region, received scores of shape {shape}. Choose another `output=`, or"
                " pass the class as `target`.")
        if self.id is not None and classes is not None and self.id >= classes:
            raise ValueError(
                f"Expected the class of a Region from 0 to {classes - 1}, because the explained"
                f" output has {classes} classes, received {self.id}. Count classes from 0.")
        rank = len(space)
        if self._is_mask and (self.where.ndim != rank or any(
                n not in (None, m) for n, m in zip(space, self.where.shape, strict=True))):
            raise ValueError(
                f"Expected a mask of shape {space}, because the model answers at so many places,"
                f" received {self.where.shape}. Resize it to the model's answer.")
        if self._is_mask:
            return
        if len(self.where) not in (rank, 2 * rank):
            raise ValueError(
                f"Expected {rank} numbers for a place or {2 * rank} for a box, because the model"
                f" answers at places of {rank} axes, received {self.where}. A box is (top, left,"
                " bottom, right).")
        for axis, (first, last) in enumerate(self._span(rank)):
            size = space[axis]
            if first < 0 or last <= first or size is not None and last > size:
                raise ValueError(
                    f"Expected a region within {space}, the size of the model's answer, received"
                    f" {self.where}. Count rows and columns of the answer from 0; the end of a box"
                    " is outside of it.")

    def _span(self, rank):
        """The first place and the end of the region along each axis."""
        first, last = self.where[:rank], self.where[rank:]
        return list(zip(first, last or [n + 1 for n in first], strict=True))

    def count_columns(self, specs: Sequence[keras.KerasTensor]) -> int:
        """One score, or one for each class where `id` is None.

        Args:
            specs: the scores, symbolic.
        """
        return specs[0].shape[-1] if self.id is None else 1

    def columns(self, values: Sequence[Any]) -> Any:
        """The mean scores over the region, float32 of shape (N, 1), or (N, classes).

        Args:
            values: the scores at places, of shape (N, ..., classes).
        """
        scores = ops.cast(values[0], "float32")
        self.check(scores)
        if self.id is not None:
            scores = scores[..., self.id : self.id + 1]
        space = tuple(range(1, len(scores.shape) - 1))
        if self._is_mask:
            share = (self.where / self.where.sum())[None, ..., None]
            return ops.sum(scores * ops.convert_to_tensor(share, "float32"), axis=space)
        for axis, (first, last) in enumerate(self._span(len(space)), 1):
            scores = scores[(slice(None),) * axis + (slice(first, last),)]
        return ops.mean(scores, axis=space)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        where = _pack(self.where) if self._is_mask else list(self.where)
        return {"where": where, "id": self.id}

    def __str__(self) -> str:
        where = f"a mask of {int(self.where.sum())} places" if self._is_mask else self.where
        return f"{'top class' if self.id is None else f'class {self.id}'} over {where}"

    def __repr__(self) -> str:
        return f"Region({self.where!r}, {self.id!r})"


def _check_where(where):
    """A place or box as a tuple of integers, a mask as an array of bool."""
    if isinstance(where, dict):
        return _unpack(where)
    if is_integer(where):
        where = (where,)
    found = np.asarray(where)
    if found.ndim == 1 and found.size and found.dtype.kind in "iu":
        return tuple(map(int, found))
    is_mask = found.dtype.kind == "b" or found.ndim > 1 and found.dtype.kind in "uif"
    if not is_mask or not np.isin(found, (0, 1)).all():
        raise TypeError(
            "Expected a place (row, column), a box (top, left, bottom, right) in whole numbers, or"
            f" a mask of True and False, received {where!r}. Compare weights or labels with a"
            " number to make a mask of them: labels == 3.")
    if not found.any():
        raise ValueError("Expected a mask with at least one place, received an empty one. Mark"
                         " the places to explain with True.")
    return found.astype(bool)


def _pack(mask):
    bits = zlib.compress(np.packbits(mask).tobytes())
    return {"shape": list(mask.shape), "bits": base64.b64encode(bits).decode()}


def _unpack(packed):
    bits = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), np.uint8)
    count = int(np.prod(packed["shape"]))
    return np.unpackbits(bits, count=count).reshape(packed["shape"]).astype(bool)
