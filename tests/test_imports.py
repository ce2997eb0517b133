"""Imports point one way, backends stay in their places, `import keras_explain` alone is cheap."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import keras_explain
from keras_explain.explainers import METHODS

ROOT = pathlib.Path(keras_explain.__file__).parent
HEAVY = ("keras", "tensorflow", "jax", "torch", "matplotlib", "sklearn", "skimage", "cv2", "scipy",
         "pandas", "PIL")
# The layers of docs/develop/architecture.md, from the ground up. A part may import those of its
# own layer and of the layers below.
LAYERS = (
    ("checks", "markup", "progress", "signatures", "terminal", "waveforms"),
    ("backend", "data", "images", "plots", "superpixels", "tensorboard", "serving", "targets"),
    ("graph",),
    ("engine",),
    ("explainers", "lime"),
    ("audio", "metrics", "text", "linear", "tables", "error_analysis", "serialization"),
    ("auditing", "reasons", "callbacks", "concepts", "exporting", "demo", "training_examples"),
    ("cli",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
# Who imports TensorFlow: the backend, and what writes and reads SavedModels.
TENSORFLOW = {"backend", "exporting", "serving"}
# Who may use what Keras keeps to itself.
PRIVATE_KERAS = {f"graph/{name}.py" for name in ("tracing", "models", "inside", "masks", "live")}
PRIVATE_NAMES = ("_keras_history", "_inbound_nodes", "_outbound_nodes", "_inputs_struct",
                 "_outputs_struct", "_flatten_layers", "_build_shapes_dict", "_convert_input_args",
                 "get_keras_mask", "set_keras_mask", "_functional", "_run_through_graph",
                 "_dtype_policy")


def modules():
    return sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py"))


def imported(path):
    """The modules that a file imports, whole names."""
    found = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *[f"{node.module}.{a.name}" for a in node.names]]
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names]
    return found


def part_of(path):
    return path.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_point_one_way(path):
    if part_of(path) in ("__init__", "__main__"):
        return
    mine = LEVEL[part_of(path)]
    for name in imported(path):
        part = name.removeprefix("keras_explain.").split(".")[0]
        if name.startswith("keras_explain.") and part in LEVEL:
            assert LEVEL[part] <= mine, f"{path} imports {name}, which stands above it"


def test_every_module_has_its_layer():
    """A new folder or file at the top says where it stands."""
    assert {part_of(p) for p in modules()} - {"__init__", "__main__"} == set(LEVEL)


def test_backends_are_imported_in_their_places_only():
    roots = {path: {name.split(".")[0] for name in imported(path)} for path in modules()}
    assert {part_of(p) for p, names in roots.items() if "tensorflow" in names} == TENSORFLOW
    assert {p.as_posix() for p, names in roots.items() if {"jax", "torch"} & names
            } == {"backend/jax.py", "backend/torch.py"}


def named(node):
    """The name that a node of the syntax tree reads from an object, also by `getattr`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    by_text = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr")
    texts = [a for a in node.args[1:2] if isinstance(a, ast.Constant)] if by_text else []
    return str(texts[0].value) if texts else ""


def private_names(tree, ours):
    """Names with an underscore of objects that are not ours, and whatever is in `keras.src`."""
    found = {named(node) for node in ast.walk(tree)}
    found = {n for n in found if n in PRIVATE_NAMES or re.match("_[a-z]", n) and n not in ours}
    texts = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, (ast.Attribute, ast.alias))}
    texts |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    texts |= {n.value for n in ast.walk(tree)
              if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found | {t for t in texts if re.match(r"keras\.src\b", t)}


def our_names():
    """What the package defines: functions, classes, attributes that it sets."""
    ours = {"_asdict", "_replace", "_fields"}  # of named tuples
    for path in modules():
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                ours.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                ours.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                ours.add(node.id)
    return ours


def test_private_keras_api_is_used_in_its_place_only():
    ours = our_names()
    trees = {p.as_posix(): ast.parse((ROOT / p).read_text()) for p in modules()}
    used = {path: private_names(tree, ours) for path, tree in trees.items()}
    assert {path for path, names in used.items() if names} == PRIVATE_KERAS, used


@pytest.mark.parametrize("code", [
    "layer._hidden_thing", "getattr(layer, '_hidden_thing')", "hasattr(layer, '_dtype_policy')",
    "from keras.src import ops", "type(fn).__module__.startswith('keras.src.ops')",
])
def test_the_guard_of_private_names_sees_them(code):
    assert private_names(ast.parse(code), our_names())


def test_a_method_is_a_file():
    """`ls explainers` shows the methods, and each is in the one list and has its page."""
    files = {p.stem for p in (ROOT / "explainers").glob("[!_]*.py")} - {"finite_differences"}
    assert files == set(METHODS)
    pages = ROOT.parent / "docs" / "methods"
    assert all((pages / f"{name}.md").exists() for name in METHODS)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=ROOT.parent, check=True).stdout


def test_importing_the_package_imports_nothing_heavy():
    assert run(f"import sys, keras_explain; print([m for m in {HEAVY} if m in sys.modules])"
               ) == "[]\n"


def test_the_guard_above_sees_what_it_guards_against():
    code = "import sys, keras_explain; keras_explain.images.overlay; print('cv2' in sys.modules)"
    assert run(code) == "True\n"


def test_every_public_name_can_be_imported():
    for name in keras_explain.__all__:
        assert getattr(keras_explain, name) is not None


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(AttributeError, match="received 'gradcam'.*`grad_cam`"):
        keras_explain.gradcam  # noqa: B018
