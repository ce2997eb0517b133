import by_hand
import numpy as np
from keras import ops

import keras_explain as kx


def rule(features, gradients, image, index):
    """The paper's equations (with Y = exp(S)), divided by exp(S) at the end."""
    _, twin = by_hand.network()
    y = np.exp(twin.head(features)[index])
    first, second, third = y * gradients, y * gradients**2, y * gradients**3
    total = features.sum(axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha = np.where(gradients == 0, 0, second / (2 * second + total * third))
    weights = (alpha * np.maximum(first, 0)).sum(axis=(0, 1)) / y
    return np.maximum((features * weights).sum(axis=-1), 0)


def test_is_the_papers_formula():
    batch = by_hand.images()
    actual = by_hand.explain(kx.grad_cam_plus_plus, batch, layer="features", resize=False)
    by_hand.close(actual, by_hand.expected(rule, batch))


def test_tiny_gradients_weigh_as_large_ones():
    """g^2 and g^3 leave float32 where g is 1e-13, as in untrained MobileNets."""
    from keras_explain.explainers.grad_cam_plus_plus import GradCAMPlusPlus

    rng = np.random.default_rng(0)
    features = rng.uniform(size=(1, 4, 3, 2)).astype("float32")
    gradients = (rng.normal(size=(1, 4, 3, 2)) * 1e-13).astype("float32")
    heatmap = GradCAMPlusPlus.combine(
        None, ops.convert_to_tensor(features), ops.convert_to_tensor(gradients))
    weights = (np.maximum(gradients, 0) / 2).sum(axis=(1, 2), keepdims=True)
    wanted = (weights * features).sum(axis=-1)
    np.testing.assert_allclose(ops.convert_to_numpy(heatmap), wanted, rtol=1e-4)
