"""What editors and type checkers see: every public name, every option, and the user's typos."""

import ast
import inspect
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from models import KINDS

import keras_explain as kx
from keras_explain.explainers import METHODS

ROOT = pathlib.Path(kx.__file__).parent
LAZY = ("", "lime", "metrics")
RIGHT = """
import keras
import numpy as np
import keras_explain as kx

x = np.zeros((2, 8, 8, 3))
model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
explained = kx.occlusion(model, patch_size=4, stride=2, target=1, score="logit")
kx.grad_cam(model, layer="conv", resize=False)
kx.smooth_grad(model, samples=8, noise=0.2, signed=True)
area: float = kx.metrics.deletion(explained, x, steps=8, verbose=0)[0]
table = kx.compare(model, x, ["grad_cam"], ["sparseness"], seed=3)
print(table.to_markdown(), table.interval("grad_cam", "sparseness")[1] + 1)
print(kx.linear.mean_gradient(model, x, target=1).top(3)[0][0].name.upper())
print(kx.error_analysis.analyze_errors(model, x, [0, 1]).most_confused(1)[0].rate + 1)
print(kx.export(explained, "served", class_names=["a", "b"]).name)
kx.callbacks.ExplanationCallback(kx.grad_cam, x, [0, 1], pick="worst")
picture = kx.images.overlay(x[0], x[0, :, :, 0], alpha=0.3)
kx.plots.comparison(picture, {"a": picture[..., 0]}, title="one").savefig("one.png")
print(kx.SavedExplainer("served", outputs=["heatmap"])({})["error"])
"""
WRONG = {
    "kx.grad_cammm(model)": 'Module has no attribute "grad_cammm"',
    "kx.occlusion(model, patch_sise=4)": 'Unexpected keyword argument "patch_sise"',
    "kx.occlusion(model, score='loss')": 'has incompatible type',
    "kx.grad_cam(model, 'conv5')": "Too many positional arguments",
    "kx.metrics.deletion(explained, x, stepz=8)": 'Unexpected keyword argument "stepz"',
    "kx.metrics.weight_randomization(kx.grad_cam, model, x, steps=2)": '"steps"',
    "kx.compare(model, x, verbose=2)": "has incompatible type",
    "kx.linear.mean_gradient(model, x, 1)": "Too many positional arguments",
    "kx.export(explained, 'served', format='onx')": "has incompatible type",
    "kx.callbacks.ExplanationCallback(kx.grad_cam, x, pick='best')": "has incompatible type",
    "kx.callbacks.GradCAMCallback(x, every_n_epoch=2)": 'Unexpected keyword argument',
    "kx.images.overlay(x[0], x[0], alfa=0.3)": 'Unexpected keyword argument "alfa"',
    "kx.metrics.Meter(explained, batchsize=3)": 'Unexpected keyword argument "batchsize"',
}


@pytest.mark.parametrize("package", LAZY)
def test_stubs_name_what_the_package_has(package):
    module = __import__(".".join(filter(None, ["keras_explain", package])), fromlist=["_"])
    stub = ast.parse((ROOT / package / "__init__.pyi").read_text())
    named = {a.asname or a.name for n in stub.body if isinstance(n, ast.ImportFrom)
             for a in n.names}
    assert named == set(module.__all__)
    assert (ROOT / "py.typed").exists()


