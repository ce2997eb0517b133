import by_hand
import numpy as np
import pytest

import keras_explain as kx


def rule(features, gradients, image, index):
    _, twin = by_hand.network()
    clean, total = twin.head(features)[index], 0
    for k in range(features.shape[-1]):
        without = features.copy()
        without[:, :, k] = 0
        total = total + (clean - twin.head(without)[index]) * features[:, :, k]
    return np.maximum(total, 0)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_weights_are_drops_of_the_score(batch_size):
    batch = by_hand.images(3)
    actual = by_hand.explain(kx.ablation_cam, batch, layer="features", resize=False,
                             batch_size=batch_size)
    by_hand.close(actual, by_hand.expected(rule, batch))


@pytest.mark.filterwarnings("ignore::keras_explain.BlankHeatmapWarning")
def test_a_negative_logit_does_not_turn_the_map_around():
    """The paper divides by the score: then the weights of every channel change sign."""
    _, twin = by_hand.network()
    batch = by_hand.images(6)
    lowest = [int(twin.logits(image).argmin()) for image in batch]
    assert min(twin.logits(image).min() for image in batch) < 0
    actual = by_hand.explain(kx.ablation_cam, batch, layer="features", resize=False, target=lowest)
    by_hand.close(actual, by_hand.expected(rule, batch, classes=lowest))
