"""Figures of what a classifier gets wrong, and galleries of images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_explain import images
from keras_explain.plots import _grid
from keras_explain.signatures import Array

_MOST_NUMBERS = 30  # classes up to which each cell of a confusion matrix has its number


def confusion_matrix(
    analyses: Mapping[str, Any], *, title: str | None = None
) -> Figure:
    """Show confusion matrices side by side, on train and test for instance.

    Colors are shares of the true class, with the diagonal left out of the scale's upper end:
    mistakes can be seen where nearly everything is right.

    Args:
        analyses: a dict of a name to an `ErrorAnalysis`.
        title: the figure's title.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no analysis.

    Example:
        >>> from keras_explain.error_analysis import analyze_errors
        >>> analysis = analyze_errors(lambda x: x, np.eye(3), [0, 1, 1])
        >>> figure = confusion_matrix({"test": analysis})
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1', '1', '1']
    """
    if not isinstance(analyses, dict) or not analyses:
        raise ValueError(
            f'Expected a dict such as {{"test": analysis}}, received {type(analyses).__name__}.'
            " Name each analysis."
        )
    classes = max(len(a.class_names) for a in analyses.values())
    side = min(8.0, max(3.4, 1.6 + 0.36 * classes))  # the titles need 3.4
    figure = _grid.figure(side * len(analyses) + 0.4, side + (0.6 if title else 0.3), title)
    grid = figure.subplots(1, len(analyses), squeeze=False)[0]
    for axes, (name, analysis) in zip(grid, analyses.items(), strict=True):
        _draw_confusion(axes, str(name), analysis)
    return figure


def _draw_confusion(axes, name, analysis):
    counts = np.asarray(analysis.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = shares * (1 - np.eye(len(counts)))
    top = max(float(wrong.max()), 0.01)
    axes.imshow(wrong, cmap="Reds", vmin=0, vmax=top)
    diagonal = np.ma.masked_where(~np.eye(len(counts), dtype=bool), shares)
    axes.imshow(diagonal, cmap="Greys", vmin=0, vmax=4)
    names = [str(n) for n in analysis.class_names]
    size = 8 if len(names) <= 20 else 6
    longest = max(map(len, names))
    for ticks, rotation in ((axes.set_xticks, 90 if longest > 3 else 0), (axes.set_yticks, 0)):
        ticks(range(len(names)), names, fontsize=size, rotation=rotation, parse_math=False)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    right = f"{100 * analysis.accuracy:.2f} % of {len(analysis.y)} right"
    _grid.text(axes, f"{name}: {right}", size=10)
    if len(names) > _MOST_NUMBERS:
        return
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if i != j and wrong[i, j] > 0.6 * top else _grid.INK
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=size - 1,
                  color=color)


def gallery(
    pictures: Array, captions: Sequence[str] | None = None, *, columns: int = 10,
    title: str | None = None, colors: Sequence[str] | None = None,
) -> Figure:
    """Show images in a grid with a line or two under each.

    Args:
        pictures: `(N, H, W)` or `(N, H, W, 1 | 3)`, in any range.
        captions: one for each, above it.
        columns: images in a row.
        title: the figure's title.
        colors: a matplotlib color for each caption.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are no images, or not one caption for each.

    Example:
        >>> figure = gallery(np.zeros((3, 8, 8)), ["a", "b", "c"])
        >>> [axes.get_title() for axes in figure.axes if axes.images]
        ['a', 'b', 'c']
    """
    pixels = _grid.gray(_require_some(pictures))
    captions = [""] * len(pixels) if captions is None else [str(c) for c in captions]
    if len(captions) != len(pixels):
        raise ValueError(
            f"Expected {len(pixels)} captions, received {len(captions)}. Give one for each image."
        )
    columns = min(columns, len(pixels))
    lines = 1 + max(c.count("\n") for c in captions)
    rows = math.ceil(len(pixels) / columns)
    cell = 1.05
    height = cell * pixels.shape[1] / pixels.shape[2] + 0.16 * lines + 0.05
    figure = _grid.figure(cell * columns + 0.2, height * rows + (0.4 if title else 0.1), title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, axes in enumerate(grid):
        if i >= len(pixels):
            axes.axis("off")
            continue
        _grid.picture(axes, pixels[i])
        _grid.text(axes, captions[i], color=_grid.INK if colors is None else colors[i])
    return figure


def error_gallery(
    pictures: Array, analysis: Any, heatmaps: Any = None, *,
    rows: Sequence[int] | None = None, alpha: float = 0.6, title: str | None = None,
) -> Figure:
    """Show misclassified images, what they were taken for, and why.

    Each row is one image: with its true class, what the model said and how sure it was; then
    the heatmaps for the true and for the predicted class, and their difference, in which red
    speaks for the mistake and blue for the truth. The three share one scale.

    Args:
        pictures: the misclassified images `(N, H, W)` or `(N, H, W, 1 | 3)`.
        analysis: the `ErrorAnalysis` of the data they are from.
        heatmaps: their `ErrorHeatmaps`; None shows the images alone.
        rows: which rows of the data they are; None takes the first of
            `analysis.misclassified`, as many as there are pictures.
        alpha: the weight of the heatmaps over the image, from 0 to 1.
        title: the figure's title.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are no images, or not one row and heatmap for each.

    Example:
        >>> from keras_explain.error_analysis import analyze_errors
        >>> analysis = analyze_errors(lambda x: x, np.eye(3), [0, 1, 1])
        >>> error_gallery(np.zeros((1, 8, 8)), analysis).axes[0].get_title()
        'is 1\\nsays 2  100 %'
    """
    pixels = _grid.gray(_require_some(pictures))
    rows = analysis.misclassified[: len(pixels)] if rows is None else np.asarray(rows)
    if len(rows) != len(pixels):
        raise ValueError(
            f"Expected as many images as misclassified rows, received {len(pixels)} and"
            f" {len(rows)}. Name the rows of the images with `rows`."
        )
    truth, said = analysis.y[rows], analysis.predicted[rows]
    names, sure = analysis.class_names, analysis.probabilities[rows, said]
    captions = [f"is {names[t]}\nsays {names[s]}  {p:.0%}".replace("%", " %")
                for t, s, p in zip(truth, said, sure, strict=True)]
    if heatmaps is None:
        return gallery(pixels, captions, columns=8, title=title)
    if len(heatmaps.true) != len(pixels):
        raise ValueError(
            f"Expected {len(pixels)} heatmaps, one per image, received {len(heatmaps.true)}."
            " Explain the images that are shown."
        )
    columns = 1 if len(pixels) < 4 else 2
    lines = math.ceil(len(pixels) / columns)
    cell = 1.25
    height = cell * pixels.shape[1] / pixels.shape[2] + 0.35
    figure = _grid.figure(4 * cell * columns + 0.3, height * lines + (0.4 if title else 0.1), title)
    grid = figure.subplots(lines, 4 * columns, squeeze=False)
    for axes in grid.ravel():
        axes.axis("off")
    for i, caption in enumerate(captions):
        at = 4 * (i % columns)
        maps = {f"for {names[truth[i]]}": heatmaps.true[i],
                f"for {names[said[i]]}": heatmaps.predicted[i],
                f"{names[said[i]]} minus {names[truth[i]]}": heatmaps.difference[i]}
        _draw_case(grid[i // columns, at : at + 4], pixels[i], caption, maps, alpha)
    return figure


def _draw_case(axes, pixels, caption, maps, alpha):
    limit = max(float(np.abs(m).max()) for m in maps.values()) or 1.0
    for one in axes:
        one.axis("on")
    _grid.picture(axes[0], pixels)
    _grid.text(axes[0], caption)
    for one, (name, heatmap) in zip(axes[1:], maps.items(), strict=True):
        _grid.picture(one, images.overlay(pixels, heatmap, alpha=alpha, signed=True,
                                          limits=(-limit, limit)))
        _grid.text(one, name)


def _require_some(pictures):
    pictures = np.asarray(pictures)
    if not pictures.size:
        raise ValueError("Expected at least one image, received none. Leave out empty galleries.")
    return pictures
