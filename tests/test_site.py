"""The site has every page of the documentation, and tutorials are kept without their outputs."""

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))


def test_every_page_can_be_reached():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"([\w/]+\.(?:md|ipynb))$", nav, re.M))
    pages = {p.relative_to(DOCS).as_posix() for ending in ("*.md", "*.ipynb")
             for p in DOCS.rglob(ending)} - {"README.md"}  # on the site it is pages.md
    assert pages <= listed
    made = {"index.md", "pages.md", "changelog.md", "develop/contributing.md",
            "reference/index.md"}
    assert listed - pages == made


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_tutorials_are_kept_without_outputs(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            compile("".join(cell["source"]), notebook.name, "exec")


def test_every_tutorial_is_in_the_list():
    text = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((\w+\.ipynb)\)", text)) == {p.name for p in NOTEBOOKS}
