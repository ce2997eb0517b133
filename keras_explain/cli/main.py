"""The `keras-explain` command: exit code 0 fine, 1 some images failed, 2 wrong use."""

import argparse
import inspect
import json
import pathlib
import sys

from keras_explain.explainers import METHODS

PIXELS = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}
EXPLAIN = """Explains pictures with a model file and writes, for each picture and method,
OUT/PICTURE.METHOD.png (the heatmap over what the model saw) and OUT/PICTURE.METHOD.npy (its raw
numbers), and OUT/explanations.json (predictions and file names).

The model must get its numbers as in training: say with --pixels which range it was trained on,
unless it scales by itself.

  keras-explain explain model.keras cat.jpg dog.jpg --pixels 0..1 --labels labels.txt
  keras-explain explain model.keras *.jpg --method grad_cam occlusion --json > answers.json
  keras-explain explain model.keras cat.jpg --method occlusion --set patch_size=32 stride=16
  keras-explain explain efficientnet_lite0 cat.jpg       # a real classifier, from the extra [demo]
"""
EXPORT = """Writes a SavedModel that answers with predictions and heatmaps where keras_explain is
not installed: TensorFlow Serving, Python, any engine that reads SavedModels. Needs
KERAS_BACKEND=tensorflow or jax. DIR/README.md tells how to ask it.

  keras-explain export model.keras served --versioned --labels labels.txt --pixels 0..1
  keras-explain export model.keras served/1 --method grad_cam occlusion
  keras-explain export model.keras model.onnx --format onnx --method cam
"""


def main(arguments=None):
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="keras-explain", description="What did the model see to make that decision?",
        epilog="Start with `keras-explain demo`. Each command has its own --help with examples.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_explain(commands)
    _add_export(commands)
    _add_compare(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        print(f"keras-explain: {error}", file=sys.stderr)
        return 2


def _add_demo(commands):
    demo = commands.add_parser(
        "demo",
        help="explain a photograph, watch a training, ask a served model",
        description="Shows the library on embedded data in about two minutes: explains a cat"
        " photograph, trains a digit classifier with explanations in TensorBoard, exports an"
        " explained SavedModel and asks it from a fresh process.",
    )
    demo.add_argument("--out", default="explain_demo",
                      help="folder to write (default: %(default)s)")
    demo.set_defaults(run=_demo)


def _add_explain(commands):
    explain = _add_command(commands, "explain", "explain pictures with a model file", EXPLAIN)
    explain.add_argument("images", nargs="+", metavar="IMAGE", help="picture files")
    explain.add_argument("--out", default="explained", help="folder (default: %(default)s)")
    explain.add_argument("--target", type=int, metavar="CLASS",
                         help="the class to explain (default: each picture's top class)")
    explain.add_argument("--top", type=int, default=3, help="predictions to tell (default: 3)")
    explain.set_defaults(run=_explain)


def _add_export(commands):
    export = _add_command(commands, "export", "write a model that explains itself when served",
                          EXPORT)
    export.add_argument("path", metavar="DIR", help="folder (or file, see --format) to write")
    export.add_argument("--format", default="saved_model",
                        choices=("saved_model", "onnx", "litert", "openvino"))
    export.add_argument("--versioned", action="store_true", help="write DIR/1, or the next number")
    export.add_argument("--overwrite", action="store_true", help="replace what is there")
    export.set_defaults(run=_export)


def _add_compare(commands):
    compare = commands.add_parser(
        "compare", help="compare methods by metrics on your own pictures",
        description="Measures methods on the same pictures, beside maps that know nothing, and"
        " writes OUT/comparison.md and two figures.",
    )
    compare.add_argument("model", metavar="MODEL", help="a .keras file, or efficientnet_lite0")
    compare.add_argument("data", metavar="DATA", help="a folder of pictures, or a .npy file")
    compare.add_argument("--out", default="comparison", help="folder (default: %(default)s)")
    compare.add_argument("--methods", help="names, separated by commas (default: a class"
                         " activation map as for `explain`, saliency, occlusion)")
    compare.add_argument("--metrics", default="deletion,insertion",
                         help="names, separated by commas (default: %(default)s)")
    compare.add_argument("--max-images", type=int, default=16, help="(default: %(default)s)")
    compare.add_argument("--pixels", choices=PIXELS, default="0..255", dest="scale",
                         help="the range the model was trained on (default: %(default)s)")
    compare.set_defaults(run=_compare)


def _add_command(commands, name, summary, text):
    command = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("model", metavar="MODEL", help="a .keras file, or efficientnet_lite0")
    command.add_argument("--method", nargs="+", choices=METHODS, metavar="METHOD",
                         help=f"one or more of: {', '.join(METHODS)} (default: grad_cam, or"
                         " hires_cam where the model does not average its last feature map)")
    command.add_argument("--layer", help="the layer that CAM methods read, as backbone/conv5")
    command.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE", dest="settings",
                         help="further options of the methods, as patch_size=32; see their docs")
    command.add_argument("--labels", type=pathlib.Path, metavar="FILE",
                         help="the classes' names, one per line")
    command.add_argument("--pixels", choices=PIXELS, default="0..255",
                         help="the range the model was trained on (default: %(default)s)")
    command.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"),
                         help="of the pictures, for models that take any")
    command.add_argument("--crop", action="store_true",
                         help="take the central part of a picture instead of stretching it")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    return command


def _compare(options):
    from keras_explain.cli import compare as _compare_files

    return _compare_files.run(options.model, options.data, options.out, options.methods,
                              options.metrics, options.max_images, options.scale)


def _demo(options):
    from keras_explain.demo import run as _demo

    return _demo.run(options.out)


