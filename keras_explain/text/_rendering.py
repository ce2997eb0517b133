"""A text with a score for each word, as HTML and for the terminal."""

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from keras_explain import markup

if TYPE_CHECKING:
    from keras_explain.text.expressions import TextScores

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
    if color is None:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    words = [_show_controls(word) for word in text.words]
    shares = _scale(text.scores)
    shown = [
        f"\x1b[48;5;{_ansi(score, share)}m{word}{_RESET}" if color and share > 0.2 else word
        for word, score, share in zip(words, text.scores, shares, strict=True)
    ]
    lines = [" ".join(shown)]
    for expression in text.top(k):
        lines.append(
            f"{expression.score:+10.3g}  {_show_controls(expression.word):<16}"
            f" {_show_controls(expression.text)}"
        )
    return "\n".join(lines)


def _scale(scores):
    """Magnitudes between 0 and 1."""
    largest = float(np.abs(scores).max(initial=0))
    return np.abs(scores) / largest if largest else np.zeros(len(scores))


def _ansi(score, share):
    """One of three shades of the 256 colors: light to strong red, light to strong blue."""
    shade = min(2, int(share * 3))
    return (224, 210, 196)[shade] if score > 0 else (189, 111, 69)[shade]


def _show_controls(word):
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in word)
