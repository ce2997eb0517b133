"""Explanations as pictures: superpixels cut out, lines of series, matplotlib figures."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_explain.lime.explanation import Explanation


def cut_out(
    explanation: "Explanation", k: int, target: int | str | None, sign: str
) -> np.ndarray:
    """uint8 `(H, W, 3)`: the k superpixels in color, the rest gray and faint."""
    from keras_explain.images import to_uint8

    _check_image(explanation)
    rgb = to_uint8(explanation.subject.picture)
    gray = np.uint8(rgb.mean(axis=-1, keepdims=True) * 0.25 + 140)
    return np.where(explanation.mask(k, target, sign)[..., None], rgb, gray)


def overlay_weights(
    explanation: "Explanation", target: int | str | None, alpha: float = 0.6
) -> np.ndarray:
    """uint8 `(H, W, 3)`: the image under its weights, red for and blue against the class."""
    from keras_explain.images import overlay

    heatmap = explanation.heatmap(target)
    return overlay(explanation.subject.picture, heatmap, alpha=alpha, signed=True)


def draw_figure(explanation: "Explanation", k: int, target: int | str | None) -> "Figure":
    """The figure of `Explanation.show`."""
    from keras_explain.plots._figure import NotebookFigure

    targets = explanation.classes
    if target is not None:
        targets = [targets[explanation.row(target)]]
    if explanation.subject.kind == "image":
        panels = NotebookFigure(figsize=(12, 3.4 * len(targets)), layout="constrained")
        axes = panels.subplots(len(targets), 4, squeeze=False)
        for number, row in zip(targets, axes, strict=True):
            _draw_pictures(explanation, number, k, row)
        return panels
    if explanation.subject.kind == "series":
        return _draw_series(explanation, targets)
    height = 0.32 * min(k, max(len(explanation.features), 1)) + 1.4
    panels = NotebookFigure(figsize=(6, height * len(targets)), layout="constrained")
    for number, row in zip(targets, panels.subplots(len(targets), 1, squeeze=False), strict=True):
        _draw_bars(explanation, number, k, row[0])
    return panels


def _draw_pictures(explanation, target, k, axes):
    from keras_explain.images import to_uint8
    from keras_explain.plots._grid import escape_dollars

    row = explanation.row(target)
    panels = (
        (f"{explanation.class_names[row]}: {explanation.prediction[row]:.3g}",
         to_uint8(explanation.subject.picture)),
        ("top superpixel", cut_out(explanation, 1, target, "positive")),
        (f"top {k} superpixels", cut_out(explanation, k, target, "positive")),
        (f"weights (R2 {explanation.fidelity[row]:.2f})", overlay_weights(explanation, target)),
    )
    for axis, (title, image) in zip(axes, panels, strict=True):
        axis.imshow(image)
        axis.set_title(escape_dollars(title), fontsize=10)
        axis.set_axis_off()


def _draw_series(explanation, targets):
    from keras_explain.plots import _grid
    from keras_explain.plots._series import MOST_CHANNELS, draw_series, measure_height

    subject = explanation.subject
    if subject.domain == "spectrogram":
        return _draw_spectrograms(explanation, targets)
    heatmaps = [explanation.heatmap(target) for target in targets]
    # All channels do not fit on a page: those with the largest weights do.
    shown = np.sort(np.argsort(-np.abs(heatmaps).max((0, 1)), kind="stable")[:MOST_CHANNELS])
    names, curves = [subject.channels[i] for i in shown], subject.curves[:, shown]
    figure = _grid.figure(9, (0.4 + measure_height(curves)) * len(targets))
    parts = np.atleast_1d(figure.subfigures(len(targets), 1))
    for part, target, heatmap in zip(parts, targets, heatmaps, strict=True):
        draw_series(part, curves, heatmap[:, shown], names, subject.places, subject.unit,
                    signed=True)
        part.suptitle(_title(explanation, target), fontsize=10, parse_math=False)
    return figure


def _draw_spectrograms(explanation, targets):
    from keras_explain.plots import _grid
    from keras_explain.plots._spectrogram import draw_spectrogram

    figure = _grid.figure(9, 3.8 * len(targets))
    parts = np.atleast_1d(figure.subfigures(len(targets), 1))
    for part, target in zip(parts, targets, strict=True):
        subject = explanation.subject
        draw_spectrogram(part, subject.series, explanation.heatmap(target), subject.rate, True)
        part.suptitle(_title(explanation, target), fontsize=10, parse_math=False)
    return figure


def _title(explanation, target):
    row = explanation.row(target)
    return (f"{explanation.class_names[row]}: {explanation.prediction[row]:.3g}"
            f" (R2 {explanation.fidelity[row]:.2f})")


def _draw_bars(explanation, target, k, axis):
    from keras_explain.plots._grid import bars

    top = explanation.top(k, target)[::-1]
    bars(axis, [feature.name for feature in top], [feature.weight for feature in top],
         _title(explanation, target))
    axis.set_xlabel("weight")


def _check_image(explanation):
    if explanation.subject.kind != "image":
        raise TypeError(
            f"Expected the explanation of an image, received one of a {explanation.subject.kind}. "
            "Use top(k), show() or to_html()."
        )
