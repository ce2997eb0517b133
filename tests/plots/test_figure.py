"""Figures show themselves in notebooks, without pyplot."""

import io

import numpy as np
import PIL.Image
import pytest

import keras_explain as kx

PICTURE = np.zeros((8, 8, 3))
WORDS = kx.text.WordScores("a b", ((0, 1), (2, 3)), np.array([[0.5, -0.1]]), np.zeros(1), (0,),
                           np.array([0.7]), ("x",))


@pytest.mark.parametrize("draw", [
    lambda: kx.plots.comparison(PICTURE, {"Grad-CAM": np.eye(4)}),
    lambda: kx.plots.gallery([PICTURE], ["a"]),
    lambda: kx.plots.series(np.zeros((9, 2)), np.ones((9, 2))),
    lambda: WORDS.figure(),
])
def test_a_figure_is_a_picture_in_a_notebook(draw):
    shown = PIL.Image.open(io.BytesIO(draw()._repr_png_()))
    assert shown.format == "PNG" and np.ptp(np.asarray(shown)) > 0
