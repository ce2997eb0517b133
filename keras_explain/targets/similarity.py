"""How alike two embeddings are."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_explain.checks import check_choice
from keras_explain.targets._target import Asked, Target

MEASURES = ("cosine", "dot", "euclidean")


@keras.saving.register_keras_serializable("keras_explain")
class Similarity(Target):
    """How alike two embeddings are: why does the model think that these two match?

    For models that give an embedding, as of faces, sentences or products. The reference is the
    embedding of another example, or the mean of several: what in this picture makes it like that
    one? A model with two towers gives both embeddings; then the reference is the name of the other
    output, and both inputs get a heatmap.

    Args:
        reference: an embedding, numbers of shape (D,); or the name of another output of the model.
            Embeddings are kept as they are: make a new target after training on.
        measure: "cosine" of the angle between them, from -1 to 1; "dot", their product; or
            "euclidean", their distance with a minus, so that more is more alike.

    Raises:
        TypeError: a reference of another kind.
        ValueError: a reference of another length than the model's embeddings, that is zero or not
            finite; an output that is no embedding or not there.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
        >>> other, x = model.predict(np.random.rand(2, 6), verbose=0), np.random.rand(1, 6)
        >>> target = kx.targets.Similarity(other[0])
        >>> kx.saliency(model, target=target).predict(x, verbose=0)["heatmap"].shape
        (1, 6)
    """

    def __init__(
        self, reference: Any, measure: Literal["cosine", "dot", "euclidean"] = "cosine",
    ) -> None:
        check_choice("measure", measure, MEASURES)
        self.measure, self.reference = measure, reference
        if isinstance(reference, str):
            return
        if ops.is_tensor(reference):
            reference = ops.convert_to_numpy(reference)
        found = np.asarray(reference)
        if found.dtype.kind not in "iuf" or not found.size:
            raise TypeError(
                "Expected `reference` to be an embedding, numbers of shape (D,), or the name of an"
                f" output, received {reference!r}. Pass model.predict(x)[0].")
        if found.ndim == 2 and len(found) == 1:
            found = found[0]
        if found.ndim != 1:
            raise ValueError(
                "Expected `reference` to be one embedding of shape (D,), received shape"
                f" {found.shape}. Take one row, or the mean of several.")
        if not np.isfinite(found).all() or measure == "cosine" and not found.any():
            raise ValueError(
                "Expected `reference` to have a direction, received zeros, NaN or infinity. Take"
                " the embedding of another example.")
        self.reference = tuple(map(float, found))

    def __call__(self, outputs: Any) -> Any:
        """The score of each example, shape (N,), from its embedding.

        Args:
            outputs: embeddings of shape (N, D).
        """
        if isinstance(self.reference, str):
            outputs = [outputs[name] for name in (next(n for n in outputs if n != self.reference),
                                                  self.reference)]
        else:
            outputs = [outputs]
        return self.columns([*map(ops.convert_to_tensor, outputs)])[:, 0]

    def read(self, asked: Asked) -> list[Any]:
        """The embeddings; a ValueError where they do not fit the reference.

        Args:
            asked: the model.
        """
        read = [asked.output()]
        if isinstance(self.reference, str):
            read.append(asked.output(self.reference))
        size = tuple(read[-1].spec.shape)[1:] if len(read) > 1 else (len(self.reference),)
        shape = tuple(read[0].spec.shape)
        if len(shape) != 2 or shape[1:] != size:
            raise ValueError(
                f"Expected embeddings of shape (N, {size[-1] if size else 1}), because the"
                f" reference has so many numbers, received an output of shape {shape}. Pass a"
                " model that ends with its embedding, or choose another `output=`.")
        return read

    def columns(self, values: Sequence[Any]) -> Any:
        """How alike they are, float32 of shape (N, 1).

        Args:
            values: one or two arrays of embeddings (N, D).
        """
        own = ops.cast(values[0], "float32")
        other = ops.cast(values[1], "float32") if len(values) > 1 else ops.expand_dims(
            ops.convert_to_tensor(self.reference, "float32"), 0)
        if self.measure == "euclidean":
            squares = ops.sum(ops.square(own - other), axis=-1, keepdims=True)
            return -ops.sqrt(squares + 1e-12)
        found = ops.sum(own * other, axis=-1, keepdims=True)
        return found if self.measure == "dot" else found / _length(own) / _length(other)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        named = isinstance(self.reference, str)
        return {"reference": self.reference if named else list(self.reference),
                "measure": self.measure}

    def __str__(self) -> str:
        named = isinstance(self.reference, str)
        other = repr(self.reference) if named else f"a reference of {len(self.reference)} numbers"
        return f"likeness to {other}"

    def __repr__(self) -> str:
        return f"Similarity({self.reference!r}, {self.measure!r})"


def _length(x):
    """The length of each row, (N, 1), with a slope where it is zero."""
    return ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-12)
