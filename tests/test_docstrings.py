"""The examples of all docstrings run, and the papers that they name have one form."""

import ast
import doctest
import importlib
import pathlib
import re

import numpy as np
import pytest

import keras_explain as kx

ROOT = pathlib.Path(kx.__file__).parent
FILES = sorted(p for p in ROOT.rglob("*.py") if ">>> " in p.read_text(encoding="utf-8"))
# What an example may use without saying where it is from.
SPACE = {"np": np}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def module_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return importlib.import_module(".".join(parts).removesuffix(".__init__"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
@pytest.mark.filterwarnings("ignore")
def test_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    for example in doctest.DocTestFinder().find(module_of(path), extraglobs=SPACE):
        doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=said.append)
    assert not said, "".join(said)


def docstrings():
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node)
                if text:
                    yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', '')}", text


# A paper is named by its authors, its year and its title, in a paragraph of its own:
#     Reference: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations ...", https://...
NAMES_PAPER = re.compile(r'arxiv\.org|doi\.org|Paper:|Reference:|\b(18|19|20)\d\d, "')
REFERENCE = re.compile(r'Reference: [A-Z][^"\d]+ (18|19|20)\d\d, "[^"]+"')


def test_papers_are_named_in_one_form():
    for where, text in docstrings():
        for paragraph in re.split(r"\n\s*\n", text):
            paragraph = " ".join(paragraph.split())
            if NAMES_PAPER.search(paragraph):
                assert REFERENCE.match(paragraph), f"{where}: {paragraph}"


LETTERS = set("NHWDhwdCTFSKM")  # docs/develop/contracts.md


def unknown_letters(text):
    """Letters of shapes, such as (N, H, W), that are not defined."""
    shapes = re.findall(r"\(([A-Za-z]\w*(?:, \w[\w. |+]*)*,?)\)", text)
    split = [[part.strip() for part in shape.split(",")] for shape in shapes]
    shapes = [s for s in split if len(s) > 1 and any(p in ("N", "H", "T", "S", "K") for p in s)]
    return {p for shape in shapes for p in shape if re.fullmatch("[A-Za-z]", p)} - LETTERS


def test_letters_of_shapes_are_the_defined_ones():
    page = (ROOT.parent / "docs" / "develop" / "contracts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Za-z](?:, [A-Za-z])*) \|", page, re.M)
    assert {letter for row in rows for letter in row.split(", ")} == LETTERS
    assert unknown_letters("of shape (N, Q, W)") == {"Q"}
    wrong = {where: unknown_letters(text) for where, text in docstrings()}
    assert not {where: letters for where, letters in wrong.items() if letters}
