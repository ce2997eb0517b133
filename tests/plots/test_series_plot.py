"""Lines of series in the colors of their heatmaps."""

import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

import keras_explain as kx


def planted():
    x = np.sin(np.arange(60)[:, None] / [3.0, 7.0, 11.0])
    heatmap = np.zeros((60, 3))
    heatmap[20:30, 1], heatmap[40:45, 2] = 1.0, -0.5
    return x, heatmap


def lines(figure):
    return [c for axes in figure.axes for c in axes.collections if isinstance(c, LineCollection)]


def test_each_channel_is_a_line_of_pieces_colored_by_its_heatmap():
    x, heatmap = planted()
    figure = kx.plots.series(x, heatmap, feature_names=["a", "b$", "c"])
    drawn = lines(figure)[:3]
    for line, values, weights in zip(drawn, x.T, heatmap.T, strict=True):
        np.testing.assert_array_equal(line.get_array(), weights)
        middles = np.array([piece[1] for piece in line.get_segments()])
        np.testing.assert_allclose(middles, np.stack([np.arange(60), values], axis=1))
        assert (np.argsort(line.get_linewidths())[-5:] // 1 == np.argsort(
            np.abs(weights))[-5:]).all() or not weights.any()
    assert len({line.norm.vmin for line in drawn}) == 1  # one scale for all
    red, blue = drawn[1].to_rgba(1.0), drawn[2].to_rgba(-1.0)
    assert red[0] > red[2] + 0.2 and blue[2] > blue[0] + 0.2


def test_one_map_colors_all_channels_and_the_figure_can_be_written():
    x, heatmap = planted()
    figure, file = kx.plots.series(x, heatmap[:, 1], times=np.arange(60) / 10), io.BytesIO()
    assert all((line.get_array() == heatmap[:, 1]).all() for line in lines(figure)[:3])
    figure.savefig(file, format="png")
    pixels = np.asarray(Image.open(file).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert kx.plots.series(x[:, 0], heatmap[:, 0]).axes


@pytest.mark.parametrize("x, heatmap, words", [
    (np.zeros((2, 9, 3)), np.zeros((9, 3)), "one series.*x\\[0\\]"),
    (np.zeros((9, 3)), np.zeros((9, 2)), "received \\(9, 3\\) and \\(9, 2\\)"),
    (np.zeros((9, 30)), np.zeros((9, 30)), "at most 24 channels"),
    (np.full((9, 1), np.nan), np.zeros((9, 1)), "finite"),
])
def test_errors(x, heatmap, words):
    with pytest.raises(ValueError, match=words):
        kx.plots.series(x, heatmap)
