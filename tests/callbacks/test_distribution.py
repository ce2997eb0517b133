"""Training on several devices, each in a process of its own: devices are fixed at the start."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

TRAIN = """
import json, sys
import keras, numpy as np
import keras_explain as kx
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model

def check(model, folder):
    rng = np.random.default_rng(0)
    x, y = rng.random((16, 8, 8, 1), "float32"), np.arange(16) % 2
    callback = kx.callbacks.GradCAMCallback(x[:3], y[:3], log_dir=folder)
    worst = kx.callbacks.GradCAMCallback(x, y, log_dir=folder, pick="worst", max_images=3, name="w")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[callback, worst])
    want = model.predict_on_batch(x[:8])[:3].max(axis=1)
    for name in ("grad_cam", "w"):
        log = EventAccumulator(f"{folder}/explanations/{name}", size_guidance={"tensors": 0})
        log.Reload()
        steps = [json.loads(e.tensor_proto.string_val[0]) for e in log.Tensors(f"{name}/steps")]
        assert [len(s["limits"]) for s in steps] == [3, 3, 3], steps
        if name == "grad_cam":
            np.testing.assert_allclose(steps[-1]["score"], want, rtol=1e-3)
"""

MIRRORED = TRAIN + """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    made = model()
assert strategy.num_replicas_in_sync == 2
check(made, sys.argv[1])
"""

PREDICT = """
import sys
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np
import keras_explain as kx

def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])

x = np.random.default_rng(0).random((8, 8, 8, 1), "float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for build in (kx.grad_cam, kx.saliency, kx.integrated_gradients, kx.rise, kx.occlusion):
    want = build(model()).predict(x, verbose=0)["heatmap"]
    with strategy.scope():
        explained = build(model())
    found = explained.predict(x, batch_size=4, verbose=0)["heatmap"]
    assert np.ptp(want) > 0
    np.testing.assert_allclose(found, want, atol=1e-6)
"""

DATA_PARALLEL = TRAIN + """
import jax
assert len(jax.devices()) == 2
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=jax.devices()))
check(model(), sys.argv[1])
"""


def run(program, folder, **environment):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    done = subprocess.run([sys.executable, "-W", "error:.*could not log:UserWarning", "-c", program,
                           str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "could not log" not in done.stderr, done.stderr[-3000:]


def test_mirrored_strategy(tmp_path):
    run(MIRRORED, tmp_path, KERAS_BACKEND="tensorflow")


def test_predict_under_a_mirrored_strategy(tmp_path):
    run(PREDICT, tmp_path, KERAS_BACKEND="tensorflow")


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_jax_data_parallel(tmp_path):
    run(DATA_PARALLEL, tmp_path, KERAS_BACKEND="jax",
        XLA_FLAGS="--xla_force_host_platform_device_count=2")
