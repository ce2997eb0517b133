"""A text with a score for each word, as HTML and for the terminal."""

import html
import os
import sys

import numpy as np

_FOR, _AGAINST = (178, 24, 43), (33, 102, 172)
_RESET = "\x1b[0m"


def to_html(text, k):
    """The text of `TextScores.to_html`: no scripts, no links, every word escaped."""
    words = []
    for word, score, share in zip(text.words, text.scores, _shares(text.scores), strict=True):
        style = f"background:rgba({','.join(map(str, _color(score)))},{0.65 * share:.2f})"
        mark = f'<span style="{style}" title="{score:+.3g}">' if share else "<span>"
        words.append(f"{mark}{_escape(word)}</span>")
    rows = "".join(
        f'<tr><td style="text-align:right">{e.score:+.3g}</td><td><b>{_escape(e.word)}</b></td>'
        f"<td>{_escape(e.text)}</td></tr>"
        for e in text.top(k)
    )
    return (
        '<div style="font-family:sans-serif;font-size:14px;line-height:1.6;max-width:46em">'
        f"<p>{' '.join(words)}</p>"
        '<table style="border-spacing:12px 0"><tr><th>score</th><th>word</th><th>expression</th>'
        f"</tr>{rows}</table></div>"
    )


def to_terminal(text, k, color=None):
    """The text of `TextScores.to_terminal`. Control characters in words are made visible."""
    if color is None:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    words = [_visible(word) for word in text.words]
    shares = _shares(text.scores)
    shown = [
        f"\x1b[48;5;{_ansi(score, share)}m{word}{_RESET}" if color and share > 0.2 else word
        for word, score, share in zip(words, text.scores, shares, strict=True)
    ]
    lines = [" ".join(shown)]
    for expression in text.top(k):
        lines.append(
            f"{expression.score:+10.3g}  {_visible(expression.word):<16}"
            f" {_visible(expression.text)}"
        )
    return "\n".join(lines)


def _shares(scores):
    """Magnitudes between 0 and 1."""
    largest = float(np.abs(scores).max(initial=0))
    return np.abs(scores) / largest if largest else np.zeros(len(scores))


def _color(score):
    return _FOR if score > 0 else _AGAINST


def _ansi(score, share):
    """One of three shades of the 256 colors: light to strong red, light to strong blue."""
    shade = min(2, int(share * 3))
    return (224, 210, 196)[shade] if score > 0 else (189, 111, 69)[shade]


def _visible(word):
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in word)


def _escape(text):
    return html.escape(str(text), quote=True)