def test_a_type_checker_catches_typos(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(RIGHT + "\n".join(WRONG) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--follow-imports=silent",
         "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True, text=True, cwd=ROOT.parent)
    found = {}
    for line in done.stdout.splitlines():
        if ": error:" in line:
            found.setdefault(int(line.split(":")[1]), line)
    first = RIGHT.count("\n") + 1
    assert list(found) == list(range(first, first + len(WRONG))), done.stdout + done.stderr
    for line, words in zip(found.values(), WRONG.values(), strict=True):
        assert words in line


@pytest.mark.parametrize("name", METHODS)
def test_builders_spell_out_their_options(name):
    builder = getattr(kx, name)
    model, *options = inspect.signature(builder).parameters.values()
    assert model.name == "model" and model.kind is model.POSITIONAL_OR_KEYWORD
    assert {"target", "output", "input", "score", "normalize"} <= {p.name for p in options}
    for option in options:
        assert option.kind is option.KEYWORD_ONLY and option.annotation is not option.empty
        assert f"        {option.name}: " in builder.__doc__
    assert builder.__doc__.count("**options") == 0


@pytest.mark.parametrize("given, near", [
    ({"layer_name": "conv"}, "`layer`"), ({"class_index": 1}, "`target`"),
    ({"penultimate_layer": -1}, "`layer`"), ({"resise": False}, "`resize`"),
    ({"seed_input": 0}, r"`explained\.predict\(x\)`"),
])
def test_an_unknown_option_is_answered_with_the_nearest(given, near):
    with pytest.raises(TypeError, match=rf"options of `grad_cam` .*received .*{near}"):
        kx.grad_cam(None, **given)


def test_only_the_model_goes_without_a_name():
    with pytest.raises(TypeError, match=r"`grad_cam` without a name \(model\), received 2"):
        kx.grad_cam(None, "conv5")


@pytest.mark.parametrize("callback, method", [
    ("GradCAMCallback", "grad_cam"), ("OcclusionCallback", "occlusion"),
    ("SaliencyCallback", "saliency"),
])
def test_callbacks_take_every_option_of_their_builder(callback, method):
    parameters = inspect.signature(getattr(kx.callbacks, callback)).parameters
    base = inspect.signature(kx.callbacks.ExplanationCallback).parameters
    wanted = {*inspect.signature(getattr(kx, method)).parameters} - {"model"}
    assert set(parameters) == wanted | set(base) - {"builder"}
    defaults = {**{n: p.default for n, p in base.items()},
                **{n: p.default for n, p in inspect.signature(
                    getattr(kx, method)).parameters.items()}}
    assert all(p.default == defaults[n] for n, p in parameters.items() if n != "data")
    with pytest.raises(TypeError, match=rf"options of `{callback}`.*Did you mean `layer`|received"):
        getattr(kx.callbacks, callback)([0], resise=3)


OLD_NAMES = {"patch_value", "masks", "labels", "layer_name", "colour", "n_samples", "random_state"}


@pytest.mark.parametrize("name", [*METHODS, "finite_differences", "export"])
def test_old_names_are_gone(name):
    assert not OLD_NAMES & set(inspect.signature(getattr(kx, name)).parameters)


WHOLE = {"patch_size": 4, "stride": 3, "batch_size": 3, "steps": 2, "samples": 3, "grid": 3,
         "seed": 5, "channels": 2, "node_index": 0}


def whole_options(name):
    return [o for o in inspect.signature(getattr(kx, name)).parameters
            if o in WHOLE and (o != "channels" or name == "score_cam")]  # of others a word


@pytest.mark.parametrize("name, option", [(n, o) for n in METHODS for o in whole_options(n)])
def test_whole_numbers_of_numpy_are_python_s(name, option):
    """They work, they are saved, and a fraction is refused in words, before anything runs."""
    model, builder = KINDS["functional"].model, getattr(kx, name)
    layer = {"layer": "conv2"} if option == "node_index" else {}
    explained = builder(model, **{option: np.int64(WHOLE[option])}, **layer)
    same = builder(model, **{option: WHOLE[option]}, **layer)
    assert json.dumps(explained.explainer.get_config()[option]) == json.dumps(
        same.explainer.get_config()[option])
    for wrong in (0.5, np.float32(2.0), "2"):
        with pytest.raises(ValueError, match=rf"Expected `{option}` to be an integer .*received"):
            builder(model, **{option: wrong}, **layer)


@pytest.mark.parametrize("value", [np.array([4, 3]), (np.int64(4), 3), [np.int32(4), np.int8(3)]])
def test_numbers_of_numpy_work_for_each_axis(value):
    explained = kx.occlusion(KINDS["functional"].model, patch_size=value)
    assert explained.explainer.patch_size == (4, 3)
    with pytest.raises(ValueError, match="`patch_size` to be an integer .*, or one per axis"):
        kx.occlusion(KINDS["functional"].model, patch_size=(4, 0.5))


def test_a_class_of_numpy_is_a_class():
    model = KINDS["functional"].model
    assert kx.saliency(model, target=np.int32(1)).explainer.get_config()["target"] == 1
    with pytest.raises(TypeError, match="Expected `target`.*received 1.0"):
        kx.saliency(model, target=np.float32(1))
