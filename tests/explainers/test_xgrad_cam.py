import by_hand
import numpy as np

import keras_explain as kx


def rule(features, gradients, image, index):
    total = features.sum(axis=(0, 1))
    share = np.divide(features, total, out=np.zeros_like(features), where=total != 0)
    weights = (share * gradients).sum(axis=(0, 1))
    return np.maximum((features * weights).sum(axis=-1), 0)


def test_is_the_papers_formula():
    batch = by_hand.images()
    actual = by_hand.explain(kx.xgrad_cam, batch, layer="features", resize=False)
    by_hand.close(actual, by_hand.expected(rule, batch))
