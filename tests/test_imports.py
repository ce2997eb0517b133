"""Imports point one way, and `import keras_explain` alone is cheap."""

import ast
import pathlib
import subprocess
import sys

import pytest

import keras_explain

ROOT = pathlib.Path(keras_explain.__file__).parent
HEAVY = ("keras", "tensorflow", "jax", "torch", "matplotlib", "sklearn", "skimage", "cv2", "scipy",
         "pandas", "PIL")
# Who may import whom of ours. A folder stands for what is in it.
LEAVES = ("images", "superpixels", "tensorboard")
FORBIDDEN = {
    "steps": ("program", "tracing", "explainers"),
    "tracing": ("program", "explainers"),
    "program": ("explainers",),
    "backend": ("program", "explainers", "targets"),
    "targets": ("program", "explainers", "backend"),
    "explainers": ("callbacks", "exporting", "cli", "plots", "lime", "metrics"),
    "incremental": ("explainers", "callbacks", "exporting", "cli"),
}


def modules():
    return sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))


def imported(path):
    """The modules of ours that a file imports, without the package's name."""
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *[f"{node.module}.{a.name}" for a in node.names]]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            continue
        found += [n.removeprefix("keras_explain.") for n in names if n.startswith("keras_explain.")]
    return found


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_one_way(part):
    files = [p for p in modules() if p.parts[0].removesuffix(".py") == part]
    assert files
    for path in files:
        wrong = [m for m in imported(path) if m.split(".")[0] in FORBIDDEN[part]]
        assert not wrong, f"{path} imports {wrong}"


def test_only_three_files_know_of_a_backend():
    """And TensorFlow besides where SavedModels are written and read."""
    for path in modules():
        tree = ast.parse((ROOT / path).read_text())
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import)
                 for a in n.names}
        names |= {n.module.split(".")[0] for n in ast.walk(tree)
                  if isinstance(n, ast.ImportFrom) and n.module and not n.level}
        if path.parts[0] in ("explainers", "incremental", "steps.py", "tracing.py", "program.py",
                             "targets.py"):
            assert not names & {"tensorflow", "jax", "torch"}, path


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=ROOT.parent, check=True).stdout


def test_importing_the_package_imports_nothing_heavy():
    assert run(f"import sys, keras_explain; print([m for m in {HEAVY} if m in sys.modules])"
               ) == "[]\n"


def test_the_guard_above_sees_what_it_guards_against():
    assert run("import sys, keras_explain; keras_explain.images; print('cv2' in sys.modules)"
               ) == "True\n"


def test_every_public_name_can_be_imported():
    for name in keras_explain.__all__:
        assert getattr(keras_explain, name) is not None
