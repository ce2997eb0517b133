"""What is inside an export, for people (README.md) and programs (explanation.json)."""

import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_explain

FILE = "explanation.json"
PURPOSE = {
    "serving_default": "the model alone, as it was trained",
    "explain": "predictions and heatmap",
    "explain_class": "the same for a class that the request chooses (-1: the top class)",
    "explain_image": "encoded images in; predictions, heatmap and PNG overlays out",
    "explain_image_class": "the same for a class that the request chooses (-1: the top class)",
}
README = """# {model}, explained

A TensorFlow SavedModel that answers with predictions and with the reason for them. It loads with
TensorFlow alone (Python, TensorFlow Serving, any engine that reads SavedModels):

```python
import tensorflow as tf
explain = tf.saved_model.load("THIS FOLDER").signatures["explain"]
answer = explain({arguments})   # "predictions", "heatmap"
```

## Methods

{methods}

## Signatures

{signatures}

## Made with

{versions}

`{file}` says the same to programs. Heatmaps are raw numbers; scale them to draw them.
"""


def write(path, methods, labels, preprocess):
    """Add both files to a SavedModel; its loaders ignore them."""
    path = pathlib.Path(path)
    about = description(path, methods, labels, preprocess)
    (path / FILE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (path / "README.md").write_text(readme(about), encoding="utf-8")


def description(path, methods, labels, preprocess):
    """Everything that a program needs to know, as plain JSON values."""
    model = methods[""].explainer.model
    return {
        "format": "keras_explain/1",
        "model": {"name": model.name, "parameters": int(model.count_params())},
        "methods": {name or "default": _method(m.explainer) for name, m in methods.items()},
        "classes": methods[""].explainer.question.classes,
        "labels": labels,
        "preprocess": preprocess and getattr(preprocess, "name", None) or (
            getattr(preprocess, "__qualname__", None)),
        "signatures": _signatures(path),
        "versions": {"keras_explain": keras_explain.__version__, "keras": keras.__version__,
                     "tensorflow": tf.__version__, "backend": keras.backend.backend()},
    }


def readme(about):
    """The same for people, as Markdown."""
    explain = about["signatures"].get("explain", {"inputs": {}})
    return README.format(
        model=about["model"]["name"], file=FILE,
        arguments=", ".join(f"{name}=..." for name in explain["inputs"]),
        methods="\n".join(f"- {name}: " + _sentence(m) for name, m in about["methods"].items()),
        signatures="\n".join(_paragraph(*item) for item in about["signatures"].items()),
        versions=", ".join(f"{name} {v}" for name, v in about["versions"].items()),
    )


def _method(explainer):
    kept = {"model", "name", "trainable", "dtype", "layer"}
    options = {k: v for k, v in explainer.get_config().items() if k not in kept}
    return {
        "method": type(explainer).__name__,
        "layer": getattr(explainer, "layer_path", None),
        "signed": bool(explainer.signed),
        "options": json.loads(json.dumps(options, default=_to_plain)),
    }


def _to_plain(value):
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _signatures(path):
    """As a server sees them: read from the written file."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    found = saved.meta_graphs[0].signature_def
    return {
        name: {"inputs": _tensors(found[name].inputs), "outputs": _tensors(found[name].outputs)}
        for name in sorted(found) if not name.startswith("__")
    }


def _tensors(tensors):
    return {
        name: {"dtype": tf.dtypes.as_dtype(t.dtype).name,
               "shape": None if t.tensor_shape.unknown_rank
               else [None if d.size < 0 else d.size for d in t.tensor_shape.dim]}
        for name, t in sorted(tensors.items())
    }


def _sentence(method):
    place = f" at layer `{method['layer']}`" if method["layer"] else ""
    sign = "signed" if method["signed"] else "not negative"
    return f"{method['method']}{place}, {sign}."


def _paragraph(name, signature):
    best = max((p for p in PURPOSE if name == p or name.startswith(f"{p}_")), key=len, default="")
    of = f" by `{name[len(best) + 1:]}`" if name != best and best else ""
    lines = [f"- `{name}`: {PURPOSE.get(best, '')}{of}"]
    for side in ("inputs", "outputs"):
        texts = [f"`{k}` {t['dtype']} {_shape(t['shape'])}" for k, t in signature[side].items()]
        lines.append(f"  - {side}: {', '.join(texts)}")
    return "\n".join(lines)


def _shape(shape):
    if shape is None:
        return ""
    return "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"
