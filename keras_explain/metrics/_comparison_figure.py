"""The figures of `compare`: scores with intervals, and the maps themselves."""

import numpy as np
from keras import tree

from keras_explain.plots._figure import NotebookFigure

_INK, _QUIET, _METHOD, _BASELINE = "#1f1f1f", "#5f6368", "#3b6ea5", "#b0b4ba"
_COLUMNS = 3


def draw(comparison):
    """A panel for each metric: every method's mean and interval, best at the top."""
    metrics = list(comparison.best)
    columns = min(_COLUMNS, len(metrics))
    rows = -(-len(metrics) // columns)
    height = 0.9 + 0.27 * len(comparison.methods)
    figure = NotebookFigure(figsize=(4.3 * columns, height * rows + 0.4), dpi=120,
                            layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(metrics):]:
        axes.axis("off")
    for axes, metric in zip(panels, metrics, strict=False):
        _panel(axes, comparison, metric)
    return figure


def _panel(axes, comparison, metric):
    order = comparison.ranking(metric)
    reference = []
    for place, method in enumerate(order):
        mean = comparison.mean(method, metric)
        if np.isnan(mean):
            axes.text(0.02, place, "no value", transform=axes.get_yaxis_transform(), fontsize=8,
                      va="center", color=_QUIET)
            continue
        is_baseline = method in comparison.baselines
        color = _BASELINE if is_baseline else _METHOD
        axes.plot(comparison.interval(method, metric), (place, place), color=color, linewidth=3,
                  alpha=0.6, solid_capstyle="round")
        axes.plot(mean, place, "o", color=color, markersize=6)
        if is_baseline:
            reference.append(mean)
    if reference:
        best = max(reference) if comparison.best[metric] == "higher" else min(reference)
        axes.axvline(best, color=_BASELINE, linewidth=1, linestyle=":", zorder=0)
    marks = [m + (" ✓" if comparison.beats_baselines(m, metric) else "") for m in order]
    axes.set_yticks(range(len(order)), labels=marks, fontsize=8.5)
    for label, method in zip(axes.get_yticklabels(), order, strict=True):
        label.set_color(_QUIET if method in comparison.baselines else _INK)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8, colors=_QUIET)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_BASELINE)
    axes.set_title(f"{metric} ({comparison.best[metric]} is better)", loc="left", fontsize=10,
                   color=_INK)


def maps(comparison):
    """The first example and every method's heatmap of it; None where that is no picture."""
    arrays = [a for a in tree.flatten(comparison.x) if np.ndim(a) == 4]
    maps = {name: h[0] for name, h in comparison.heatmaps.items() if h.ndim == 3}
    if len(arrays) != 1 or not maps or np.shape(arrays[0])[-1] not in (1, 3):
        return None
    from keras_explain import plots

    spread = {name: d[0] for name, d in comparison.disagreement.items() if name in maps}
    return plots.comparison(np.asarray(arrays[0])[0], maps, disagreement=spread)
