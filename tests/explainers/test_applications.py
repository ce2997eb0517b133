"""The networks of keras.applications under Grad-CAM, saliency, IG, occlusion and LIME.

One of each family; with the environment variable KERAS_EXPLAIN_ALL_APPLICATIONS all of them.
"""

import os

import keras
import numpy as np
import pytest
from keras import ops
from models import alive, draw

import keras_explain as kx
from keras_explain.lime import LimeImageExplainer

pytestmark = pytest.mark.slow
FAMILIES = ("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0",
            "InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small",
            "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception")
EVERY = sorted(name for name, build in vars(keras.applications).items() if name[0].isupper())
SMALLEST = {"Inception": 75, "Xception": 71}  # of the pictures that they take; else 64 are enough
METHODS = {
    "grad_cam": (kx.grad_cam, {}), "saliency": (kx.saliency, {}),
    "integrated_gradients": (kx.integrated_gradients, {"steps": 3}),
    "occlusion": (kx.occlusion, {"patch_size": 32, "stride": 32}),
}


def test_a_network_of_each_family_is_tried():
    assert set(FAMILIES) <= set(EVERY)
    assert len(EVERY) >= 40 or "KERAS_EXPLAIN_ALL_APPLICATIONS" not in os.environ


def build(name):
    size = next((n for start, n in SMALLEST.items() if name.startswith(start)), 64)
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10)
    inputs = draw((size, size, 3), 4)
    if "VGG" not in name:  # without normalization its softmax would saturate
        inputs = 255 * inputs
    return alive(model, inputs), inputs[:2]


@pytest.mark.parametrize("name", EVERY if "KERAS_EXPLAIN_ALL_APPLICATIONS" in os.environ
                         else FAMILIES)
def test_applications(name):
    model, x = build(name)
    want = ops.convert_to_numpy(model(x, training=False))
    assert np.ptp(want, axis=0).max() > 1e-3, "the network is dead: it sees no difference"
    for method, (builder, options) in METHODS.items():
        found = {k: ops.convert_to_numpy(v) for k, v in builder(model, **options)(x).items()}
        np.testing.assert_allclose(found["predictions"], want, atol=1e-5, err_msg=method)
        assert found["heatmap"].shape == x.shape[:3]
        assert np.isfinite(found["heatmap"]).all(), method
        assert found["heatmap"].any(), f"{method} is blank"
    said = LimeImageExplainer(model).explain(x[0], samples=12, top=2, verbose=0)
    np.testing.assert_allclose(said.prediction, want[0][list(said.classes)], atol=1e-3)
    assert np.isfinite(said.weights).all() and said.weights.any()
