"""The examples of all docstrings run, and the papers that they name have one form."""

import doctest
import importlib
import pathlib

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
