"""LIME of images by several fills: the mean of their weights, and the deviation between them."""

import json

import numpy as np
import pytest

from keras_explain.lime import LimeImageExplainer
from keras_explain.lime._filling import make_fill
from keras_explain.lime._subjects import ImageSubject
from keras_explain.lime.explanation import Explanation

SEGMENTS = np.repeat(np.repeat(np.arange(6).reshape(2, 3), 8, axis=0), 6, axis=1)


def picture(dtype="float32"):
    rng = np.random.default_rng(0)
    return (rng.random((16, 18, 3)) * 200 + np.arange(18)[:, None]).astype(dtype)


def score(images):
    """Something that each fill changes in another way: brightness and contrast by place."""
    images = images.astype("float64")
    rows = np.linspace(0, 1, 16)[:, None, None]
    bright = np.tanh((images * rows).mean((1, 2, 3)) / 50)
    return (bright + images.std((1, 2)).mean(1) / 100)[:, None]


def explain(baseline, image=None):
    explainer = LimeImageExplainer(score, segments=SEGMENTS, baseline=baseline)
    return explainer.explain(picture() if image is None else image, samples=64, target=0, verbose=0)


def test_the_mean_and_the_deviation():
    each = np.stack([explain(b).weights for b in ("mean", "blur", "noise", "inpaint")])
    found = explain("several")
    assert each.std(0).max() > 0.1 * np.abs(each).max()
    np.testing.assert_allclose(found.weights, each.mean(0), atol=1e-10)
    np.testing.assert_allclose(found.disagreement, each.std(0), atol=1e-10)
    assert found.samples == 4 * explain("mean").samples and explain("mean").disagreement is None


def test_json():
    for explanation in (explain("several"), explain("mean")):
        again = Explanation.from_dict(json.loads(json.dumps(explanation.to_dict())))
        if explanation.disagreement is None:
            assert again.disagreement is None
        else:
            np.testing.assert_array_equal(again.disagreement, explanation.disagreement)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_inpainting_continues_a_ramp_and_never_looks_inside(dtype):
    ramp = np.repeat(np.arange(0, 180, 10)[None, :, None], 16, axis=0).repeat(3, -1).astype(dtype)
    fill = make_fill("inpaint", ImageSubject(ramp, SEGMENTS))
    assert fill.dtype == dtype
    middle = SEGMENTS == 1
    assert np.abs(fill[middle].astype(float) - ramp[middle]).mean() < 15
    spoiled = ramp.copy()
    spoiled[middle] = 255
    again = make_fill("inpaint", ImageSubject(spoiled, SEGMENTS))
    np.testing.assert_allclose(again[middle], fill[middle])


def test_an_unknown_word():
    with pytest.raises(ValueError, match="Expected `baseline` to be one of .*'several'"):
        LimeImageExplainer(score, baseline="median")
