"""`Reasons` as figures and as a page."""

import base64
from typing import TYPE_CHECKING

import numpy as np

from keras_explain.markup import escape, mark, page

if TYPE_CHECKING:
    from keras_explain.reasons.reasons import Reasons

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
img{max-width:100%;background:white}
"""


def draw(reasons: "Reasons", index: int):
    """The figure of one input."""
    from keras_explain import plots

    maps = {reasons.method: reasons.heatmaps[index]}
    if reasons.second_heatmaps is not None:
        maps[reasons.second] = reasons.second_heatmaps[index]
    title = reasons.answers[index]
    if reasons.kind == "image":
        return plots.comparison(reasons.x[index], maps, title=title)
    if reasons.kind == "series":
        series = np.asarray(reasons.x[index])
        return plots.series(series, maps[reasons.method], title=f"{title}, {reasons.method}")
    return _draw_bars(reasons, maps, index, title)


def _draw_bars(reasons, maps, index, title):
    from keras_explain.plots._grid import bars, figure

    names = reasons.parts[index]
    order = np.argsort(-np.abs(maps[reasons.method][: len(names)]))[:10][::-1]
    made = figure(4.2 * len(maps), 0.32 * len(order) + 1.5, title)
    axes = made.subplots(1, len(maps), squeeze=False)[0]
    for axis, (name, found) in zip(axes, maps.items(), strict=True):
        bars(axis, [names[i] for i in order], [float(found[i]) for i in order], name)
    return made


def write_page(reasons: "Reasons"):
    """The whole page."""
    title = f"Why {reasons.explained[0].explainer.question.model.name} answers as it does"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{_write_all(reasons)}</main></body></html>\n")


def write_block(reasons: "Reasons"):
    """What notebooks show."""
    return page(_write_all(reasons))


def _write_all(reasons):
    intro = f"<p><b>{escape(reasons.method)}</b>: {escape(reasons.why)}</p>"
    notes = "".join(f"<p>{escape(note)}</p>" for note in reasons.notes)
    return intro + "".join(_write_one(reasons, i) for i in range(len(reasons))) + notes


def _write_one(reasons, index):
    words = ""
    if reasons.kind == "text":
        found = reasons.heatmaps[index]
        largest = float(np.abs(found).max()) or 1.0
        words = "<p>" + " ".join(
            mark(word, float(weight), largest)
            for word, weight in zip(reasons.parts[index], found, strict=False)) + "</p>"
    shown = base64.b64encode(draw(reasons, index)._repr_png_()).decode()
    said = " ".join(reasons.sentences(index))
    return (f"<section><p>{escape(said)}</p>{words}"
            f'<img alt="{escape(said)}" src="data:image/png;base64,{shown}"></section>')
