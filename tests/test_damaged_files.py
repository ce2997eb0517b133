"""Saved explainers, explanations and exports with fields missing, wrong or hostile."""

import base64
import copy
import json
import tracemalloc
import zipfile
import zlib

import keras
import numpy as np
import pytest
from keras import layers
from models import kind_for

import keras_explain as kx
from keras_explain.explainers import METHODS
from keras_explain.lime.explanation import Explanation

WRONG = (None, [], {}, "x", -1, 3.5, [None], {"a": 1}, {"class_name": "x"}, 10**30, [[["a"]]])
FAST = {"rise": {"samples": 8, "grid": 3, "baseline": np.eye(8)[..., None]},
        "smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 2},
        "occlusion": {"patch_size": 4, "baseline": np.eye(8)[..., None]}}


def small_model():
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(2, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax")])


def explainer_of(name):
    model = kind_for(name).model if name == "attention" else small_model()
    return getattr(kx, name)(model, **FAST.get(name, {})).explainer


def assert_built_or_told(build, *args):
    """No error but one that says what was expected; returns what was built."""
    try:
        return build(*args)
    except ValueError as error:
        assert str(error).startswith("Expected"), error
        return None


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("values", [
    ("x", [None]), pytest.param(WRONG, marks=pytest.mark.slow)], ids=["few", "all"])
def test_each_field_of_an_explainer_missing_or_wrong(name, values):
    explainer = explainer_of(name)
    read, config = type(explainer).from_config, explainer.get_config()
    assert read(copy.deepcopy(config)).get_config().keys() == config.keys()
    for field in config:
        less = {k: v for k, v in config.items() if k != field}
        if field not in ("name", "dtype", "trainable"):
            with pytest.raises(ValueError, match=f"Expected the fields.*none of.*{field}"):
                read(copy.deepcopy(less))
        for value in values:
            built = assert_built_or_told(read, copy.deepcopy({**config, field: value}))
            if field in ("signed", "resize"):
                assert built is None
    with pytest.raises(ValueError, match="also.*'speed'"):
        read({**copy.deepcopy(config), "speed": 3})


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_no_fields_at_all(value):
    with pytest.raises(ValueError, match="Expected the fields of a saved Saliency"):
        type(explainer_of("saliency")).from_config(value)


def packed(shape, size):
    """A baseline of `shape` that inflates to `size` zero bytes."""
    return {"shape": shape, "float32": base64.b64encode(zlib.compress(bytes(size), 9)).decode()}


HOSTILE = {
    "more than its shape": packed([8, 8, 1], 2**28),
    "another shape": packed([64, 1024, 1024], 2**28),
    "many rows": packed([2**20, 8, 8, 1], 2**28),
    "many axes": packed([1] * 70, 4),
    "less than its shape": packed([8, 8, 1], 100),
    "a negative shape": packed([-1, 8, 1], 256),
    "a shape of words": packed(["8", 8, 1], 256),
    "a shape of truth": packed([True, 8, 1], 32),
    "no shape": {"float32": packed([8, 8, 1], 256)["float32"]},
    "no bytes": {"shape": [8, 8, 1]},
    "no base64": {"shape": [8, 8, 1], "float32": "ü%"},
    "no packed bytes": {"shape": [8, 8, 1], "float32": base64.b64encode(b"what").decode()},
    "cut": {"shape": [8, 8, 1], "float32": packed([8, 8, 1], 256)["float32"][:8]},
    "numbers": {"shape": [8, 8, 1], "float32": 5},
    "no checksum": {"shape": [8, 8, 1], "float32": base64.b64encode(
        zlib.compress(bytes(256))[:-3]).decode()},
    "nan": {"shape": [8, 8, 1], "float32": base64.b64encode(
        zlib.compress(np.full((8, 8, 1), np.nan, "float32").tobytes())).decode()},
}


@pytest.mark.parametrize("name", ["occlusion", "rise", "integrated_gradients"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_baseline_is_refused_in_little_memory(name, kind):
    explainer = explainer_of(name)
    config = {**explainer.get_config(), "baseline": HOSTILE[kind]}
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="Expected"):
            type(explainer).from_config(config)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [2, 70_000])
def test_honest_baselines_are_read_again(rows):
    from keras_explain.engine import packing

    spec = keras.KerasTensor((None, 16, 16, 1))
    for given in (np.zeros((rows, 16, 16, 1), "float32"), np.eye(16, dtype="float32")[..., None]):
        written = json.loads(json.dumps(packing.to_config(given)))
        np.testing.assert_array_equal(packing.from_config(written, spec), given)


def with_config(path, target, change):
    """The `.keras` file `path` again as `target`, its configuration changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            new.writestr(name, data)


def explainer_fields(config):
    (layer,) = [x for x in config["config"]["layers"] if x["class_name"] == "Occlusion"]
    return layer["config"]


def test_keras_files_with_fields_missing(tmp_path):
    kx.occlusion(small_model(), **FAST["occlusion"]).save(tmp_path / "whole.keras")
    fields = []
    with_config(tmp_path / "whole.keras", tmp_path / "same.keras",
                lambda config: fields.extend(explainer_fields(config)))
    keras.models.load_model(tmp_path / "same.keras")
    for field in sorted(set(fields) - {"name", "dtype", "trainable"}):
        with_config(tmp_path / "whole.keras", tmp_path / "less.keras",
                    lambda config, field=field: explainer_fields(config).pop(field))
        with pytest.raises(ValueError, match=f"Expected the fields of a saved Occ.*{field}"):
            keras.models.load_model(tmp_path / "less.keras")
    for field in ("layers", "input_layers", "output_layers"):
        with_config(tmp_path / "whole.keras", tmp_path / "less.keras",
                    lambda config, field=field: config["config"].pop(field))
        with pytest.raises((ValueError, TypeError), match="Expected an explained model|deserial"):
            keras.models.load_model(tmp_path / "less.keras")


def brightness(images):
    mean = images.mean(axis=(1, 2, 3))
    return np.stack([mean, 1 - mean], axis=1)


EXPLANATIONS = {
    "image": lambda: kx.LimeImageExplainer(brightness).explain(
        np.random.default_rng(0).random((12, 12, 3)), samples=20, verbose=0),
    "text": lambda: kx.LimeTextExplainer(
        lambda texts: np.array([[t.count("good"), 1.0] for t in texts])).explain(
            "a good film, a good day", samples=20, verbose=0),
    "table": lambda: kx.LimeTabularExplainer(
        lambda x: np.stack([x[:, 0], 1 - x[:, 0]], 1), np.eye(3)).explain(
            np.ones(3), samples=20, verbose=0),
}


def places(record, path=()):
    """The path of every field of nested dicts and lists, lists by their first entry."""
    for key in record if isinstance(record, dict) else range(min(len(record), 1)):
        yield (*path, key)
        if isinstance(record[key], (dict, list)):
            yield from places(record[key], (*path, key))


def changed(record, path, *value):
    """A copy with another value at a path, or without it."""
    record = copy.deepcopy(record)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    if value:
        inner[path[-1]] = value[0]
    else:
        del inner[path[-1]]
    return record


@pytest.mark.parametrize("kind", EXPLANATIONS)
def test_each_field_of_an_explanation_missing_or_wrong(kind):
    record = EXPLANATIONS[kind]().to_dict()
    assert Explanation.from_dict(record).to_dict() == record
    assert_built_or_told(Explanation.from_dict, None)
    refused = 0
    for path in places(record):
        for value in [(), *((v,) for v in (*WRONG, float("nan"), [[1]], {"base64": ""}))]:
            built = assert_built_or_told(Explanation.from_dict, changed(record, path, *value))
            refused += built is None
            if built is not None:
                built.to_json(), str(built), built.to_html(), built.heatmap()
    assert refused > 100


def test_texts_that_are_no_explanation():
    text = EXPLANATIONS["table"]().to_json()
    assert Explanation.from_json(text).to_json() == text
    broken = [text[:n] for n in range(0, len(text) - 1, 7)]
    deep = "[" * 200_000
    for bad in [*broken, deep, "NaN", text.replace('"fidelity": [', '"fidelity": [NaN, '), b"\xff"]:
        with pytest.raises(ValueError, match="Expected an explanation"):
            Explanation.from_json(bad)


@pytest.mark.parametrize("content", [
    "", "[]", "{", '{"classes": 2}', '{"classes": 2, "signatures": {}}', "[" * 200_000,
    '{"classes": 2, "signatures": {"explain": {"inputs": {}}}}',
    '{"classes": 2, "signatures": {"explain": {"inputs": {"x": 1}, "outputs": {}}}}',
    '{"classes": "2", "signatures": {"explain": {"inputs": {}, "outputs": {}}}}'])
def test_damaged_records_of_an_export(content, tmp_path):
    (tmp_path / "explanation.json").write_text(content)
    with pytest.raises(ValueError, match="Expected .*explanation.json as"):
        kx.SavedExplainer(tmp_path, "explain")
