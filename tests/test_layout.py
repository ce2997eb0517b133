"""Where things are: no file of two rooms, no hidden public file, no method that is half added."""

import ast
import importlib
import pathlib
import re

import pytest
import test_contract

import keras_explain as kx
from keras_explain.explainers import METHODS

ROOT = pathlib.Path(kx.__file__).parent
DOCS = ROOT.parent / "docs"
MOST_LINES = 300
# Internal as a whole; in the other packages a file without an underscore is public.
INTERNAL = {"graph", "engine", "backend", "data", "cli", "demo", "exporting", "tensorboard"}
PUBLIC = [p for p in sorted(ROOT.rglob("*.py"))
          if len(p.relative_to(ROOT).parts) > 1 and p.relative_to(ROOT).parts[0] not in INTERNAL
          and not p.stem.startswith("_")]


def test_no_file_is_two_rooms():
    long = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py")
            if len(p.read_text(encoding="utf-8").splitlines()) > MOST_LINES}
    assert not long, "a file over 300 lines is two concepts: split it"


# What looks like a participle and is the name of a thing or of a method.
NOUNS = {"accumulated_effects", "explained_model", "guided_backprop", "guided_grad_cam",
         "integrated_gradients",
         "labeled_batches", "logged", "masked_checksum", "signed", "held_out_fidelity"}
IRREGULAR = {"begun", "chosen", "drawn", "found", "given", "heard", "held", "hidden", "kept",
             "known", "laid", "seen", "shown", "shrunk", "taken", "written"}


def test_functions_are_verbs():
    """At least none is a participle, which is how results are called: `fold`, not `folded`."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for owner in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
            for node in owner.body:
                if (not isinstance(node, ast.FunctionDef)
                        or any("property" in ast.unparse(d) for d in node.decorator_list)):
                    continue
                name = node.name.strip("_")
                first = name.split("_")[0]
                if name not in NOUNS and (first in IRREGULAR or re.search("[^e]ed$", first)):
                    wrong.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not wrong, "a function is named by what it does"


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_without_an_underscore_has_a_public_name(path):
    package = ".".join(path.parent.relative_to(ROOT.parent).parts)
    module = f"{package}.{path.stem}"
    owners = [kx, importlib.import_module(package)]
    public = [getattr(owner, name) for owner in owners for name in owner.__all__]
    importlib.import_module(module)
    assert any(getattr(thing, "__module__", None) == module for thing in public)


@pytest.mark.parametrize("package", ["explainers", "lime", "metrics"])
def test_the_page_of_the_architecture_names_what_is_shared(package):
    page = (DOCS / "develop" / "architecture.md").read_text(encoding="utf-8")
    files = {p.stem for p in (ROOT / package).glob("_*.py")} - {"__init__"}
    start = page.index(f"| `{package}/` | `_")
    rows = page[start : page.index("\n\n", start)].split("\n| `")[0]
    assert files == set(re.findall("`(_[a-z_]+)`", rows)), "docs/develop/architecture.md lists it"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_complete(method):
    """What `test_imports` (its file) and `test_typing` (its stub) do not see."""
    assert method in {builder.name for builder in test_contract.BUILDERS}
    page = (DOCS / "methods" / f"{method}.md").read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.+?)\)", page):
        assert (DOCS / "methods" / picture).exists()
    table = (DOCS / "methods" / "README.md").read_text(encoding="utf-8")
    assert f"| [{method}]({method}.md) |" in table
    assert "Example:" in getattr(kx, method).__doc__
