"""A text with a score for each word, as HTML and for the terminal."""

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from keras_explain import markup
from keras_explain.terminal import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_explain.text.expressions import TextScores
    from keras_explain.text.words import WordScores

_RESET = "\x1b[0m"


def to_html(text: "TextScores", k: int) -> str:
    """The text of `TextScores.to_html`."""
    largest = float(np.abs(text.scores).max(initial=0)) or 1.0
    words = [markup.mark(word, score, largest)
             for word, score in zip(text.words, text.scores, strict=True)]
    rows = [(f"{e.score:+.3g}", f"<b>{markup.escape(e.word)}</b>", markup.escape(e.text))
            for e in text.top(k)]
    return markup.page(
        f"<p>{' '.join(words)}</p>", markup.table(rows, ("score", "word", "expression")))


def to_terminal(text: "TextScores", k: int, color: bool | None = None) -> str:
    """The text of `TextScores.to_terminal`. Control characters in words are made visible."""
    paint = _painter(text.scores, color)
    lines = [" ".join(paint(i, word) for i, word in enumerate(text.words))]
    for expression in text.top(k):
        lines.append(
            f"{expression.score:+10.3g}  {escape_controls(expression.word):<16}"
            f" {escape_controls(expression.text)}"
        )
    return "\n".join(lines)


def words_to_html(scores: "WordScores") -> str:
    """The text of `WordScores.to_html`."""
    blocks = []
    for label, row in zip(scores.labels, scores.scores, strict=True):
        largest = float(np.abs(row).max(initial=0)) or 1.0
        parts = _lay(scores, lambda i, word, row=row, largest=largest: markup.mark(
            word, row[i], largest), markup.escape)
        blocks.append(f"<p><b>{markup.escape(label)}</b> {parts}</p>")
    return markup.page(*blocks)


def words_to_terminal(scores: "WordScores", color: bool | None = None) -> str:
    """The text of `WordScores.to_terminal`."""
    lines = []
    for k, (label, row) in enumerate(zip(scores.labels, scores.scores, strict=True)):
        shown = _lay(scores, _painter(row, color), escape_controls)
        lines.append(f"{escape_controls(label)}: {shown}")
        lines += [f"{score:+10.3g}  {escape_controls(word)}" for word, score in scores.top(5, k)]
    return "\n".join(lines)


def draw_words(scores: "WordScores", k: int) -> "Figure":
    """The figure of `WordScores.figure`."""
    from keras_explain.plots._figure import NotebookFigure
    from keras_explain.plots._grid import bars

    count = len(scores.labels)
    figure = NotebookFigure(
        figsize=(6, count * (0.32 * min(k, max(len(scores.offsets), 1)) + 1.4)),
        layout="constrained")
    for n, axis in enumerate(figure.subplots(count, 1, squeeze=False)[:, 0]):
        top = scores.top(k, n)[::-1]
        bars(axis, [w for w, _ in top], [v for _, v in top], scores.labels[n])
    return figure


def _lay(scores, paint, keep):
    """The whole text: words painted, what lies between them kept."""
    parts, end = [], 0
    for i, (start, stop) in enumerate(scores.offsets):
        parts += [keep(scores.text[end:start]), paint(i, scores.text[start:stop])]
        end = stop
    return "".join([*parts, keep(scores.text[end:])])


def _painter(scores, color):
    """From the number of a word and the word to what a terminal shows: black on color, or plain."""
    if color is None:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    shares = _scale(scores)

    def paint(i, word):
        word, strong = escape_controls(word), color and shares[i] > 0.2
        return f"\x1b[30;48;5;{_ansi(scores[i], shares[i])}m{word}{_RESET}" if strong else word

    return paint


def _scale(scores):
    """Magnitudes between 0 and 1."""
    largest = float(np.abs(scores).max(initial=0))
    return np.abs(scores) / largest if largest else np.zeros(len(scores))


def _ansi(score, share):
    """One of three shades of the 256 colors: light to strong red, light to strong blue."""
    shade = min(2, int(share * 3))
    return (224, 210, 196)[shade] if score > 0 else (189, 111, 69)[shade]
