import by_hand
import numpy as np
import pytest

import keras_explain as kx


def rule(features, gradients, image, index, channels=None):
    _, twin = by_hand.network()
    order = np.argsort(-features.var(axis=(0, 1)))[: channels or features.shape[-1]]
    scores = []
    for k in order:
        mask = by_hand.enlarge(features[:, :, k], image.shape[:2])
        mask = (mask - mask.min()) / (np.ptp(mask) or 1)
        scores.append(twin.logits(image * mask[:, :, None])[index])
    weights = np.exp(scores - np.max(scores))
    weights = weights / weights.sum()
    return np.maximum((features[:, :, order] * weights).sum(axis=-1), 0)


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("batch_size", [3, 64])
def test_is_the_papers_formula(channels, batch_size):
    batch = by_hand.images(3)
    actual = by_hand.explain(kx.score_cam, batch, layer="features", resize=False,
                             batch_size=batch_size, channels=channels)
    wanted = by_hand.expected(lambda *a: rule(*a, channels=channels), batch)
    by_hand.close(actual, wanted)
