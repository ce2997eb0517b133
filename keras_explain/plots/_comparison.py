"""One image and what several methods say about it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from keras_explain import images
from keras_explain.plots._figure import NotebookFigure
from keras_explain.signatures import Array

# Inches.
_PICTURE = 2.7  # the longer side of a picture
_MARGIN = 0.2
_GAP = 0.3
_HEADLINE = 0.52
_NAME = 0.3
_BELOW = 0.55  # the color bar and its numbers

_COLUMNS = 4
_COMMON = 0.995  # share of the pixels that colors tell apart at least
_MOST_PREDICTIONS = 5
_INK, _QUIET, _TRACK, _BAR = "#1f1f1f", "#5f6368", "#e8eaed", "#3b6ea5"


def comparison(
    image: Array, heatmaps: Mapping[str, Array],
    predictions: Sequence[tuple[str, float]] | None = None, *,
    disagreement: Mapping[str, Array] | None = None, alpha: float = 0.5,
    unpreprocess: Callable[..., Any] | None = None, title: str | None = None,
) -> Figure:
    """Show one image and what several methods say about it, side by side.

    Each heatmap has its own color bar in its own raw unit, since the methods' units differ: an
    occlusion map is a drop of the score, a saliency map a gradient. Compare shapes across panels,
    never brightness. Signed maps have a diverging bar with zero in its middle. Where a few pixels
    outshine all others, colors end at the value that 0.5 % of the pixels pass, and the bar says
    "≥".

    Args:
        image: One image, as for `keras_explain.images.to_uint8`.
        heatmaps: A dict of a method's name to its heatmap `(h, w)`, of any size.
        predictions: The model's answer: pairs of class name and probability in [0, 1], best first.
            The first is the figure's title, up to five are listed.
        disagreement: For methods with several fills, a dict of the method's name to the spread
            between them, of the heatmap's shape: what they disagree on is faded, see
            `keras_explain.images.fade`.
        alpha: The weight of the heatmaps over the image, from 0 to 1.
        unpreprocess: As for `keras_explain.images.to_uint8`.
        title: The figure's title instead of the first prediction; `""` for none.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("comparison.png")` writes it.

    Raises:
        ValueError: If there is no heatmap, if predictions are not pairs, if an image or a
            heatmap has a wrong shape or value, or if a disagreement fits no heatmap.

    Example:
        >>> figure = comparison(np.zeros((8, 8, 3)), {"Grad-CAM": np.eye(4)}, [("cat", 0.9)])
        >>> figure.get_suptitle()
        'cat  90.0 %'
    """
    pixels = _check_image(image, unpreprocess)
    heatmaps = _fade(_check_heatmaps(heatmaps), disagreement or {})
    predictions = _check_predictions(predictions)
    headline = _headline(predictions, title)
    count = 1 + len(heatmaps) + bool(predictions)
    figure, cells = _make_cells(count, *pixels.shape[:2], _HEADLINE if any(headline) else 0.1)
    _draw_headline(figure, *headline)
    _draw_picture(next(cells), pixels, "Input")
    for name, heatmap in heatmaps.items():
        _draw_overlay(next(cells), pixels, heatmap, name, alpha)
    if predictions:
        _draw_predictions(next(cells), predictions)
    return figure


def _check_image(image, unpreprocess):
    pixels = images.to_uint8(image, unpreprocess)
    if pixels.ndim != 3:
        raise ValueError(
            f"Expected one image (H, W, 3), received a batch of shape {pixels.shape}. "
            "Index it, and draw one figure for each image."
        )
    return pixels


def _check_heatmaps(heatmaps):
    if not isinstance(heatmaps, dict) or not heatmaps:
        received = "an empty dict" if isinstance(heatmaps, dict) else type(heatmaps).__name__
        raise ValueError(
            f"Expected a dict of at least one heatmap, received {received}. "
            'Give it the method\'s name: {"Grad-CAM": heatmap}.'
        )
    return {str(name): np.asarray(heatmap) for name, heatmap in heatmaps.items()}


def _fade(heatmaps, disagreement):
    unknown = [str(name) for name in disagreement if str(name) not in heatmaps]
    if unknown:
        raise ValueError(
            f"Expected `disagreement` of the methods {list(heatmaps)}, received that of {unknown}."
            " Give it the names of the heatmaps."
        )
    return heatmaps | {str(name): images.fade(heatmaps[str(name)], spread)
                       for name, spread in disagreement.items()}


def _check_predictions(predictions):
    try:
        pairs = [] if predictions is None else list(predictions)
        return [(str(name), float(probability)) for name, probability in pairs]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "Expected predictions as pairs of class name and probability, "
            f"received {predictions!r}. "
            'Pair them, best first: [("cat", 0.9), ("dog", 0.1)].'
        ) from error


def _headline(predictions, title):
    if title is not None or not predictions:
        return title or "", ""
    name, probability = predictions[0]
    return name, "  " + _percentage(probability)


def _percentage(probability):
    return f"{100 * probability:.1f} %"


def _make_cells(count, height, width, above):
    """Make a figure, and axes the size of a picture, from left to right and top to bottom."""
    scale = _PICTURE / max(height, width)
    cell_width, cell_height = max(1.8, width * scale), max(0.9, height * scale)
    columns = math.ceil(count / math.ceil(count / _COLUMNS))
    row_height = _NAME + cell_height + _BELOW
    total_width = 2 * _MARGIN + columns * (cell_width + _GAP) - _GAP
    total_height = above + math.ceil(count / columns) * row_height
    figure = NotebookFigure(figsize=(total_width, total_height), dpi=120, facecolor="white")

    def cells():
        for index in range(count):
            row, column = divmod(index, columns)
            left = _MARGIN + column * (cell_width + _GAP)
            top = above + row * row_height + _NAME
            yield figure.add_axes(_box(figure, left, top, cell_width, cell_height))

    return figure, cells()


def _box(figure, left, top, width, height):
    """Turn a place in inches from the figure's upper left corner into matplotlib's fractions."""
    total_width, total_height = figure.get_size_inches()
    bottom = 1 - (top + height) / total_height
    return left / total_width, bottom, width / total_width, height / total_height


def _place_in_inches(axes):
    """Give the left, top, width and height of axes as they are drawn."""
    axes.apply_aspect()
    box = axes.get_position()
    width, height = axes.figure.get_size_inches()
    return box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height


def _draw_headline(figure, text, ending):
    width, height = figure.get_size_inches()
    place = {"x": _MARGIN / width, "y": 1 - 0.15 / height, "ha": "left", "va": "top"}
    artist = figure.suptitle("", fontsize=13, fontweight="bold", color=_INK, **place)
    _set_fitting_text(artist, text, width - 2 * _MARGIN, ending)


def _set_fitting_text(artist, text, width, ending=""):
    """Write one line, shortened to a width in inches; its ending is always kept."""
    figure = artist.get_figure()
    renderer = figure.canvas.get_renderer()
    limit = width * figure.dpi
    artist.set_parse_math(False)  # a class name may hold "$", which would begin a formula
    text = " ".join(str(text).split())
    artist.set_text(text + ending)
    needed = artist.get_window_extent(renderer).width
    if needed > limit:
        text = text[: int(len(text) * limit / needed) + 8]
    while text and needed > limit:
        text = text[:-1].rstrip()
        artist.set_text(text + "…" + ending)
        needed = artist.get_window_extent(renderer).width


def _draw_picture(axes, pixels, name):
    axes.imshow(pixels)
    axes.set_anchor("NW")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    _name_cell(axes, name)


def _name_cell(axes, name):
    width = axes.get_position(original=True).width * axes.figure.get_size_inches()[0]
    artist = axes.set_title("", loc="left", fontsize=10.5, pad=5, color=_INK)
    _set_fitting_text(artist, name, width)


def _draw_overlay(axes, pixels, heatmap, name, alpha):
    signed = images.is_signed(heatmap)
    low, high, clipped = _limits(heatmap, signed)
    colors = images.overlay(pixels, heatmap, alpha=alpha, signed=signed, limits=(low, high))
    _draw_picture(axes, colors, name)
    left, top, width, height = _place_in_inches(axes)
    place = _box(axes.figure, left, top + height + 0.08, max(width, 1.4), 0.1)
    _draw_color_bar(axes.figure.add_axes(place), low, high, signed, clipped)


def _limits(heatmap, signed):
    """Lowest and highest value of the colors, and whether the map passes them.

    A few single pixels of a gradient would else take all colors, and the map look blank.
    """
    low, high = images.color_limits(heatmap, signed=signed)
    common = float(np.quantile(np.abs(heatmap).astype("float64"), _COMMON))
    if not 0 < common < 0.5 * max(-low, high):
        return low, high, False
    return max(low, -common), min(high, common), True


def _draw_color_bar(axes, low, high, signed, clipped):
    colors = ListedColormap(images.color_table(signed=signed) / 255)
    empty = low == high
    scale = Normalize(-1.0 if signed else 0.0, 1.0) if empty else Normalize(low, high)
    bar = axes.figure.colorbar(
        ScalarMappable(scale, colors), cax=axes, orientation="horizontal", drawedges=False
    )
    ticks = [0.0] if empty else sorted({low, 0.0, high})
    labels = ["0 everywhere"] if empty else [_short_number(tick) for tick in ticks]
    if clipped:
        labels[-1] = f"≥ {labels[-1]}"
        if low < 0:
            labels[0] = f"≤ {labels[0]}"
    bar.set_ticks(ticks, labels=labels, fontsize=8, color=_QUIET)
    bar.ax.tick_params(length=2, pad=2, color=_QUIET)
    bar.outline.set_visible(False)
    labels = bar.ax.get_xticklabels()
    # The outer numbers stay within the picture's width.
    labels[-1].set_horizontalalignment("right")
    labels[0].set_horizontalalignment("left")


def _short_number(value):
    mantissa, mark, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else mantissa


def _draw_predictions(axes, predictions):
    left, top, width, height = _place_in_inches(axes)
    height += _BELOW - 0.15
    axes.set_position(_box(axes.figure, left, top, width, height))
    axes.axis("off")
    _name_cell(axes, "Predictions")
    listed = predictions[: min(_MOST_PREDICTIONS, int(height / 0.28))]
    axes.set(xlim=(0, 1), ylim=(max(height / 0.36, len(listed)), 0))
    for slot, (name, probability) in enumerate(listed):
        axes.barh(slot + 0.75, 1, height=0.16, color=_TRACK)
        axes.barh(slot + 0.75, probability, height=0.16, color=_BAR)
        line = {"y": slot + 0.56, "fontsize": 9}
        number = axes.text(1, s=_percentage(probability), ha="right", color=_QUIET, **line)
        left_over = width - 0.1 - number.get_window_extent().width / axes.figure.dpi
        _set_fitting_text(axes.text(0, s="", color=_INK, **line), name, left_over)
