"""The code of three pages of the documentation runs, top to bottom."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
WRITTEN = {"input_gradients": {"words.png", "agreement.png"},
           "linear_models": {"coefficients.png"},
           "error_analysis": {"confusion.png", "mistakes.png"}}


@pytest.mark.parametrize("page", WRITTEN)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    if not DOCS.exists():
        pytest.skip("no documentation beside the tests")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile("\n".join(blocks), page, "exec"), {})
    assert {path.name for path in tmp_path.glob("*.png")} == WRITTEN[page]
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert all((DOCS / link).exists() for link in links), links
