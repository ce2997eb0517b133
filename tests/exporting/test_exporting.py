"""Exported explanations: the same numbers, where keras_explain is not installed."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from models import KINDS

import keras_explain as kx

TESTS = pathlib.Path(__file__).parents[1]
BACKEND = keras.backend.backend()
needs_export = pytest.mark.skipif(BACKEND == "torch", reason="Keras exports no SavedModel there")
QUICK = ("functional", "nested_two_levels", "sigmoid_of_one_unit", "mixed_float16",
         "transformer_with_class_token", "inputs_dict")


class Matrix:
    """Exports many models and asks them all in one process, which takes seconds to start."""

    def __init__(self, folder):
        self.folder, self.jobs = folder, []

    def ask(self, path, signature, inputs, expected, atol=1e-5):
        stem = self.folder / f"job{len(self.jobs)}"
        np.savez(f"{stem}_inputs.npz", **inputs)
        np.savez(f"{stem}_expected.npz", **expected)
        self.jobs.append({"path": str(path), "signature": signature, "atol": atol,
                          "inputs": f"{stem}_inputs.npz", "expected": f"{stem}_expected.npz"})

    def run(self):
        manifest = self.folder / "manifest.json"
        manifest.write_text(json.dumps(self.jobs))
        command = [sys.executable, "-X", "faulthandler", TESTS / "saved_model_checker.py", manifest]
        done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


def named(model, inputs):
    """Inputs under the names that signatures give them."""
    specs = keras.tree.flatten(model.input)
    return {spec.name: x for spec, x in zip(specs, keras.tree.flatten(inputs), strict=True)}


def flat(outputs):
    return {"_".join(map(str, path)): np.asarray(keras.ops.convert_to_numpy(x))
            for path, x in keras.tree.flatten_with_path(outputs)}


def plain(outputs):
    """What `serving_default` names the user's outputs."""
    if isinstance(outputs, dict):
        return flat(outputs)
    values = keras.tree.flatten(outputs)
    return {f"output_{i}": np.asarray(keras.ops.convert_to_numpy(x)) for i, x in enumerate(values)}


def explained_kind(kind, method=None):
    if method is None:
        method = kx.saliency if isinstance(kind.cam, str) else kx.grad_cam
    cam = kind.cam if method is kx.grad_cam else {}
    options = {**kind.options, **cam}
    if kind.name == "sigmoid_of_one_unit":
        options["target"] = None  # its Grad-CAM map of class 0 is blank
    if kind.name == "table" and method is kx.occlusion:
        options["baseline"] = 0.0  # columns have no neighbors to take it from
    return method(kind.model, **options)


def ask_all(matrix, kind, explained, path, batches=(3,)):
    """Ask all signatures of one export what the model answered here."""
    for count in batches:
        inputs = kind.inputs(count)
        given = named(explained, inputs)
        half = "float16" in kind.name or "bfloat16" in kind.name
        atol = 2e-2 if half else 1e-5
        matrix.ask(path, "serving_default", given, plain(kind.model(inputs, training=False)),
                   atol if half else 1e-6)
        answer = flat(explained(inputs))
        scale = max(1.0, *(float(np.abs(v).max()) for k, v in answer.items()
                           if k.startswith("heatmap")))
        matrix.ask(path, "explain", given, answer, atol * scale)
        if not callable(explained.explainer.question.target):
            top = explained.explainer.variant(target=None).explained_model()
            given = {**given, "target": np.full(count, -1, "int32")}
            matrix.ask(path, "explain_class", given, flat(top(inputs)), atol * scale)


def exported(matrix, name, method=None, batches=(3,), **options):
    kind = KINDS[name]
    explained = explained_kind(kind, method)
    path = kx.export(explained, matrix.folder / name, **options)
    ask_all(matrix, kind, explained, path, batches)
    return path


@needs_export
def test_exports_answer_as_before_without_keras_explain(tmp_path):
    matrix = Matrix(tmp_path)
    for name in QUICK:
        exported(matrix, name, batches=(1, 3, 8) if name == "functional" else (3,))
    report = matrix.run()
    assert report["failures"] == []
    assert report["modules"] == []
    assert report["asked"] == 3 * (len(QUICK) + 2)


