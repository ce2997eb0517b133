"""What the objects of this package are to the rest of the library."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras

from keras_explain.checks import is_integer


def check_class(id: int | None, where: str) -> int | None:
    """The index of a class as an int, or None.

    Args:
        id: as given.
        where: "at the box": where the leading class is taken from without one.

    Raises:
        TypeError: it is none.
    """
    if id is not None and (not is_integer(id) or id < 0):
        raise TypeError(
            f"Expected `id` to be the index of a class, counted from 0, or None, received {id!r}."
            f" None takes the class that leads {where}.")
    return None if id is None else int(id)


class Asked(Protocol):
    """What a target can read of a model; each gives something with a symbolic `spec`."""

    def logits(self) -> Any:
        """The explained output before its softmax or sigmoid."""

    def scores(
        self, output: Any = None, activation: str | None = None, score: str | None = None,
        likely: bool = False,
    ) -> Any:
        """The scores of the classes of an output, float32 of shape (N, ..., classes).

        They are logits, log-odds or probabilities, as `score` says, or else the builder's.
        `activation` makes probabilities of an output that is logits. With `likely`, what no
        activation is known of is probabilities.
        """

    def output(self, output: str | int | None = None) -> Any:
        """An output as the model gives it."""

    def decode(self, decode: Callable[..., Any]) -> list[Any]:
        """What a function makes of all outputs, to be given to `output` and `scores`."""

    def picture_size(self) -> tuple[int | None, int | None]:
        """Height and width of the first input that is a picture."""

    def layer(self, layer: Any, node_index: int | None = None) -> Any:
        """What a layer gives, with its channels on the last axis."""


class Target:
    """A callable `outputs -> score (N,)` that is asked of inner values rather than of the answer.

    `Question` makes it a step of the traced model. There it reads what it names in `read`: the
    scores before a softmax, several outputs, or what a layer inside gives.
    """

    asks_one_output = True  # whether the builder's `output` chooses what is asked
    reads_padding = False  # whether it is told which tokens are padding
    counts_from_end = False  # whether padding at the end moves what is meant
    takes_score = None  # the score that is meant where a builder leaves it to the target
    missing = None  # examples without what is asked: what they are, and words on their being so

    def read(self, asked: Asked) -> list[Any]:
        """What `columns` is given; a ValueError where the model has nothing of the kind.

        Args:
            asked: the model.
        """
        raise NotImplementedError

    def count_columns(self, specs: Sequence[keras.KerasTensor]) -> int:
        """How many scores an example has; what is explained is the highest of them.

        Args:
            specs: what is read, symbolic.
        """
        return 1

    def finds(self, values: Sequence[Any]) -> Any:
        """Whether each example has what is asked about, bool of shape (N,), where `missing` is set.

        Args:
            values: what is read, as tensors.
        """
        raise NotImplementedError

    def columns(self, values: Sequence[Any]) -> Any:
        """The scores, float32 of shape (N, columns).

        Args:
            values: what is read, as tensors.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Target":
        """A target from what `get_config` gave.

        Args:
            config: the arguments.
        """
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash(str(self.get_config()))