def _explain(options):
    model, labels = _load(options)
    methods = _methods(options, model, target=options.target)
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    found, names = [], set()
    for i, path in enumerate(options.images, start=1):
        try:
            stem = _unused(pathlib.Path(path).stem, names)
            row = _explained_picture(options, model, methods, labels, path, out / stem)
        except (OSError, ValueError) as error:
            row = {"image": path, "error": str(error)}
        found.append(row)
        _tell(f"[{i}/{len(options.images)}] {_line(row)}")
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (out / "explanations.json").write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    failed = sum("error" in row for row in found)
    _tell(f"{len(found) - failed} explained, {failed} failed: {out / 'explanations.json'}")
    return 1 if failed else 0


def _explained_picture(options, model, methods, labels, path, stem):
    import numpy as np

    from keras_explain import images

    pixels = _picture(options, model, path)
    scale, shift = PIXELS[options.pixels]
    given = (pixels * scale + shift)[None]
    row = {"image": path, "maps": {}}
    for name, explained in methods.items():
        answer = explained.predict(given, verbose=0)
        heatmap = np.asarray(answer["heatmap"])[0]
        picture = images.overlay(pixels.astype("uint8"), heatmap,
                                 signed=explained.explainer.signed)
        files = {"overlay": f"{stem}.{name}.png", "heatmap": f"{stem}.{name}.npy"}
        pathlib.Path(files["overlay"]).write_bytes(images.encode_png(picture))
        np.save(files["heatmap"], heatmap)
        row["maps"][name] = files
        scores = np.asarray(answer["predictions"])[0] if not isinstance(
            answer["predictions"], (dict, list)) else np.zeros(0)
    row["predictions"] = _top(scores, labels, options.top)
    return row


def _top(scores, labels, count):
    if scores.ndim != 1:
        return []
    order = scores.argsort()[::-1][:count]
    return [{"class": int(i), "label": labels[i] if labels else str(i), "score": float(scores[i])}
            for i in order]


def _export(options):
    import keras

    import keras_explain as kx

    model, labels = _load(options)
    first, *others = _methods(options, model).items()
    scale, shift = PIXELS[options.pixels]
    wanted = {}
    if options.format == "saved_model":
        image = {"fit": "crop"} if options.crop else {}
        image |= {"size": tuple(options.size)} if options.size else {}
        rescale = None if options.pixels == "0..255" else keras.layers.Rescaling(scale, shift)
        wanted = {"methods": dict(others), "class_names": labels, "image_options": image,
                  "preprocess": rescale}
    elif others:
        raise ValueError(f"Expected one --method for --format {options.format}, received"
                         f" {options.method}. Write a file for each.")
    path = kx.export(first[1], options.path, format=options.format, versioned=options.versioned,
                     overwrite=options.overwrite, **wanted)
    about = {"path": str(path), "method": options.method}
    if options.format == "saved_model":
        about["signatures"] = json.loads((path / "explanation.json").read_text())["signatures"]
    print(json.dumps(about, indent=1) if options.json else f"Written: {path}")
    return 0


def _load(options):
    import keras

    labels = None
    if options.labels:
        labels = options.labels.read_text(encoding="utf-8").splitlines()
    if options.model == "efficientnet_lite0":
        from keras_explain.demo import imagenet as _imagenet

        return _imagenet.efficientnet_lite0(), labels or _imagenet.class_names()
    if not pathlib.Path(options.model).exists():
        raise FileNotFoundError(
            f"Expected a .keras file or efficientnet_lite0, received {options.model}, which does"
            " not exist."
        )
    return keras.saving.load_model(options.model, compile=False), labels


def _methods(options, model, target=None):
    """The explained models by name. Each method gets those of the --set options that it takes."""
    import keras_explain as kx
    from keras_explain.explainers._choice import choose_cam, name_of

    settings = dict(_setting(text) for text in options.settings)
    methods, used = {}, set()
    for name in dict.fromkeys(options.method or [None]):
        build = getattr(kx, name) if name else choose_cam
        known = inspect.signature(build if name else kx.grad_cam).parameters
        given = {k: v for k, v in settings.items() if k in known}
        used.update(given)
        if options.layer and "layer" in known:
            given["layer"] = options.layer
        explained = build(model, target=target, **given)
        methods[name or name_of(explained)] = explained
    unknown = set(settings) - used
    if unknown:
        raise ValueError(f"Expected --set options that {list(methods)} take, received"
                         f" {sorted(unknown)}. See `help(keras_explain.{next(iter(methods))})`.")
    return methods


def _setting(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"Expected --set OPTION=VALUE, received {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _picture(options, model, path):
    """What the model sees: float32 (H, W, channels), 0 to 255."""
    import keras

    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3):
        raise TypeError(f"Expected a model of one image (N, H, W, 1 or 3), received inputs {shape}."
                        " Use the Python functions.")
    size = tuple(options.size or shape[1:3])
    if None in size:
        raise TypeError("Expected --size HEIGHT WIDTH, because the model takes images of any size.")
    image = keras.utils.load_img(path, color_mode="rgb" if shape[-1] == 3 else "grayscale",
                                 target_size=size, interpolation="bilinear",
                                 keep_aspect_ratio=options.crop)
    return keras.utils.img_to_array(image, data_format="channels_last", dtype="float32")


def _unused(stem, names):
    unused, number = stem, 1
    while unused in names:
        number += 1
        unused = f"{stem}-{number}"
    names.add(unused)
    return unused


def _line(row):
    if "error" in row:
        return f"{row['image']}: FAILED: {row['error']}"
    best = ", ".join(f"{p['label']} {p['score']:.3g}" for p in row["predictions"])
    return f"{row['image']}: {best}"


def _tell(text):
    print(text, file=sys.stderr, flush=True)
