"""The README's code runs, top to bottom, as a newcomer would paste it."""

import os
import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") == "torch", reason="PyTorch cannot export a SavedModel"
)
def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 4
    exec(compile("\n".join(blocks), str(README), "exec"), {})
    for written in ("why.png", "explained.keras", "logs/explanations", "served/1/saved_model.pb"):
        assert (tmp_path / written).exists()


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text())
    assert links and all((README.parent / link).exists() for link in links)
