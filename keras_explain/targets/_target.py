"""What the objects of this package are to the rest of the library."""

from typing import Any

import keras


class Target:
    """A callable `outputs -> score (N,)` that is asked of the logits rather than of the answer.

    `Question` makes it a step of the traced model. There it reads the logits, also where a
    softmax ends the model, and is told which tokens are padding, where the model is.
    """

    counts_from_end = False  # whether padding at the end moves what is meant

    def check(self, answer: keras.KerasTensor) -> None:
        """Refuse an output that this cannot be asked of, as a ValueError.

        Args:
            answer: the explained output, symbolic.
        """
        raise NotImplementedError

    def count_columns(self, answer: keras.KerasTensor) -> int:
        """How many scores an example has; what is explained is the highest of them.

        Args:
            answer: the explained output, symbolic.
        """
        raise NotImplementedError

    def columns(self, logits: Any, real: Any = None) -> Any:
        """The scores, float32 of shape (N, columns).

        Args:
            logits: those of the explained output.
            real: bool of shape (N, T), False where a token is padding; None where there is none.
        """
        raise NotImplementedError

    def is_there(self, real: Any, moves: bool) -> Any:
        """Whether each example has what is asked about, outside of padding, bool of shape (N,).

        Args:
            real: as above.
            moves: whether `columns` is given it as well, so that padding moves the end of a text.
        """
        raise NotImplementedError
