"""Spectrograms: where loud places and colors are drawn, in seconds and Hz."""

import numpy as np
import pytest

import keras_explain as kx

RATE = 8000
TIMES = np.arange(RATE) / RATE
SOUND = np.sin(2 * np.pi * 1000 * TIMES) * (TIMES > 0.5)


def pixels(figure, seconds, hertz):
    """The color at a place, RGB."""
    figure.canvas.draw()
    axes = figure.axes[0]
    x, y = axes.transData.transform((seconds, hertz))
    drawn = np.asarray(figure.canvas.buffer_rgba())
    return drawn[len(drawn) - 1 - round(y), round(x), :3].astype(int)


def test_a_tone_is_dark_where_it_sounds():
    figure = kx.plots.spectrogram(SOUND, rate=RATE, title="a $tone")
    assert pixels(figure, 0.75, 1000).max() < 80 and pixels(figure, 0.25, 1000).min() > 240
    assert pixels(figure, 0.75, 3000).min() > 200
    axes = figure.axes[0]
    assert axes.get_xlim() == (0, 1) and axes.get_ylim() == (0, RATE / 2)
    assert axes.get_xlabel() == "time in seconds" and axes.get_ylabel() == "frequency in Hz"


def test_colors_lie_where_the_heatmap_says():
    heatmap = np.zeros((4, 4))
    heatmap[3, 0], heatmap[0, 1] = 1.0, -1.0  # 3 to 4 kHz in the first quarter, and against
    figure = kx.plots.spectrogram(SOUND, heatmap, rate=RATE)
    red, blue = pixels(figure, 0.1, 3600), pixels(figure, 0.375, 400)
    assert red[0] > red[2] + 40 and blue[2] > blue[0] + 40
    assert np.ptp(pixels(figure, 0.75, 2500)) < 12  # no number, no color
    assert len(figure.axes) == 2  # with a bar of colors


def test_a_map_of_moments_covers_all_frequencies():
    figure = kx.plots.spectrogram(SOUND, (TIMES < 0.25) * 1.0)
    for hertz in (0.1, 0.4):
        assert np.ptp(pixels(figure, 1000, hertz)) > 60 > np.ptp(pixels(figure, 5000, hertz))
    assert figure.axes[0].get_xlabel() == "moments"


@pytest.mark.parametrize("arguments, message", [
    ((SOUND[:9],), "one waveform"), ((SOUND, np.ones((2, 2, 2))), "one heatmap"),
])
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kx.plots.spectrogram(*arguments)
    with pytest.raises(ValueError, match="moments in a second, received -1"):
        kx.plots.spectrogram(SOUND, rate=-1)
