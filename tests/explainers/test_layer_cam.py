import by_hand
import numpy as np

import keras_explain as kx


def rule(features, gradients, image, index):
    return np.maximum((features * np.maximum(gradients, 0)).sum(axis=-1), 0)


def test_is_the_papers_formula():
    batch = by_hand.images()
    actual = by_hand.explain(kx.layer_cam, batch, layer="features", resize=False, target=2)
    by_hand.close(actual, by_hand.expected(rule, batch, classes=[2, 2]))


def test_is_enlarged_to_the_image():
    batch = by_hand.images()
    actual = by_hand.explain(kx.layer_cam, batch, layer="features", target=2)
    small = by_hand.expected(rule, batch, classes=[2, 2])
    wanted = [by_hand.enlarge(s, (by_hand.HEIGHT, by_hand.WIDTH)) for s in small]
    by_hand.close(actual, np.stack(wanted))


def test_several_layers_give_one_map_each():
    model, _ = by_hand.network()
    batch = by_hand.images()
    maps = kx.layer_cam(model, layer=["features", "more"], resize=False)(batch)["heatmap"]
    assert maps["features"].shape == (2, 5, 4) and maps["more"].shape == (2, 4, 3)
    alone = kx.layer_cam(model, layer="more", resize=False)(batch)["heatmap"]
    np.testing.assert_allclose(np.asarray(maps["more"]), np.asarray(alone), atol=1e-6)
