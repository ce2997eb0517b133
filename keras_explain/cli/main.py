"""The `keras-explain` command: exit code 0 fine, 1 some images failed, 2 wrong use."""

import argparse
import pathlib
import sys

from keras_explain.cli.inputs import PIXELS
from keras_explain.explainers import METHODS
from keras_explain.terminal import escape_controls

EXPLAIN = """Explains pictures with a model file and writes, for each picture and method,
OUT/PICTURE.METHOD.png (the heatmap over what the model saw) and OUT/PICTURE.METHOD.npy (its raw
numbers), and OUT/explanations.json (predictions and file names). Without --method it takes one that
suits the model and a second that works differently, and says whether they agree and beat chance.

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
    parser.add_argument("--version", action="version", version=_name_versions())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_explain(commands)
    _add_export(commands)
    _add_compare(commands)
    _add_audit(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        print(f"keras-explain: {escape_controls(error)}", file=sys.stderr)
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
    demo.set_defaults(run=_run_demo)


def _add_explain(commands):
    explain = _add_command(commands, "explain", "explain pictures with a model file", EXPLAIN,
                           "two that suit the model and work differently; with --layer or --set"
                           " grad_cam, or hires_cam where the model does not average its map")
    explain.add_argument("images", nargs="+", metavar="IMAGE", help="picture files")
    explain.add_argument("--out", default="explained", help="folder (default: %(default)s)")
    explain.add_argument("--target", type=int, metavar="CLASS",
                         help="the class to explain (default: each picture's top class)")
    explain.add_argument("--top", type=int, default=3, help="predictions to tell (default: 3)")
    explain.set_defaults(run=_run_explain)


def _add_export(commands):
    export = _add_command(commands, "export", "write a model that explains itself when served",
                          EXPORT, "grad_cam, or hires_cam where the model does not average its"
                          " last feature map")
    export.add_argument("path", metavar="DIR", help="folder (or file, see --format) to write")
    export.add_argument("--format", default="saved_model",
                        choices=("saved_model", "onnx", "litert", "openvino"))
    export.add_argument("--versioned", action="store_true", help="write DIR/1, or the next number")
    export.add_argument("--overwrite", action="store_true", help="replace what is there")
    export.set_defaults(run=_run_export)


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
    compare.set_defaults(run=_run_compare)


def _add_audit(commands):
    audit = commands.add_parser(
        "audit", help="find out what a model uses on a whole folder of pictures",
        description="Explains all pictures, groups the explanations of each class, measures what"
        " each group looks at, and writes one HTML file. Folders inside DATA that are named after"
        " --labels give the true classes.",
    )
    audit.add_argument("model", metavar="MODEL", help="a .keras file, or efficientnet_lite0")
    audit.add_argument("data", metavar="DATA", help="a folder of pictures")
    audit.add_argument("--out", default="report.html", help="file (default: %(default)s)")
    audit.add_argument("--method", help="a method, as for `explain` (default:"
                       " integrated_gradients)")
    _add_reading(audit)
    audit.add_argument("--batch-size", type=int, default=32, help="(default: %(default)s)")
    audit.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    audit.set_defaults(run=_run_audit)


def _name_versions():
    from importlib.metadata import version

    import keras_explain

    return f"keras_explain {keras_explain.__version__}, Keras {version('keras')}"


def _add_command(commands, name, summary, text, default):
    command = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("model", metavar="MODEL", help="a .keras file, or efficientnet_lite0")
    command.add_argument("--method", nargs="+", metavar="METHOD",
                         help=f"one or more of: {', '.join(METHODS)}; or a method of your own:"
                         f" FILE.py:NAME or MODULE:NAME (default: {default})")
    command.add_argument("--layer", help="the layer that CAM methods read, as backbone/conv5")
    command.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE", dest="settings",
                         help="further options of the methods, as patch_size=32; see their docs")
    _add_reading(command)
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    return command


def _add_reading(command):
    """How pictures are read, and what their classes are called."""
    command.add_argument("--labels", type=pathlib.Path, metavar="FILE",
                         help="the classes' names, one per line")
    command.add_argument("--pixels", choices=PIXELS, default="0..255",
                         help="the range the model was trained on (default: %(default)s)")
    command.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"),
                         help="of the pictures, for models that take any")
    command.add_argument("--crop", action="store_true",
                         help="take the central part of a picture instead of stretching it")


def _run_demo(options):
    from keras_explain.demo import run

    return run.run(options.out)


def _run_explain(options):
    from keras_explain.cli import explain

    return explain.run(options)


def _run_export(options):
    from keras_explain.cli import export

    return export.run(options)


def _run_compare(options):
    from keras_explain.cli import compare

    return compare.run(options.model, options.data, options.out, options.methods,
                       options.metrics, options.max_images, options.scale)


def _run_audit(options):
    from keras_explain.cli import audit

    return audit.run(options)
