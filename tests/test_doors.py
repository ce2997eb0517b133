"""The pages for contributors: what they tell to do works, done from outside of the package."""

import pathlib
import re

import keras
import numpy as np
import pytest

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


@pytest.mark.parametrize("page", ["../../CONTRIBUTING", "architecture", "contracts", "own_cam"])
def test_links_lead_somewhere(page):
    path = DEVELOP / f"{page}.md"
    links = re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert all((path.parent / link).exists() for link in links)
    files = re.findall(r"`(keras_explain/[\w/]+\.\w+|tests/[\w/]+\.py)`", path.read_text())
    missing = [f for f in files if not (DEVELOP.parents[1] / f).exists()]
    assert missing in ([], ["keras_explain/explainers/positive_cam.py"])
