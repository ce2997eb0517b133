"""On JAX and PyTorch nothing imports TensorFlow, so that they do without its 2 GB."""

import os
import subprocess
import sys

import keras
import pytest

PROGRAM = '''
import importlib.machinery
import sys


class Absent(importlib.machinery.SourceFileLoader):
    def __init__(self):
        pass

    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)

    def exec_module(self, module):
        pass


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            return importlib.machinery.ModuleSpec(name, Absent())


sys.meta_path.insert(0, Finder)
import keras
import numpy as np
from keras import layers

import keras_explain as kx

model = keras.Sequential([
    keras.Input((16, 16, 3)), layers.Conv2D(4, 3, activation="relu", name="conv"),
    layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")])
x = np.random.default_rng(0).random((3, 16, 16, 3), dtype="float32")
for build in (kx.grad_cam, kx.integrated_gradients, kx.local_linear):
    build(model).predict(x, verbose=0)
kx.occlusion(model, patch_size=4).predict(x, verbose=0)
kx.rise(model, samples=8).predict(x, verbose=0)
kx.LimeImageExplainer(model).explain(x[0], samples=20, verbose=0)
kx.metrics.deletion(kx.grad_cam(model), x, steps=4, verbose=0)
kx.compare(model, x, ["grad_cam"], ["deletion"], verbose=0)
kx.explain(model, x, verbose=0)
explained = kx.grad_cam(model)
explained.save("explained.keras")
keras.models.load_model("explained.keras").predict(x, verbose=0)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, np.array([0, 1, 0]), verbose=0, callbacks=[
    kx.callbacks.GradCAMCallback(x, log_dir="logs")])
assert not sys.modules.get("tensorflow")
print("without TensorFlow")
'''


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it is the backend here")
def test_nothing_imports_tensorflow(tmp_path):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], cwd=tmp_path, text=True,
                          capture_output=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.endswith("without TensorFlow\n"), done.stderr[-2000:]
