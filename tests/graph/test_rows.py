"""Models that fold frames or patches into the batch: no map of a wrong number of rows."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.explainers import METHODS
from keras_explain.graph.program import Program
from keras_explain.graph.rows import count_rows

CAMS = [name for name in METHODS if "cam" in name and name not in ("guided_grad_cam", "cam")]


class Folded(layers.Layer):
    """Frames (N, T, H, W, C) through a network of images, and their mean."""

    def __init__(self, network, **options):
        super().__init__(**options)
        self.network = network

    def call(self, x):
        frames, *size = x.shape[1:]
        found = self.network(ops.reshape(x, (-1, *size)))
        return ops.mean(ops.reshape(found, (-1, frames, found.shape[-1])), axis=1)


def network():
    return keras.Sequential([keras.Input((8, 6, 3)), layers.Conv2D(4, 3, activation="relu"),
                             layers.GlobalAveragePooling2D()])


def of_patches(declared=False):
    """Patches as rows; `declared`: the layers say their shapes, and nothing of the batch."""
    def cut(x):
        x = ops.reshape(x, (-1, 2, 8, 3, 6, 3))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 8, 6, 3))

    def layer(fn, shape):
        return layers.Lambda(fn, output_shape=shape if declared else None)

    image = keras.Input((16, 18, 3))
    found = network()(layer(cut, (8, 6, 3))(image))
    found = layer(lambda x: ops.max(ops.reshape(x, (-1, 6, 4)), axis=1), (4,))(found)
    return keras.Model(image, layers.Dense(3)(found))


def of_patches_that_declare_shapes():
    return of_patches(declared=True)


def of_frames():
    video = keras.Input((5, 8, 6, 3))
    return keras.Model(video, layers.Dense(3)(Folded(network())(video)))


MODELS = [of_patches_that_declare_shapes, of_frames]
if keras.backend.backend() == "tensorflow":  # elsewhere Keras wants the shapes of a Lambda
    MODELS.append(of_patches)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CAMS)
def test_cams_say_that_there_is_no_one_map(name, model):
    with pytest.raises(ValueError, match="one feature map for each example.*folded [56] of them"):
        getattr(kx, name)(model(), target=1)


@pytest.mark.parametrize("model", MODELS)
def test_occlusion_of_what_is_folded(model):
    model = model()
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    size = 4 if x.ndim == 4 else (1, 4, 3)
    explained = kx.occlusion(model, patch_size=size, stride=size, baseline=0.0, target=1)
    found = ops.convert_to_numpy(explained(x)["heatmap"])
    hidden = x.copy()
    if x.ndim == 4:
        hidden[:, 4:8, 8:12] = 0
        at = (slice(None), 5, 9)
    else:
        hidden[:, 2, 4:8, 3:6] = 0
        at = (slice(None), 2, 5, 4)
    want = ops.convert_to_numpy(model(x) - model(hidden))[:, 1]
    np.testing.assert_allclose(found[at], want, atol=1e-5)
    assert found.shape == x.shape[:-1]


def test_rows_are_counted():
    for model, rows in ((of_patches(declared=True), 6), (network(), 1)):
        _, program = Program.trace(model)
        value = next(s for s in program.steps if isinstance(s.fn, layers.Conv2D)).outputs[0]
        assert count_rows(program, value) == rows
