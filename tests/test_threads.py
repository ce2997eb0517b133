"""Maps of several images, and asked for by several threads, are those of one at a time.

Each runs in a process of its own: TensorFlow's fused kernels crash where they are run twice at
once.
"""

import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from models import head

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
    run = backend.compiled(lambda x: explained(x)["heatmap"], explained.variables)
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
    command = [sys.executable, "-X", "faulthandler", __file__, builder, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "0 different"


if __name__ == "__main__":
    print(different_maps(sys.argv[1], int(sys.argv[2])), "different")
