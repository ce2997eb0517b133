"""The callable that batch engines use: columns in, columns out, an error for each bad row."""

import pathlib
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
from models import KINDS

import keras_explain as kx
from keras_explain import images
from keras_explain.serving import SavedExplainer

if keras.backend.backend() == "torch":
    pytest.skip("Keras exports no SavedModel from PyTorch", allow_module_level=True)
ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    explained = kx.grad_cam(KINDS["functional"].model)
    return kx.export(explained, tmp_path_factory.mktemp("served") / "1"), explained


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 12, 3))
    return images.encode_png(pixels.astype("uint8"))


def test_rows_out_are_rows_in(exported):
    path, explained = exported
    explain = SavedExplainer(path, "explain_class")
    (name,) = set(explain.inputs) - {"target"}
    x = KINDS["functional"].inputs(6)
    rows = list(x)
    rows[1] = x[1] * np.nan
    rows[2] = x[2][:5]
    rows[3] = "words"
    answer = explain({name: rows, "target": [-1, -1, -1, -1, 9, -1], "other": range(6)})
    errors = list(answer["error"])
    assert errors[0] == errors[5] == ""
    assert "without NaN" in errors[1]
    assert "of shape (16, 12, 3) for each row, received (5, 12, 3)" in errors[2]
    assert "Expected float32" in errors[3]
    assert errors[4] == ("Expected a target from -1 (top class) to 3, received 9. Count"
                         " classes from 0.")
    expected = keras.ops.convert_to_numpy(explained(x)["heatmap"])
    np.testing.assert_allclose(answer["heatmap"][[0, 5]], expected[[0, 5]], atol=1e-5)
    assert not answer["heatmap"][1:5].any()
    assert answer["heatmap"].shape == (6, 16, 12) and answer["heatmap"].dtype == np.float32


def test_a_row_that_makes_the_model_fail_is_found(exported):
    path, _ = exported
    explain = SavedExplainer(path, "explain").load()
    (name,) = explain.inputs
    asked, function = [], explain._function

    def fails_on_ones(**inputs):
        asked.append(len(inputs[name]))
        if (inputs[name].numpy() == 1).all(axis=(1, 2, 3)).any():
            raise RuntimeError("\nout of luck\nstack")
        return function(**inputs)

    explain._function = fails_on_ones
    x = KINDS["functional"].inputs(8)
    x[5] = 1
    answer = explain({name: x})
    assert [bool(e) for e in answer["error"]] == [i == 5 for i in range(8)]
    assert answer["error"][5] == "RuntimeError: out of luck"
    assert sorted(asked) == [1, 1, 2, 4, 4, 8][:len(asked)] or sum(asked) < 30


def test_images_and_their_errors(exported):
    path, _ = exported
    explain = pickle.loads(pickle.dumps(SavedExplainer(path).load()))
    answer = explain({"image_bytes": [png(0), b"no image", png(1)]})
    assert [bool(e) for e in answer["error"]] == [False, True, False]
    assert answer["overlay_bytes"][0].startswith(b"\x89PNG") and answer["overlay_bytes"][1] == b""
    empty = explain({"image_bytes": []})
    assert len(empty["error"]) == 0 and empty["heatmap"].shape == (0, 16, 12)
    bad = explain({"image_bytes": [b"no image", 7]})
    assert bad["heatmap"].shape == (2, 16, 12) and "received int" in bad["error"][1]


def test_some_outputs(exported):
    explain = SavedExplainer(exported[0], "explain_image", outputs=["top_labels"])
    answer = explain({"image_bytes": [png(0), b""]})
    assert sorted(answer) == ["error", "top_labels"]
    assert answer["top_labels"][1, 0] == b"" and answer["error"][1]


def test_mistakes_are_told(exported, tmp_path):
    path, _ = exported
    with pytest.raises(FileNotFoundError, match="Expected a folder that `keras_explain.export`"):
        SavedExplainer(tmp_path)
    with pytest.raises(ValueError, match="Expected `signature` among.*'explains'"):
        SavedExplainer(path, "explains")
    with pytest.raises(ValueError, match="Expected `outputs` among.*'map'"):
        SavedExplainer(path, outputs=["map"])
    explain = SavedExplainer(path, "explain_class")
    with pytest.raises(ValueError, match="Expected the columns.*received \\['x'\\]"):
        explain({"x": []})
    (name,) = set(explain.inputs) - {"target"}
    with pytest.raises(ValueError, match="columns of one length"):
        explain({name: [1], "target": [1, 2]})


