"""What a language model says at one place of a text."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_explain.checks import check_choice, is_integer
from keras_explain.targets._target import Asked, Target

SCORES = ("logit", "log_probability")


@keras.saving.register_keras_serializable("keras_explain")
@dataclasses.dataclass(frozen=True)
class Token(Target):
    """The score of a token at a position: why does a language model go on like this?

    For models with logits for each position, of shape (N, T, vocabulary). What such a model says
    at a position is its guess at the *next* token, so that the last position of a prompt tells
    how it goes on. An answer of several tokens is explained as a whole: their scores at
    consecutive positions are added up.

    Args:
        position: where in the text; negative positions count from its end. Padding is no part of
            the text where an input beside the tokens tells of it, a mask that is 0 there. Without
            one the end is that of the axis, and where the embedding says that 0 is padding
            (`mask_zero=True`), texts with padding at the position are an error.
        id: of the token; a sequence of ids for an answer, the first of them at `position`; None
            for the token that the model itself finds likeliest there.
        score: "logit", which every method explains; or "log_probability", from which what raises
            all tokens alike has been taken out. It is no sum of contributions, so that
            `local_linear` refuses it.

    Raises:
        TypeError: a position or id that is no integer.
        ValueError: a negative id, no id at all, or an answer that ends beyond the text.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> ids = keras.Input((6,), dtype="int32")
        >>> x = keras.layers.Embedding(9, 8)(ids)
        >>> x = x + keras.layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
        >>> model = keras.Model(ids, keras.layers.Dense(9)(x))
        >>> explained = kx.local_linear(model, target=kx.targets.Token(-1, 5))
        >>> out = explained(np.array([[1, 2, 3, 4, 5, 6]]))
        >>> total = keras.ops.sum(out["heatmap"], axis=-1) + out["remainder"]
        >>> bool(keras.ops.abs(total - out["predictions"][:, -1, 5])[0] < 1e-5)
        True
    """

    position: int
    id: int | Sequence[int] | None = None
    score: Literal["logit", "log_probability"] = "logit"

    reads_padding = True
    missing = ("texts", "that have padding there or are shorter. Leave them out, or give texts of"
               " one length together.")

    def __post_init__(self) -> None:
        several = isinstance(self.id, Sequence) or hasattr(self.id, "tolist")
        ids = [None] if self.id is None else list(self.id) if several and not is_integer(
            self.id) and not isinstance(self.id, str) else [self.id]
        if not is_integer(self.position) or not all(i is None or is_integer(i) for i in ids):
            raise TypeError(
                "Expected `position` to be an integer and `id` one, several or None, received"
                f" position={self.position!r} and id={self.id!r}. A tokenizer's `token_to_id`"
                " gives the id of a word.")
        if not ids or any(i is not None and i < 0 for i in ids):
            raise ValueError(
                f"Expected `id` to be a number from 0, several or None, received {self.id!r}."
                " None takes the model's own likeliest token.")
        if self.position < 0 <= self.position + len(ids) - 1:
            raise ValueError(
                f"Expected an answer of {len(ids)} tokens to end within the text, received"
                f" position {self.position}. Begin at {-len(ids)} or before.")
        check_choice("score", self.score, SCORES)
        object.__setattr__(self, "position", int(self.position))
        if self.id is not None:
            kept = tuple(map(int, ids))
            object.__setattr__(self, "id", kept if several and not is_integer(self.id) else kept[0])

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids as a tuple; empty for the model's own token."""
        return () if self.id is None else self.id if isinstance(self.id, tuple) else (self.id,)

    @property
    def length(self) -> int:
        """How many positions are asked about."""
        return max(len(self.ids), 1)

    @property
    def counts_from_end(self) -> bool:
        """Whether padding at the end moves the position."""
        return self.position < 0

    def __call__(self, outputs: Any) -> Any:
        """The score of each example, shape (N,), from logits alone.

        Args:
            outputs: logits of shape (N, T, vocabulary).
        """
        return ops.max(self.columns([outputs]), axis=-1)

    def read(self, asked: Asked) -> list[Any]:
        """The logits of the explained output; a ValueError where it has no such position or id.

        Args:
            asked: the model.
        """
        logits = asked.logits()
        shape = tuple(logits.spec.shape)
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                "Expected a model with logits for each position, an output of shape (N, T,"
                f" vocabulary), for a Token, received one of shape {shape}. Choose another"
                " `output=`, or pass the class as `target`.")
        if any(i >= shape[-1] for i in self.ids):
            raise ValueError(
                f"Expected ids from 0 to {shape[-1] - 1}, because the model knows so many tokens,"
                f" received {self.id!r}. Take them from the model's own tokenizer.")
        self._check_length(shape[1])
        return [logits]

    def _check_length(self, length):
        last = self.position + self.length - 1
        if length is not None and not -length <= self.position <= last < length:
            received = f"{self.position} for an answer of {self.length} tokens"
            raise ValueError(
                f"Expected positions from {-length} to {length - 1}, because the texts have"
                f" {length} tokens, received {received}. Positions count tokens from 0, or from"
                " the end from -1.")

    def count_columns(self, specs: Sequence[keras.KerasTensor]) -> int:
        """One score, or one for each token of the vocabulary where `id` is None.

        Args:
            specs: the logits, symbolic.
        """
        return 1 if self.ids else specs[0].shape[-1]

    def columns(self, values: Sequence[Any], real: Any = None) -> Any:
        """The scores, float32 of shape (N, 1), or (N, vocabulary) where `id` is None.

        Args:
            values: the logits, of shape (N, T, vocabulary).
            real: bool of shape (N, T), False where a token is padding; None where there is none.
        """
        self._check_length(values[0].shape[1])
        logits = ops.cast(values[0], "float32")
        rows = [self._take(logits, self.position + k, real) for k in range(self.length)]
        if self.score == "log_probability":
            rows = [ops.log_softmax(row, axis=-1) for row in rows]
        if not self.ids:
            return rows[0]
        return sum(row[:, i : i + 1] for row, i in zip(rows, self.ids, strict=True))

    def is_there(self, real: Any, moves: bool) -> Any:
        """Whether each example has text at all positions that are asked about, shape (N,).

        Args:
            real: as above.
            moves: whether padding moves the end of a text.
        """
        if not moves:
            self._check_length(real.shape[1])
            asked = [real[:, self.position + k] for k in range(self.length)]
            return ops.all(ops.stack(asked, axis=1), axis=1)
        needed = -self.position if self.position < 0 else self.position + self.length
        return ops.greater_equal(_count(real), needed)

    def _take(self, logits, position, real):
        """The logits at a position, (N, vocabulary)."""
        if real is None or position >= 0:
            return logits[:, position]
        place = ops.maximum(_count(real) + position, 0)
        here = ops.equal(_number(real), ops.expand_dims(place + 1, -1))
        return ops.matmul(ops.expand_dims(ops.cast(here, "float32"), 1), logits)[:, 0]

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {"position": self.position, "id": self.id, "score": self.score}

    def __str__(self) -> str:
        what = "top token" if not self.ids else "token " + " ".join(map(str, self.ids))
        return f"{what} at position {self.position}"


def _number(real):
    """1, 2, 3 ... along the tokens, int32 of shape (N, T)."""
    return ops.cumsum(ops.ones_like(real, dtype="int32"), axis=1)


def _count(real):
    """How many tokens there are up to the last that is no padding, shape (N,)."""
    return ops.max(ops.where(real, _number(real), 0), axis=1)
