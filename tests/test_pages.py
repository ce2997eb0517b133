"""Every block of Python in the documentation runs as it stands, one page in one namespace."""

import os
import pathlib
import re
import textwrap

import pytest

DOCS = pathlib.Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^( *)```python( notest)?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
# What asks a server, a cluster or a download of weights: how many blocks of a page.
ELSEWHERE = {"models.md": 2, "serving.md": 1}
HEAVY = {"comparison.md", "methods/rise.md"}
WRITTEN = {"input_gradients.md": {"words.png", "agreement.png"},
           "linear_models.md": {"coefficients.png"},
           "error_analysis.md": {"confusion.png", "mistakes.png"}}
PAGES = {str(p.relative_to(DOCS)): BLOCK.findall(p.read_text(encoding="utf-8"))
         for p in sorted(DOCS.rglob("*.md")) if p.parent.name != "develop"}


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
                    reason="pages export and read strings, as TensorFlow does")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [
    pytest.param(page, marks=pytest.mark.slow if page in HEAVY else [])
    for page, blocks in PAGES.items() if any(not b[1] for b in blocks)])
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "page"}
    for _, elsewhere, code in PAGES[page]:
        if not elsewhere:
            exec(compile(textwrap.dedent(code), page, "exec"), space)
    assert {path.name for path in tmp_path.glob("*.png")} >= WRITTEN.get(page, set())


def test_what_does_not_run_is_counted():
    found = {page: sum(bool(b[1]) for b in blocks) for page, blocks in PAGES.items()}
    assert {page: n for page, n in found.items() if n} == ELSEWHERE


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#\s]+)(?:#[^)]*)?\)", text)
    assert all((DOCS / page).parent.joinpath(link).exists() for link in links), links
