import numpy as np
from keras import ops

from keras_explain.engine import hiding


def test_a_blend_is_exact_where_one_is_alone():
    """However much larger the other is; between them it is their mean, weighted by the mask."""
    pixels = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype("float32")
    hidden = np.float32([[[[1e8, -3.0]]], [[[0.1, 1e-8]]]])
    seen = np.zeros((2, 3, 4), "float32")
    seen[:, 0], seen[:, 1] = 1, 0.25
    found = ops.convert_to_numpy(hiding.blend(
        ops.convert_to_tensor(pixels), ops.convert_to_tensor(hidden), ops.convert_to_tensor(seen),
        (1, 2)))
    np.testing.assert_array_equal(found[:, 0], pixels[:, 0])
    np.testing.assert_array_equal(found[:, 2], np.broadcast_to(hidden[:, 0], (2, 4, 2)))
    np.testing.assert_allclose(found[:, 1], 0.25 * pixels[:, 1] + 0.75 * hidden[:, 0], rtol=1e-6)
