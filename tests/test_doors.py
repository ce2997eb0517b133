"""The pages for contributors: what they tell to do works, done from outside of the package."""

import copy
import pathlib
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
import test_contract as contract
from keras import ops

import keras_explain as kx

DEVELOP = pathlib.Path(__file__).parents[1] / "docs" / "develop"


def run_page(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    text = (DEVELOP / f"{name}.md").read_text(encoding="utf-8")
    space = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, name, "exec"), space)
    return space


def test_own_cam(tmp_path, monkeypatch):
    space = run_page("own_cam", tmp_path, monkeypatch)
    assert space["maps"].shape == (4, 24, 32) and space["maps"].max() > 0
    assert space["table"].methods[:2] == ["positive_cam", "grad_cam"]
    assert list((tmp_path / "logs" / "explanations").rglob("events*"))
    loaded = keras.models.load_model(tmp_path / "explained.keras")
    images = space["images"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded(images)["heatmap"]),
                               keras.ops.convert_to_numpy(space["explained"](images)["heatmap"]),
                               atol=1e-4)


@pytest.fixture(scope="module")
def positive_cam():
    """The CAM of the page's first ten lines, as a builder under test of the contracts."""
    text = (DEVELOP / "own_cam.md").read_text(encoding="utf-8")
    space = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], space)
    return contract.Builder("positive_cam", "layer", build=space["positive_cam"],
                            blank=contract.TRANSFORMERS)


@pytest.mark.parametrize("kind", contract.FEWER)
def test_own_cam_gives_what_every_builder_gives(positive_cam, kind):
    contract.test_output(positive_cam, contract.KINDS[kind], lambda *told: None)


@pytest.mark.parametrize("test, arguments", [
    (contract.test_batch_size_changes_nothing, ["functional"]),
    (contract.test_model_and_random_state_stay_as_they_are, ["preprocessing_inside"]),
    (contract.test_follows_the_training_of_the_model, []),
    (contract.test_training_mode_explains_inference, []),
    (contract.test_copies, [copy.deepcopy]),
    (contract.test_blank_maps_are_zeros_and_one_warning, []),
], ids=lambda x: getattr(x, "__name__", None))
def test_own_cam_keeps_the_contracts(positive_cam, test, arguments):
    test(positive_cam, *arguments)


def test_own_cam_is_saved(positive_cam, tmp_path):
    contract.test_save_and_load(positive_cam, "composite_layers", tmp_path)
    contract.test_target_as_an_input_survives_saving(positive_cam, tmp_path)


def test_own_gradient_rule(tmp_path, monkeypatch):
    space = run_page("own_gradient_rule", tmp_path, monkeypatch)
    model, images, maps = space["model"], space["images"], space["maps"]
    assert space["table"].methods[:2] == ["deconvolution", "saliency"]
    np.testing.assert_allclose(
        space["explained"].predict(images, verbose=0)["predictions"],
        model.predict(images, verbose=0), atol=1e-5)
    # By hand: the logit's gradient at the flat map, both ReLUs undone, through the convolution.
    conv, dense = model.layers[0], model.layers[-1]
    upstream = ops.convert_to_numpy(dense.kernel)[:, 1].reshape(10, 14, 8).clip(0)
    kernel = ops.convert_to_numpy(conv.kernel)
    wanted = np.zeros((12, 16, 3))
    for y in range(3):
        for x in range(3):
            wanted[y : y + 10, x : x + 14] += upstream @ kernel[y, x].T
    np.testing.assert_allclose(maps, np.broadcast_to(wanted.sum(-1), maps.shape), atol=1e-4)


def test_own_lime_sampler(tmp_path, monkeypatch):
    space = run_page("own_lime_sampler", tmp_path, monkeypatch)
    masks = space["few_missing"](50, 9, np.random.default_rng(0))
    assert set((~masks).sum(axis=1)) == {1, 2}
    plain = kx.LimeTextExplainer(space["predict"]).explain(
        "a good film with a long end", samples=64, verbose=0)
    for explanation in (space["explanation"], plain):
        assert explanation.top(1)[0].name == "good"
    assert space["explanation"].to_dict() != plain.to_dict()  # its samples were asked


def test_own_metric(tmp_path, monkeypatch):
    space = run_page("own_metric", tmp_path, monkeypatch)
    table = space["table"]
    assert list(table.best) == ["border_share", "drop_without_best", "deletion"]
    border = table.scores["saliency"]["border_share"]
    np.testing.assert_allclose(border, space["border_share"](space["maps"]), atol=1e-5)
    np.testing.assert_allclose(space["means"]["border_share"], border.mean(), atol=1e-5)
    assert np.isfinite(table.scores["grad_cam"]["drop_without_best"]).all()


STATIC = pathlib.Path(kx.__file__).parent / "tensorboard" / "plugin" / "static"


def follow_diffs(page, folder):
    """Do to a copy of the dashboard's files what the page's diffs say."""
    text, name = (DEVELOP / page).read_text(encoding="utf-8"), None
    for file, diff in re.findall(r"^In `([\w.]+)`:$|^```diff\n(.*?)```$", text, re.M | re.DOTALL):
        if file:
            name = file
            continue
        lines = diff.splitlines(keepends=True)
        before, after = ("".join(line[1:] for line in lines if line[0] in signs)
                         for signs in (" -", " +"))
        old = (folder / name).read_text(encoding="utf-8")
        assert not before or old.count(before) == 1, f"{name} has no place for {before!r}"
        new = old.replace(before, after) if before else old + after
        (folder / name).write_text(new, encoding="utf-8")


@pytest.mark.skipif(not shutil.which("node"), reason="node runs the page's modules")
def test_own_dashboard_control(tmp_path):
    """The page's diffs fit, and the state has the value; `tests/browser` drives the control."""
    folder = tmp_path / "static"
    shutil.copytree(STATIC, folder)
    follow_diffs("own_dashboard_control.md", folder)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "try.js").write_text("""
        import { Controls } from "./static/controls.js";
        import { State } from "./static/state.js";
        const state = new State();
        state.decode("pixels=sharp&speed=10");
        console.log(state.pixels, state.encode(null), typeof Controls);
    """)
    done = subprocess.run(["node", tmp_path / "try.js"], capture_output=True, text=True)
    assert done.stdout.split() == ["sharp", "pixels=sharp&speed=10", "function"], done.stderr


PAGES = ["../../CONTRIBUTING", *sorted(path.stem for path in DEVELOP.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = DEVELOP / f"{page}.md"
    links = re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert all((path.parent / link).exists() for link in links)
    files = re.findall(r"`(keras_explain/[\w/]+\.\w+|tests/[\w/]+\.py)`", path.read_text())
    missing = [f for f in files if not (DEVELOP.parents[1] / f).exists()]
    assert missing in ([], ["keras_explain/explainers/positive_cam.py"])
