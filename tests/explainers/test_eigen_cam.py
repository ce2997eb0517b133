import by_hand
import keras
import numpy as np
import pytest

import keras_explain as kx
from keras_explain.explainers.eigen_cam import first_component


def rule(features, gradients, image, index):
    """By NumPy's SVD."""
    rows = features.reshape(-1, features.shape[-1])
    mean = rows.mean(axis=1)
    rows = rows - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    scores = left[:, 0] * singular[0]
    scores = scores * np.sign((scores * (mean - mean.mean())).sum())
    return np.maximum(scores, 0).reshape(features.shape[:2])


def test_is_the_first_principal_component():
    batch = by_hand.images(4)
    actual = by_hand.explain(kx.eigen_cam, batch, layer="features", resize=False)
    by_hand.close(actual, by_hand.expected(rule, batch))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_finds_the_component_at_any_scale_and_a_narrow_gap(scale):
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(49, 20)))
    right, _ = np.linalg.qr(rng.normal(size=(64, 20)))
    singular = np.linspace(1, 0.05, 20)
    singular[1] = 0.97
    rows = (left * singular @ right.T).astype("float32") * np.float32(scale)
    found = np.asarray(keras.ops.convert_to_numpy(first_component(rows[None])))[0] / scale
    found = found * np.sign(found @ left[:, 0])
    np.testing.assert_allclose(found, left[:, 0], atol=1e-3)


def test_a_constant_map_is_blank_not_nan():
    found = first_component(np.zeros((2, 6, 3), "float32"))
    assert not np.asarray(keras.ops.convert_to_numpy(found)).any()


def test_is_the_same_for_every_class():
    batch = by_hand.images()
    one, two = (by_hand.explain(kx.eigen_cam, batch, target=c) for c in (0, 1))
    np.testing.assert_array_equal(one, two)
