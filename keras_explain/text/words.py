"""The words of texts in the color of what they say for and against the answer."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_explain.checks import check_positive, is_integer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.progress import Progress, Verbose
from keras_explain.text import _rendering
from keras_explain.text._alignment import align, merge
from keras_explain.text._hiding import WordHider, hides_words
from keras_explain.text._naming import name_rows, warn_of_cuts
from keras_explain.text._pieces import check_explained, check_texts, find_pieces, to_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class WordScores:
    """One text, word by word, for one or more classes.

    `str()` gives it in color for a terminal, `to_html()` for a page; notebooks show it by itself.

    Attributes:
        text: as it was given.
        offsets: `(start, end)` of each word in the text; punctuation marks are words too.
        scores: `(targets, words)`, each the sum of the scores of the word's pieces.
        special: `(targets,)`, the sum over what stands for no text, as "[CLS]" and padding.
        targets: the explained class of each row, or "score" for a callable target.
        predictions: the model's answer for this text.
        labels: names of the rows.
        cut: the end of the text that the model was not given, "" for most.
    """

    text: str
    offsets: tuple[tuple[int, int], ...]
    scores: np.ndarray
    special: np.ndarray
    targets: tuple[Any, ...]
    predictions: np.ndarray
    labels: tuple[str, ...]
    cut: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The words as they stand in the text."""
        return tuple(self.text[start:end] for start, end in self.offsets)

    def top(self, k: int = 5, row: int = 0) -> list[tuple[str, float]]:
        """The `k` words of largest magnitude with their scores, best first.

        Args:
            k: how many.
            row: which of `targets`.
        """
        order = np.argsort(-np.abs(self.scores[row]), kind="stable")[:k]
        return [(self.words[i], float(self.scores[row, i])) for i in order]

    def to_html(self) -> str:
        """The text for each class, colored, as a piece of HTML; everything is escaped."""
        return _rendering.words_to_html(self)

    def to_terminal(self, color: bool | None = None) -> str:
        """The text for each class.

        Args:
            color: whether to use ANSI colors; None uses them where standard output is a
                terminal and the environment variable NO_COLOR is not set.
        """
        return _rendering.words_to_terminal(self, color)

    def figure(self, k: int = 10) -> "Figure":
        """Bars of the `k` strongest words for each class.

        Returns:
            `matplotlib.figure.Figure`; notebooks display it, `savefig` writes it.
        """
        return _rendering.draw_words(self, k)

    def __str__(self) -> str:
        return self.to_terminal()

    def _repr_html_(self) -> str:
        return self.to_html()


def show(
    explained: ExplainedModel,
    texts: Sequence[str],
    *,
    target: int | Sequence[int] | None = None,
    tokenizer: Callable[..., Any] | None = None,
    class_names: Sequence[str] | None = None,
    batch_size: int = 32,
    verbose: Verbose = "auto",
) -> list[WordScores]:
    """Explain texts word by word.

    A model reads pieces of words; people read words. The scores of the pieces of a word are
    added up, which keeps the sum of all scores, and each word has its place in the text. Of
    `occlusion` the pieces of a word are hidden together, because what the answer loses without
    them all is no sum. To remove words from the text see `leave_one_out`.

    Args:
        explained: an explained model with one score per token, such as
            `keras_explain.integrated_gradients(model)`. A task of keras-hub is explained on
            strings, through its own preprocessor.
        texts: a list of strings.
        target: for models that were explained with `target="input"`: the classes to show, one
            row each; None shows each text's own top class.
        tokenizer: for models that take integers, what makes them: a `TextVectorization` layer, a
            preprocessor of keras-hub, or a function from a text to its words and their ids, two
            lists.
        class_names: names of the classes.
        batch_size: texts explained at a time.
        verbose: progress on stderr: "auto" where it is a terminal, 0 never, 1 always.

    Returns:
        A list with one `WordScores` per text.

    Raises:
        TypeError: `explained` is no explained model, or `texts` is one string.
        ValueError: the model takes integers and there is no `tokenizer`, its heatmap is not one
            score per token, or `target` is given to a model that takes none.

    Example:
        >>> import keras
        >>> import keras_explain as kx
        >>> vectorize = keras.layers.TextVectorization(output_sequence_length=4)
        >>> vectorize.adapt(["a fine film", "a dull film"])
        >>> model = keras.Sequential([
        ...     keras.Input((4,), dtype="int32"), keras.layers.Embedding(6, 2),
        ...     keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)])
        >>> explained = kx.integrated_gradients(model)
        >>> (scores,) = kx.text.show(explained, ["A fine film."], tokenizer=vectorize)
        >>> scores.words, scores.offsets[1]
        (('A', 'fine', 'film'), (2, 6))
    """
    check_explained(explained)
    texts, question = check_texts(texts), explained.explainer.question
    check_positive("batch_size", batch_size)
    rows, found = _check_target(explained, target), []
    hide = WordHider(explained.explainer, batch_size) if hides_words(explained.explainer) else None
    progress = Progress(len(texts), "explaining", verbose)
    for start in range(0, len(texts), batch_size):
        part = texts[start : start + batch_size]
        inputs, pieces, cut = find_pieces(question, part, tokenizer)
        answers = [_explain(explained, inputs, row, part) for row in rows]
        maps = np.stack([maps for maps, _ in answers], axis=1)
        names = [name_rows(question, rows, answer, class_names) for answer in answers[0][1]]
        some = [_merge(*one) for one in zip(
            part, pieces, cut, maps, answers[0][1], names, strict=True)]
        found += some if hide is None else hide(some, inputs, pieces, rows)
        progress.advance(len(part))
    progress.close()
    warn_of_cuts(found)
    return found


def _check_target(explained, target):
    if target is None:
        return [None]
    rows = [target] if is_integer(target) else list(target)
    if not explained.explainer.question.takes_target:
        raise ValueError(
            f"Expected no `target` for a model that explains one class, received {target!r}. Build"
            ' the explained model with target="input" to choose the classes here.')
    if not rows or not all(is_integer(row) for row in rows):
        raise ValueError(
            f"Expected `target` to be a class or a list of classes, received {target!r}. Leave it"
            " out for the top class.")
    return [int(row) for row in rows]


def _explain(explained, inputs, target, texts):
    """Maps (N, tokens) and answers (N, ...) for one class."""
    given = inputs
    if explained.explainer.question.takes_target:
        wanted = np.full(len(texts), -1 if target is None else target, "int32")
        given = {**inputs, "target": wanted} if isinstance(inputs, dict) else [inputs, wanted]
    outputs = explained.predict(given, verbose=0)
    maps, answers = (to_rows(outputs[key]) for key in ("heatmap", "predictions"))
    if maps.ndim != 2:
        raise ValueError(
            f"Expected one score per token, received heatmaps of shape {maps.shape[1:]}. Explain"
            " a token model with `integrated_gradients`, `saliency` or `occlusion`.")
    return maps, answers


def _merge(text, pieces, cut, maps, answer, names):
    spans = align(text, pieces)
    offsets, places = merge(text, spans)
    scores = np.zeros((len(maps), len(offsets) + 1), maps.dtype)  # the last for what is no text
    np.add.at(scores, (slice(None), np.array(places, int)), maps[:, : len(places)])
    scores[:, -1] += maps[:, len(places):].sum(axis=1)
    end = offsets[-1][1] if offsets else 0
    targets, labels = names
    return WordScores(text, tuple(offsets), scores[:, :-1], scores[:, -1], targets, answer, labels,
                      text[end:].strip() if cut else "")
