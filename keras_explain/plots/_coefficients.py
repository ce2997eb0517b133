"""Maps of coefficients, one per class, beside the images they are about."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_explain import images
from keras_explain.plots import _grid
from keras_explain.signatures import Array


def coefficient_maps(
    rows: Mapping[str, Array], class_names: Sequence[str] | None = None, *,
    title: str | None = None,
) -> Figure:
    """Show one map per class and model: what speaks for the class, and what against it.

    Signed maps are drawn in a diverging color map with zero in its middle, one scale for a row
    so that its classes can be compared; rows have scales of their own, since their units differ.
    A row without negative values, such as mean images, is drawn in gray.

    Args:
        rows: a dict of a row's name to its maps `(classes, H, W)`.
        class_names: one for each class.
        title: the figure's title.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no row, or maps have a wrong shape or hold NaN.

    Example:
        >>> figure = coefficient_maps({"softmax": np.random.randn(3, 8, 8)})
        >>> len([axes for axes in figure.axes if axes.images])
        3
    """
    rows = _check(rows)
    count = max(len(maps) for maps in rows.values())
    names = _grid.class_names_of(class_names, count)
    height, width = next(iter(rows.values())).shape[1:]
    cell = 1.1
    row_height = cell * height / width + 0.1
    figure = _grid.figure(cell * count + 1.3, row_height * len(rows) + 0.6, title)
    grid = figure.subplots(len(rows), count, squeeze=False)
    for axes, (name, maps) in zip(grid, rows.items(), strict=True):
        _draw_row(figure, axes, name, maps)
    for axes, name in zip(grid[0], names, strict=True):
        _grid.text(axes, name, size=9.5)
    return figure


def _check(rows):
    if not isinstance(rows, dict) or not rows:
        raise ValueError(
            "Expected a dict of at least one row of maps, received"
            f" {'an empty dict' if isinstance(rows, dict) else type(rows).__name__}. Name it:"
            ' {"softmax": maps}.'
        )
    rows = {str(name): np.asarray(maps, "float32") for name, maps in rows.items()}
    for name, maps in rows.items():
        if maps.ndim != 3 or not maps.size:
            raise ValueError(
                f"Expected maps of shape (classes, H, W), received shape {maps.shape} for"
                f" {name!r}. Give `coefficient_maps` of `linear` a shape."
            )
        if not np.isfinite(maps).all():
            raise ValueError(
                f"Expected finite maps, received NaN or infinity in {name!r}. Leave out classes"
                " without images, which have no mean."
            )
    return rows


def _draw_row(figure, axes, name, maps):
    signed = bool((maps < 0).any())
    limit = float(np.abs(maps).max()) or 1.0
    options = {"cmap": images.DIVERGING if signed else "gray", "vmin": -limit if signed else 0.0,
               "vmax": limit}
    for one, pixels in zip(axes, maps, strict=False):
        shown = _grid.picture(one, pixels, interpolation="nearest", **options)
    for one in axes[len(maps):]:
        one.axis("off")
    _grid.text(axes[0], name, where="left")
    bar = figure.colorbar(shown, ax=list(axes), fraction=0.02, pad=0.01, aspect=14)
    ticks = [-limit, 0.0, limit] if signed else [0.0, limit]
    bar.set_ticks(ticks, labels=[_grid.short_number(t) for t in ticks], fontsize=7.5,
                  color=_grid.QUIET)
    bar.outline.set_visible(False)
