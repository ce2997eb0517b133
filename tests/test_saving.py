"""What was saved loads in a process that imported `keras_explain` and nothing else of it."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from models import KINDS, kind_for
from running import run

import keras_explain as kx
from keras_explain.explainers import METHODS
from keras_explain.serialization import OTHERS

FAST = {"rise": {"samples": 8, "grid": 3}, "smooth_grad": {"samples": 2},
        "integrated_gradients": {"steps": 2}, "occlusion": {"patch_size": 4}}
LOAD = """
import sys
import numpy as np
{imports}
folder = sys.argv[1]
for name in sys.argv[2:]:
    explained = keras.models.load_model(f"{{folder}}/{{name}}.keras")
    answer = explained.predict_on_batch(np.load(f"{{folder}}/x.npy"))
    np.save(f"{{folder}}/{{name}}.npy", keras.ops.convert_to_numpy(answer["heatmap"]))
"""


def load_elsewhere(folder, names, imports, **environment):
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(imports=imports), str(folder), *names],
        capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-3000:]


def save_all(folder):
    """Every method as a file; the heatmaps that it gives here."""
    x = KINDS["functional"].inputs(2)
    np.save(folder / "x.npy", x)
    maps = {}
    for name in METHODS:
        explained = getattr(kx, name)(kind_for(name).model, **FAST.get(name, {}))
        explained.save(folder / f"{name}.keras")
        maps[name] = run(explained, x)["heatmap"]
    return maps


def assert_loaded(folder, maps, near):
    for name, wanted in maps.items():
        found = np.load(folder / f"{name}.npy")
        np.testing.assert_allclose(found, wanted, atol=near * max(1, np.abs(wanted).max()),
                                   err_msg=name)


@pytest.mark.parametrize("imports", ["import keras, keras_explain", "import keras_explain, keras"])
def test_every_method_loads_in_a_fresh_process(tmp_path, imports):
    maps = save_all(tmp_path)
    load_elsewhere(tmp_path, METHODS, imports)
    assert_loaded(tmp_path, maps, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_method_loads_on_the_other_backends(tmp_path, backend):
    if backend == keras.backend.backend():
        pytest.skip("the backend that saves")
    pytest.importorskip(backend)
    maps = save_all(tmp_path)
    load_elsewhere(tmp_path, METHODS, "import keras, keras_explain", KERAS_BACKEND=backend)
    assert_loaded(tmp_path, maps, 1e-4)


def first_against_last(outputs):
    return outputs[:, 0] - outputs[:, -1]


def test_a_callable_target_loads_where_its_function_is_registered(tmp_path):
    registered = keras.saving.register_keras_serializable("tests")(first_against_last)
    model, x = KINDS["functional"].model, KINDS["functional"].inputs(2)
    np.save(tmp_path / "x.npy", x)
    explained = kx.saliency(model, target=registered)
    explained.save(tmp_path / "saliency.keras")
    load_elsewhere(tmp_path, ["saliency"], """
import keras, keras_explain

@keras.saving.register_keras_serializable("tests")
def first_against_last(outputs):
    return outputs[:, 0] - outputs[:, -1]
""")
    np.testing.assert_allclose(np.load(tmp_path / "saliency.npy"), run(explained, x)["heatmap"],
                               atol=1e-5)


def test_the_stand_ins_name_every_layer_that_is_saved():
    """A layer that is registered without a stand-in would not load in a fresh process."""
    for method in METHODS:
        getattr(kx, method)
    registered = keras.saving.get_custom_objects()
    own = {name for name in registered if name.startswith("keras_explain>")}
    assert own == {f"keras_explain>{name}" for name in [*METHODS.values(), *OTHERS]}
