"""One class against another."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_explain.checks import is_integer
from keras_explain.targets._target import Asked, Target


@keras.saving.register_keras_serializable("keras_explain")
class Difference(Target):
    """The score of one class less that of another: why a cat rather than a dog?

    What speaks for both classes alike cancels, as the outline of an animal does; what tells them
    apart is left. A difference of logits is the logarithm of the ratio of both probabilities. The
    score is that of the builder's `score`; a single sigmoid unit has two classes.

    Args:
        a: the class that is asked about, an index from 0; or a `Region`.
        b: the class that it is compared with; or a `Region`, of the same or another place.

    Raises:
        TypeError: neither.
        ValueError: the same twice, or a class that the model does not have.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        >>> explained = kx.saliency(model, target=kx.targets.Difference(2, 0), signed=True)
        >>> kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
        >>> found = explained.predict(np.ones((1, 3)), verbose=0)["heatmap"][0]
        >>> bool(np.allclose(found, kernel[:, 2] - kernel[:, 0]))
        True
    """

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = _check(a), _check(b)
        if self.a == self.b:
            raise ValueError(
                f"Expected two different classes, received {a!r} twice. Pass the class that the"
                " model might have said instead.")

    def __call__(self, outputs: Any) -> Any:
        """The score of each example, shape (N,), from scores as they are.

        Args:
            outputs: of shape (N, ..., classes).
        """
        return self.columns([ops.convert_to_tensor(outputs)])[:, 0]

    def read(self, asked: Asked) -> list[Any]:
        """The scores of the explained output; a ValueError where it has no such classes.

        Args:
            asked: the model.
        """
        scores = asked.scores()
        for part in (self.a, self.b):
            if isinstance(part, Target):
                part.check(scores.spec)
        classes = scores.spec.shape[-1]
        wrong = [c for c in (self.a, self.b) if is_integer(c) and c >= (classes or c + 1)]
        if wrong:
            raise ValueError(
                f"Expected classes from 0 to {classes - 1}, because the explained output has"
                f" {classes} classes, received {wrong[0]}. Count classes from 0.")
        return [scores]

    def columns(self, values: Sequence[Any]) -> Any:
        """The difference, float32 of shape (N, 1).

        Args:
            values: scores of shape (N, ..., classes), averaged over their places.
        """
        scores = ops.cast(values[0], "float32")
        return self._score(self.a, scores) - self._score(self.b, scores)

    def _score(self, part, scores):
        if isinstance(part, Target):
            return ops.max(part.columns([scores]), axis=-1, keepdims=True)
        if len(scores.shape) > 2:
            scores = ops.mean(scores, axis=tuple(range(1, len(scores.shape) - 1)))
        return scores[:, part : part + 1]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {name: keras.saving.serialize_keras_object(part) if isinstance(part, Target)
                else part for name, part in (("a", self.a), ("b", self.b))}

    def __str__(self) -> str:
        return " rather than ".join(
            str(p) if isinstance(p, Target) else f"class {p}" for p in (self.a, self.b))

    def __repr__(self) -> str:
        return f"Difference({self.a!r}, {self.b!r})"


def _check(part):
    """A class index, or a Region, which may come out of a file."""
    if isinstance(part, dict):
        part = keras.saving.deserialize_keras_object(part)
    if is_integer(part) and part >= 0:
        return int(part)
    if not isinstance(part, Target) or not hasattr(part, "where"):
        raise TypeError(
            f"Expected the index of a class, counted from 0, or a Region, received {part!r}. Pass"
            " numbers such as Difference(2, 0).")
    return part
