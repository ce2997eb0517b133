import by_hand
import keras
import numpy as np
from keras import ops

import keras_explain as kx


def rule(features, gradients, image, index):
    return (features * gradients).sum(axis=-1)


def test_is_gradient_times_feature():
    batch = by_hand.images()
    signed = by_hand.explain(kx.hires_cam, batch, layer="features", resize=False, signed=True)
    plain = by_hand.explain(kx.hires_cam, batch, layer="features", resize=False)
    wanted = by_hand.expected(rule, batch)
    assert wanted.min() < 0
    by_hand.close(signed, wanted)
    by_hand.close(plain, np.maximum(wanted, 0))


def test_adds_up_to_the_logit_but_for_the_bias_behind_a_linear_head():
    model, _ = by_hand.network()
    batch = by_hand.images()
    explained = kx.hires_cam(model, layer="more", target=1, resize=False, signed=True)
    total = np.asarray(explained.predict(batch, verbose=0)["heatmap"]).sum(axis=(1, 2))
    inner = keras.Model(model.inputs[0], model.get_layer("flat").output)
    kernel, bias = model.get_layer("top").get_weights()
    wanted = ops.convert_to_numpy(inner(batch)) @ kernel[:, 1]
    np.testing.assert_allclose(total, wanted, rtol=1e-4)
