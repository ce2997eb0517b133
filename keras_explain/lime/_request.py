"""The arguments of `explain` that images, texts and tables share, checked first of all."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Request:
    """What to explain and how hard to try; the arguments are those of the explainers' `explain`.

    Args:
        class_names: names that `classes` may use, or `None`.
        num_classes: the number of scores, where it is known beforehand, or `None`.
    """

    classes: object
    num_samples: int
    num_features: int | None
    seed: int
    tolerance: float | None
    verbose: object
    class_names: tuple | None = None
    num_classes: int | None = None

    def __post_init__(self):
        check_int("num_samples", self.num_samples, 10, "500 to 5,000 are usual")
        check_int("seed", self.seed, 0, "any such number gives results that can be repeated")
        if self.num_features is not None:
            check_int("num_features", self.num_features, 1, "None keeps all")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(
                "Expected tolerance to be None or a relative error between 0 and 1, received "
                f"{self.tolerance!r}. 0.05 stops when the weights are known to about 5 %."
            )
        object.__setattr__(self, "classes", _check_classes(self.classes, self.class_names))
        if self.num_classes is not None:
            self._check_range(self.num_classes)

    def choose(self, prediction):
        """The classes to explain, as indices, given the input's scores `(classes,)`.

        Top classes come best first; of equal scores the first.
        """
        self._check_range(len(prediction))
        if isinstance(self.classes, int):
            return np.argsort(-prediction, kind="stable")[: self.classes]
        return np.array(self.classes)

    def _check_range(self, count):
        if isinstance(self.classes, int):
            if self.classes > count:
                raise ValueError(
                    f"Expected at most {count} top classes, because the model has {count} scores, "
                    f"received {self.classes}. To explain one class by its index pass "
                    f"classes=[{self.classes}]."
                )
        elif max(self.classes) >= count:
            raise ValueError(
                f"Expected class indices from 0 to {count - 1}, because the model has {count} "
                f"scores, received {max(self.classes)}."
            )


def check_int(name, value, lowest, advice):
    """`value` as an int of `lowest` or more, or a ValueError that ends in `advice`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
        raise ValueError(
            f"Expected {name} to be a whole number of {lowest} or more, received {value!r}. "
            f"{advice}."
        )
    return int(value)


def _check_classes(classes, names):
    """A number of top classes, or a tuple of indices."""
    if classes is None:
        return 1
    if isinstance(classes, (int, np.integer)) and not isinstance(classes, bool):
        return check_int("classes", classes, 1, "to explain one class pass a list of its index")
    if isinstance(classes, (str, bool)) or not np.iterable(classes):
        raise TypeError(
            "Expected classes to be None, a number of top classes or a list of class indices and "
            f"names, received {classes!r}. For one class pass [{classes!r}]."
        )
    chosen = tuple(_class_index(value, names) for value in classes)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ValueError(
            f"Expected one or more different class indices of 0 or more, received {classes!r}."
        )
    return chosen


def _class_index(value, names):
    if isinstance(value, str):
        if names is None or value not in names:
            known = f"Known are {list(names)[:10]}" if names else "The explainer has no class_names"
            raise ValueError(f"Expected the name of a class, received {value!r}. {known}.")
        return list(names).index(value)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"Expected a class index or a class name, received {value!r}.")
    return int(value)