@needs_export
def test_every_score_is_exported(tmp_path):
    """Of several classes and of one unit; the scores are told apart by their maps."""
    matrix, x = Matrix(tmp_path), KINDS["functional"].inputs(3)
    maps = {}
    for score in ("logit", "log_odds", "probability"):
        for method in (kx.saliency, kx.occlusion, kx.hires_cam):
            for name in ("functional", "sigmoid_of_one_unit"):
                kind = KINDS[name]
                explained = method(kind.model, **{**kind.options, "score": score})
                path = kx.export(explained, tmp_path / f"{score}_{method.__name__}_{name}")
                ask_all(matrix, kind, explained, path)
        occlusion = kx.occlusion(KINDS["functional"].model, score=score)
        maps[score] = np.asarray(keras.ops.convert_to_numpy(occlusion(x)["heatmap"]))
    assert matrix.run()["failures"] == []
    assert np.ptp(maps["log_odds"]) > 0
    for other in ("logit", "probability"):
        assert not np.allclose(maps["log_odds"], maps[other], atol=1e-3 * np.ptp(maps["log_odds"]))


@needs_export
@pytest.mark.slow
@pytest.mark.parametrize("method", [None, kx.saliency, kx.occlusion])
def test_the_whole_zoo_answers_as_before(tmp_path, method):
    matrix = Matrix(tmp_path)
    for name, kind in KINDS.items():
        if method is kx.occlusion and name == "variable_size":
            continue  # it needs a patch size
        if kind.shape is None and method is not None or method is None:
            exported(matrix, name, method)
    report = matrix.run()
    assert report["failures"] == []
    assert report["modules"] == []


@needs_export
def test_the_c_loader_check_can_fail(tmp_path):
    """What `tf.saved_model.save` writes for a Keras model loads in Python and not in C."""
    tf = pytest.importorskip("tensorflow")
    if BACKEND != "tensorflow":
        pytest.skip("The trap is TensorFlow's.")
    model = KINDS["functional"].model
    call = tf.function(lambda x: {"y": model(x)}, input_signature=[
        tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)])
    tf.saved_model.save(model, tmp_path / "model", signatures=call)
    tf.saved_model.load(str(tmp_path / "model"))
    done = subprocess.run([sys.executable, TESTS / "c_loader.py", tmp_path / "model",
                           "serving_default"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "Could not find variable" in done.stderr


@needs_export
def test_an_existing_folder_is_kept(tmp_path):
    explained = kx.saliency(KINDS["table"].model)
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="Expected a new place.*which exists.*overwrite"):
        kx.export(explained, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "kept"
    kx.export(explained, tmp_path, overwrite=True)
    assert (tmp_path / "saved_model.pb").exists()
    assert not (tmp_path / "mine.txt").exists()


@needs_export
def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    tf = pytest.importorskip("tensorflow")

    def fail(root, path, **options):
        os.makedirs(path)
        (pathlib.Path(path) / "saved_model.pb").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        kx.export(kx.saliency(KINDS["table"].model), tmp_path / "new" / "1")
    assert list(tmp_path.iterdir()) == []


@needs_export
def test_a_failure_keeps_what_was_there(tmp_path, monkeypatch):
    explained = kx.saliency(KINDS["table"].model)
    path = kx.export(explained, tmp_path / "1")
    before = sorted(p.name for p in path.iterdir())

    def fail(*args, **kwargs):
        raise OSError("disk full")

    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        kx.export(explained, path, overwrite=True)
    assert sorted(p.name for p in path.iterdir()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_only_explained_models_are_exported(tmp_path):
    with pytest.raises(TypeError, match="Expected an explained model.*received Functional"):
        kx.export(KINDS["functional"].model, tmp_path / "1")


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch only")
def test_torch_is_told_what_to_do(tmp_path):
    with pytest.raises(RuntimeError, match="Expected the TensorFlow or JAX.*explained.save"):
        kx.export(kx.saliency(KINDS["table"].model), tmp_path / "1")
    assert list(tmp_path.iterdir()) == []
