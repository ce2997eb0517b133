import numpy as np
from keras import ops
from noise_by_hand import reference

from keras_explain.engine.noise import normal


def test_is_the_hash_on_every_backend():
    found = ops.convert_to_numpy(normal((5, 4, 3), ops.arange(7), seed=123456789))
    assert found.shape == (7, 5, 4, 3)
    for i in range(7):
        np.testing.assert_allclose(found[i], reference((5, 4, 3), i, 123456789), atol=2e-5)


def test_is_standard_normal_and_independent():
    found = ops.convert_to_numpy(normal((100, 100), ops.arange(20), seed=0))
    flat = found.reshape(20, -1)
    assert abs(found.mean()) < 0.01 and abs(found.std() - 1) < 0.01
    assert abs((found**3).mean()) < 0.03 and abs((found**4).mean() - 3) < 0.06
    assert np.abs(np.corrcoef(flat) - np.eye(20)).max() < 0.05
    for lag in (1, 2, 3, 100, 300):
        assert abs((flat[:, :-lag] * flat[:, lag:]).mean()) < 0.01
    other = ops.convert_to_numpy(normal((100, 100), ops.arange(20), seed=1))
    assert abs((found * other).mean()) < 0.01
