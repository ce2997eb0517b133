"""What a text model reads: gradients per token, expressions, words that matter on average."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_explain.checks import check_positive
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient
from keras_explain.progress import Progress, Verbose
from keras_explain.text import _rendering
from keras_explain.text._pieces import check_explained, check_texts, find_words, to_rows, tokenize

__all__ = ["Expression", "MeanGradient", "TextScores", "mean_gradient", "top_expressions"]


@dataclasses.dataclass(frozen=True)
class Expression:
    """A token, the words that the model reads from it, its score and its place in the text."""

    word: str
    text: str
    score: float
    position: int


@dataclasses.dataclass(frozen=True)
class TextScores:
    """One text, token by token.

    `str()` gives the text in color, without color where the output is no terminal, and the
    table of its top expressions; `to_html()` the same for a notebook, which shows it by itself.

    Attributes:
        words: the tokens.
        scores: one for each token, `(tokens,)`.
        predictions: the model's answer for this text.
        width: tokens in an expression.
    """

    words: tuple[str, ...]
    scores: np.ndarray
    predictions: np.ndarray
    width: int = 1

    def top(self, k: int = 5) -> list[Expression]:
        """The `k` tokens with the largest magnitude, best first, as `Expression`s.

        Equal scores stay in the order of the text. Expressions may overlap.
        """
        order = np.argsort(-np.abs(self.scores), kind="stable")[:k]
        return [
            Expression(self.words[i], " ".join(self.words[i : i + self.width]),
                       float(self.scores[i]), int(i))
            for i in order
        ]

    def to_html(self, k: int = 5) -> str:
        """The colored text and the table of the top `k` expressions; everything is escaped."""
        return _rendering.to_html(self, k)

    def to_terminal(self, k: int = 5, color: bool | None = None) -> str:
        """The same for a terminal.

        Args:
            k: expressions in the table.
            color: whether to use ANSI colors; None uses them where standard output is a
                terminal and the environment variable NO_COLOR is not set.
        """
        return _rendering.to_terminal(self, k, color)

    def __str__(self) -> str:
        return self.to_terminal()

    def _repr_html_(self) -> str:
        return self.to_html()


def top_expressions(
    explained: ExplainedModel,
    texts: Sequence[str],
    *,
    width: int | None = None,
    tokenizer: Callable[..., Any] | None = None,
    batch_size: int = 32,
    verbose: Verbose = "auto",
) -> list[TextScores]:
    """Rank the tokens of texts, and show what the model reads from each.

    A convolution over an embedding reads a few words at a time. The norm of the gradient at a
    token's embedding says how much the answer depends on it; the expression is the token and
    what follows within the convolution's width.

    Reference: Hechtlinger 2016, "Interpretation of Prediction Models Using the Input Gradient",
    https://arxiv.org/abs/1611.07634.

    Args:
        explained: an explained model with one score per token, `keras_explain.saliency(model)`
            for the paper's.
        texts: a list of strings.
        width: tokens in an expression; None takes the widest one-dimensional convolution of the
            model, 1 without one.
        tokenizer: for models that take integers, what makes them: a `TextVectorization` layer,
            or a function from a text to its words and their ids, two lists.
        batch_size: texts explained at a time.
        verbose: progress on stderr: "auto" where it is a terminal, 0 never, 1 always.

    Returns:
        A list with one `TextScores` per text.

    Raises:
        TypeError: `explained` is no explained model, or `texts` is one string.
        ValueError: the model takes integers and there is no `tokenizer`, or its heatmap is not
            one score per token.

    Example:
        >>> import keras_explain as kx
        >>> vectorize = keras.layers.TextVectorization(output_sequence_length=4)
        >>> vectorize.adapt(["a fine film", "a dull film"])
        >>> model = keras.Sequential([
        ...     keras.Input((4,), dtype="int32"), keras.layers.Embedding(6, 2),
        ...     keras.layers.Conv1D(3, 2), keras.layers.GlobalMaxPooling1D(),
        ...     keras.layers.Dense(1)])
        >>> (scores,) = top_expressions(kx.saliency(model), ["A fine film."], tokenizer=vectorize)
        >>> scores.words, scores.width
        (('a', 'fine', 'film'), 2)
    """
    check_explained(explained)
    texts = check_texts(texts)
    check_positive("batch_size", batch_size)
    if width is not None:
        check_positive("width", width, "None takes that of the convolutions.")
    program = explained.explainer.question.program
    value = explained.explainer.question.explained[0]
    if value.spec.dtype == "string":
        inputs = np.array(texts, dtype=object)
        if len(value.spec.shape) == 2:
            inputs = inputs[:, None]
        words, _ = find_words(program, value, texts, inputs, batch_size)
    else:
        words, inputs, _ = tokenize(texts, tokenizer, value.spec)
    width = _measure_width(program) if width is None else width
    found, progress = [], Progress(len(texts), "explaining", verbose)
    for start in range(0, len(texts), batch_size):  # batches may be padded to different lengths
        rows = slice(start, start + batch_size)
        outputs = explained.predict_on_batch(inputs[rows])
        maps, answers = (to_rows(outputs[key]) for key in ("heatmap", "predictions"))
        if maps.ndim != 2 or maps.shape[1] < max(map(len, words[rows])):
            raise ValueError(
                f"Expected one score per token, received heatmaps of shape {maps.shape[1:]}."
                " Explain a token model with `saliency`, `gradient_x_input` or"
                " `integrated_gradients`."
            )
        found += [TextScores(tuple(w), row[: len(w)], answer, width)
                  for w, row, answer in zip(words[rows], maps, answers, strict=True)]
        progress.advance(len(maps))
    progress.close()
    return found


def _measure_width(program):
    widths = [
        (layer.kernel_size[0] - 1) * layer.dilation_rate[0] + 1
        for layer in (step.fn for step in program.steps)
        if isinstance(layer, keras.layers.Conv1D)
    ]
    return max(widths, default=1)