def test_it_needs_neither_keras_nor_opencv(exported):
    """A worker has keras_explain and TensorFlow; nothing heavy comes in before the first batch."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["keras", "cv2", "matplotlib", "jax"]))
from keras_explain.serving import SavedExplainer
explain = SavedExplainer({str(exported[0])!r}, "explain")
assert "tensorflow" not in sys.modules
(name,) = explain.inputs
print(explain({{name: [[[[0.5] * 3] * 12] * 16]}})["heatmap"].shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "(1, 16, 12)", done.stderr[-2000:]


def test_numbers_that_a_cast_would_change_are_refused(exported):
    path, _ = exported
    explain = SavedExplainer(path, "explain_class")
    (name,) = set(explain.inputs) - {"target"}
    rows = list(KINDS["functional"].inputs(7).astype("float64"))
    rows[1][0, 0, 0] = 1e300
    rows[2][0, 0, 0] = np.inf
    rows[3][0, 0, 0] = -np.inf
    answer = explain({name: rows, "target": [0, 0, 0, 0, 2**32 + 1, -(2**32), True]})
    errors = list(answer["error"])
    assert errors[0] == ""
    assert "Expected a target from -1 (top class) to 3, received True" in errors[6]
    assert "received 1e+300, which is out of its range" in errors[1]
    assert "without NaN and infinity" in errors[2] and "without NaN and infinity" in errors[3]
    assert errors[4] == ("Expected int32 for target, received 4294967297, which is out of its"
                         " range. Convert it first.")
    assert "received -4294967296" in errors[5]
    assert not answer["heatmap"][1:].any()


def test_whole_numbers_end_where_their_kind_ends(tmp_path):
    """As a float the end of int64 is one more: 2**63 passed, and was cast to -(2**63)."""
    model = keras.Sequential([
        keras.Input((8, 8, 3), dtype="int64"), keras.layers.Rescaling(1e-19),
        keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    explain = SavedExplainer(kx.export(kx.saliency(model), tmp_path / "1"), "explain")
    (name,) = explain.inputs
    rows = [np.full((8, 8, 3), value, "uint64") for value in (2**63 - 1, 2**63, 2**64 - 1)]
    errors = list(explain({name: rows})["error"])
    assert errors[0] == ""
    assert "received 9223372036854775808, which is out of its range" in errors[1]
    assert "received 18446744073709551615, which is out of its range" in errors[2]


def test_pixels_out_of_range_are_refused(tmp_path):
    model = keras.Sequential([
        keras.Input((8, 8, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    explain = SavedExplainer(kx.export(kx.saliency(model), tmp_path / "1"), "explain")
    (name,) = explain.inputs
    rows = [np.full((8, 8, 3), value) for value in (255, 300, -1)]
    answer = explain({name: rows})
    assert answer["error"][0] == ""
    assert "received 300, which is out of its range" in answer["error"][1]
    assert "received -1" in answer["error"][2]


def test_large_batches_are_split(exported):
    path, _ = exported
    explain = SavedExplainer(path, "explain", batch_size=4).load()
    (name,) = explain.inputs
    asked, function = [], explain._function

    def counts(**inputs):
        asked.append(len(inputs[name]))
        return function(**inputs)

    explain._function = counts
    x = KINDS["functional"].inputs(10)
    answer = explain({name: x})
    assert asked == [4, 4, 2]
    at_once = SavedExplainer(path, "explain", batch_size=16)({name: x})
    np.testing.assert_allclose(answer["heatmap"], at_once["heatmap"], atol=1e-6)
    with pytest.raises(ValueError, match="batch_size"):
        SavedExplainer(path, batch_size=0)


def test_workers_may_start_in_another_folder(exported, monkeypatch):
    path, _ = exported
    monkeypatch.chdir(pathlib.Path(path).parent)
    sent = pickle.dumps(SavedExplainer(pathlib.Path(path).name, "explain_image"))
    monkeypatch.chdir("/")
    assert pickle.loads(sent)({"image_bytes": [png(0)]})["error"][0] == ""


@pytest.mark.parametrize("build", [kx.grad_cam, kx.occlusion, kx.rise, kx.integrated_gradients])
def test_an_empty_batch_is_answered_by_every_signature(tmp_path, build):
    path = kx.export(build(KINDS["functional"].model), tmp_path / "1")
    import tensorflow as tf

    for signature, function in tf.saved_model.load(str(path)).signatures.items():
        if signature == "serving_default":  # the model itself, which TensorFlow may refuse
            continue
        given = function.structured_input_signature[1]
        answer = function(**{name: tf.zeros((0, *spec.shape[1:]), spec.dtype)
                             for name, spec in given.items()})
        assert all(len(value) == 0 for value in answer.values()), signature
        columns = {name: [] for name in given}
        assert len(SavedExplainer(path, signature)(columns)["error"]) == 0
