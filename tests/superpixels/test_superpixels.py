"""Superpixels: the same picture gives the same labels, and every method survives small images."""

import cv2
import numpy as np
import pytest
from skimage.data import chelsea

from keras_explain import superpixels
from keras_explain.superpixels import METHODS, segment

CAT = cv2.resize(chelsea()[:, 75:375], (96, 80), interpolation=cv2.INTER_AREA)


def rescaled(image):
    """The same picture in the ranges that models are fed with."""
    x = image.astype(np.float32)
    mean, std = np.array([124.0, 116.0, 104.0]), np.array([58.0, 57.0, 57.5])
    return {
        "[0, 1]": x / 255,
        "[-1, 1]": x / 127.5 - 1,
        "per image": (x - x.mean()) / x.std(),
        "per channel": ((x - mean) / std).astype(np.float32),
        "float64": x.astype(np.float64) / 255,
    }


@pytest.mark.parametrize("method", METHODS)
def test_range_of_values_does_not_matter(method):
    expected = segment(CAT, method)
    for name, image in rescaled(CAT).items():
        assert np.array_equal(segment(image, method), expected), name


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_consecutive_and_repeatable(method):
    labels = segment(CAT, method)
    assert labels.shape == CAT.shape[:2] and labels.dtype == np.int32
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert labels.max() >= 5
    for _ in range(3):  # OpenCV's LSC differs from run to run with several threads
        assert np.array_equal(segment(CAT, method), labels)


@pytest.mark.parametrize("method", ["slic", "seeds", "lsc", "grid"])
@pytest.mark.parametrize("shape", [(8, 8), (1, 30), (28, 28), (37, 4), (5, 200), (11, 70)])
def test_small_and_narrow_images(method, shape):
    """OpenCV's methods crash the process where a superpixel is wider than the image."""
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for wanted in (1, 2, 12, 500):
        labels = METHODS[method](image, num_segments=wanted)
        assert labels.shape == shape
        assert labels.max() + 1 <= np.prod(shape)
        assert labels.max() + 1 >= (4 if wanted >= 12 else 1)


@pytest.mark.parametrize("method", ["slic", "seeds", "lsc", "grid"])
def test_number_of_superpixels(method):
    for wanted in (10, 60):
        found = METHODS[method](CAT, num_segments=wanted).max() + 1
        assert 0.5 * wanted <= found <= 1.5 * wanted
    assert segment(CAT, 20).max() + 1 == superpixels.slic(CAT, num_segments=20).max() + 1


@pytest.mark.parametrize("method", ["slic", "seeds", "lsc", "quickshift", "felzenszwalb"])
def test_superpixels_follow_an_edge(method):
    """A bright disc on dark ground: hardly a superpixel has both."""
    y, x = np.mgrid[:96, :80]
    disc = np.hypot(y - 40, x - 45) < 25
    image = np.where(disc, 210, 30).astype(np.uint8)
    image = image + np.random.default_rng(0).integers(0, 12, image.shape, dtype=np.uint8)
    labels = segment(image, method)
    inside = np.bincount(labels.ravel(), disc.ravel()) / np.bincount(labels.ravel())
    mixed = np.minimum(inside, 1 - inside)[labels].mean()
    assert mixed < 0.02


def test_grid_by_hand():
    labels = superpixels.grid(np.zeros((4, 6)), num_segments=6)
    assert labels.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 3), (40, 50, 4)])
def test_channels(shape):
    image = np.random.default_rng(0).normal(size=shape)
    assert segment(image).shape == (40, 50)


def test_alpha_does_not_matter():
    with_alpha = np.dstack([CAT, np.random.default_rng(0).integers(0, 255, CAT.shape[:2])])
    assert np.array_equal(segment(with_alpha), segment(CAT))


def test_constant_image():
    assert segment(np.full((32, 32), 7.0)).shape == (32, 32)


def test_own_labels_and_callables():
    labels = np.array([[7, 7, -1], [7, 3, 3]])
    assert segment(np.zeros((2, 3)), labels).tolist() == [[2, 2, 0], [2, 1, 1]]
    assert segment(np.zeros((2, 3, 12)), lambda image: labels + image.shape[2]).max() == 2


def test_opencv_threads_are_left_alone():
    before = cv2.getNumThreads()
    segment(CAT, "lsc")
    assert cv2.getNumThreads() == before


def test_without_contrib_modules(monkeypatch):
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.warns(UserWarning, match="pip install opencv-contrib-python-headless"):
        labels = segment(CAT)
    assert 25 <= labels.max() + 1 <= 75
    with pytest.raises(ImportError, match="use segments='slic'"):
        segment(CAT, "seeds")


@pytest.mark.parametrize(
    "error, image, method, words",
    [
        (ValueError, np.zeros((2, 8, 8, 3)), "slic", r"\(2, 8, 8, 3\). Take one image"),
        (ValueError, np.full((8, 8), np.nan), "slic", "NaN"),
        (TypeError, np.array([["a"]]), "slic", "real numbers"),
        (ValueError, np.zeros((8, 8, 7)), "slic", "received 7"),
        (ValueError, np.zeros((8, 8)), "slik", "slic.*received 'slik'"),
        (ValueError, np.zeros((8, 8)), 0, "at least 1, received 0"),
        (ValueError, np.zeros((8, 8)), np.zeros((8, 7), int), r"\(8, 7\)"),
        (TypeError, np.zeros((8, 8)), np.zeros((8, 8)), "float64"),
        (TypeError, np.zeros((8, 8)), None, "callable"),
    ],
)
def test_errors(error, image, method, words):
    with pytest.raises(error, match=words):
        segment(image, method)
