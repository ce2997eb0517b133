"""Self-contained HTML for notebooks and reports: no scripts, no links, every text escaped."""

import html
from collections.abc import Iterable, Sequence

FOR, AGAINST = (178, 24, 43), (33, 102, 172)
STRONGEST = 0.65  # how opaque the color behind the word of the largest weight is


def escape(text: object) -> str:
    """A text as HTML, quotes included."""
    return html.escape(str(text), quote=True)


def page(*blocks: str) -> str:
    """Blocks of HTML as one block in the font of all others."""
    return (
        '<div style="font-family:sans-serif;font-size:14px;line-height:1.6;max-width:46em">'
        f"{''.join(blocks)}</div>"
    )


def mark(word: str, weight: float, largest: float) -> str:
    """A word on a color of its weight: red for, blue against."""
    if not weight:
        return escape(word)
    style = f"background:rgba({color(weight)},{STRONGEST * abs(weight) / largest:.2f})"
    return f'<span style="{style}" title="{weight:+.3g}">{escape(word)}</span>'


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Rows of cells that are HTML already, under a header."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = ["".join(f'<td style="padding:0 8px">{cell}</td>' for cell in row) for row in rows]
    lines = ([f"<tr>{head}</tr>"] if head else []) + [f"<tr>{line}</tr>" for line in body]
    return f'<table style="border-collapse:collapse;margin:6px 0">{"".join(lines)}</table>'


def bar(weight: float, largest: float) -> str:
    """A bar as long as the weight is large, of at most 160 pixels."""
    return (
        f'<div style="width:160px"><div style="background:rgb({color(weight)});height:10px;'
        f'width:{100 * abs(weight) / largest:.0f}%"></div></div>'
    )


def color(weight: float) -> str:
    """Red, green and blue for a weight of this sign."""
    return ",".join(map(str, FOR if weight > 0 else AGAINST))
