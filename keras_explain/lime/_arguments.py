"""The arguments of `explain` that images, texts and tables share, checked first of all."""

import dataclasses
from collections.abc import Mapping, Sequence, Set

import numpy as np

from keras_explain.checks import check_integer, is_integer, nearest
from keras_explain.lime._options import Target
from keras_explain.progress import Verbose
from keras_explain.targets._target import Target as TargetObject


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to explain and how hard to try; the arguments are those of the explainers' `explain`.

    Args:
        class_names: names that `target` may use, or `None`.
        num_classes: the number of scores, where it is known beforehand, or `None`.
    """

    samples: int
    num_features: int | None = None
    seed: int = 0
    tolerance: float | None = None
    verbose: Verbose = "auto"
    target: Target = None
    top: int | None = None
    class_names: tuple[str, ...] | None = None
    num_classes: int | None = None

    def __post_init__(self) -> None:
        check_integer("samples", self.samples, 10, "500 to 5,000 are usual.")
        check_integer("seed", self.seed, 0, "Any such number gives results that can be repeated.")
        if self.num_features is not None:
            check_integer("num_features", self.num_features, 1, "None keeps all.")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(
                "Expected `tolerance` to be None or a relative error between 0 and 1, received"
                f" {self.tolerance!r}. Take 0.05 to stop when the weights are known to about 5 %."
            )
        object.__setattr__(self, "target", _check_target(self.target, self.class_names))
        if self.top is not None:
            if self.target is not None:
                raise ValueError(
                    f"Expected `target` or `top`, received target={self.target!r} and"
                    f" top={self.top!r}. `top` explains the best classes, whatever they are."
                )
            check_integer("top", self.top, 1, "To explain one class pass `target=`.")
        if self.num_classes is not None:
            self._check_range(self.num_classes)

    def choose(self, prediction: np.ndarray) -> np.ndarray:
        """The classes to explain, as indices, given the input's scores `(classes,)`.

        Top classes come best first; of equal scores the first.
        """
        if isinstance(self.target, TargetObject):
            return np.array([prediction.argmax()])  # of one score, or the likeliest token
        if callable(self.target):
            return np.array([0])
        self._check_range(len(prediction))
        if self.target is None:
            return np.argsort(-prediction, kind="stable")[: self.top or 1]
        return np.array(self.target)

    def names(self, classes: Sequence[int]) -> tuple[str, ...]:
        """What the explained classes are called."""
        if isinstance(self.target, TargetObject):
            return (str(self.target),)
        if callable(self.target):
            name = getattr(self.target, "__name__", type(self.target).__name__)
            return ("score" if name == "<lambda>" else name,)
        if self.class_names is None:
            return tuple(map(str, classes))
        return tuple(self.class_names[c] for c in classes)

    def _check_range(self, count: int) -> None:
        if callable(self.target):
            return
        if self.class_names is not None and len(self.class_names) != count:
            raise ValueError(
                f"Expected `class_names` for {count} scores, because the model gives so many for"
                f" an input, received {len(self.class_names)} names. Name each score, and pass a"
                " function that gives scores, such as `predict_proba`, not classes."
            )
        if self.top is not None and self.top > count:
            raise ValueError(
                f"Expected `top` to be at most {count}, because the model has {count} scores,"
                f" received {self.top}. To explain one class by its index pass"
                f" target={self.top}."
            )
        if self.target is not None and max(self.target) >= count:
            raise ValueError(
                f"Expected `target` to be from 0 to {count - 1}, because the model has {count}"
                f" scores, received {max(self.target)}. Count classes from 0."
            )


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, in the order of the scores.

    Raises:
        TypeError: one text, or what has no order of its own.
        ValueError: a name that is there twice.
    """
    if isinstance(names, (str, bytes, Set, Mapping)) or not np.iterable(names):
        raise TypeError(
            "Expected `class_names` to be a list, one name for each score in their order, received"
            f" {names!r:.60}. Pass a list such as ['no', 'yes']."
        )
    named = tuple(map(str, names))
    if len(set(named)) < len(named):
        raise ValueError(
            f"Expected different `class_names`, received {list(named)[:10]}. Name each score once."
        )
    return named


def _check_target(
    target: Target, names: tuple[str, ...] | None
) -> tuple[int, ...] | Target:
    """A tuple of class indices, a callable or `None`."""
    if target is None or callable(target):
        return target
    if isinstance(target, str) or is_integer(target):
        return (_find_class(target, names),)
    if isinstance(target, bool) or not np.iterable(target):
        raise TypeError(
            "Expected `target` to be None, a class index or name, a list of them, or a callable"
            f" from the model's outputs to a score, received {target!r}. None explains the top"
            " class."
        )
    chosen = tuple(_find_class(value, names) for value in target)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"Expected `target` to list one or more different classes, received {target!r}. None"
            " explains the top class."
        )
    return chosen


def _find_class(value: int | str, names: tuple[str, ...] | None) -> int:
    if isinstance(value, str):
        if names is None or value not in names:
            known = "The explainer has no `class_names`."
            if names is not None:
                known = f"Nearest are {nearest(value, names) or list(names)[:10]}."
            raise ValueError(
                f"Expected `target` to be the name of a class, received {value!r}. {known}")
        return names.index(value)
    if not is_integer(value):
        raise TypeError(f"Expected `target` to be a class index or name, received {value!r}."
                        " Indices are whole numbers, counted from 0.")
    return check_integer("target", value, 0, "Classes are counted from 0.")
