"""Concepts of a class: their best crops, where they are, and how important they are."""

from typing import Any

from matplotlib.figure import Figure

from keras_explain.checks import check_positive
from keras_explain.images import overlay, to_uint8
from keras_explain.plots import _grid

WHERE = 3  # images under heatmaps


def concepts(found: Any, *, k: int = 5, alpha: float = 0.6, title: str | None = None) -> Figure:
    """Show concepts, a row each: importance, the crops that show most of it, and where it is.

    Args:
        found: what `concepts.craft` returned.
        k: how many, the most important first.
        alpha: the weight of the heatmaps over the images, from 0 to 1.
        title: the figure's title.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_explain.concepts import craft
        >>> model = keras.Sequential([
        ...     keras.Input((12, 12, 3)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
        >>> found = craft(model, np.random.rand(5, 12, 12, 3), target=1, count=2, verbose=0)
        >>> figure = concepts(found)
        >>> len(figure.axes) // 2  # importance, 5 crops, 3 images
        9
    """
    count = min(check_positive("k", k), len(found.importance))
    shown, many = found.crops.shape[1], min(WHERE, found.crops.shape[1])
    columns, cell = 1 + shown + many, 1.05
    made = _grid.figure(cell * columns + 0.3, cell * count + 0.45 + (0.3 if title else 0), title)
    grid = made.subplots(count, columns, squeeze=False)
    pictures = _grid.gray(found.x)
    for i, line in enumerate(grid):
        _write(line[0], i, found)
        crops = to_uint8(found.crops[i])
        for axes, crop in zip(line[1:], crops, strict=False):
            _grid.picture(axes, crop)
        rows = found.rows[i][:many]
        maps = found.heatmaps(i, rows=rows)
        laid = overlay(pictures[rows], maps, alpha=alpha, limits=(0, max(maps.max(), 1e-12)))
        for axes, picture in zip(line[1 + shown :], laid, strict=True):
            _grid.picture(axes, picture)
    _grid.text(grid[0, 1], "crops with most of it", size=8.5)
    grid[0, 1].title.set_horizontalalignment("left")
    grid[0, 1].title.set_x(0)
    _grid.text(grid[0, 1 + shown], "where it is", size=8.5)
    grid[0, 1 + shown].title.set_horizontalalignment("left")
    grid[0, 1 + shown].title.set_x(0)
    return made


def _write(axes, i, found):
    """A concept's number and importance, with a bar."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.barh(0.3, min(1.0, found.importance[i]), height=0.12, color=_grid.FOR)
    axes.barh(0.3, 1, height=0.12, color="none", edgecolor=_grid.FAINT, linewidth=0.6)
    axes.text(0, 0.5, f"{i + 1}: {found.importance[i]:.2f} ± {found.errors[i]:.2f}",
              fontsize=8.5, color=_grid.INK)
