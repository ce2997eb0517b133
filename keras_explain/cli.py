"""The `keras-explain` command."""

import argparse


def main(arguments=None):
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="keras-explain", description="What did the model see to make that decision?"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="explain a photograph, watch a training, ask a served model",
        description="Shows the library on embedded data in about two minutes: explains a cat"
        " photograph, trains a digit classifier with explanations in TensorBoard, exports an"
        " explained SavedModel and asks it from a fresh process.",
    )
    demo.add_argument("--out", default="explain_demo", help="folder to write (default: %(default)s)")
    demo.set_defaults(run=_demo)
    options = parser.parse_args(arguments)
    return options.run(options)


def _demo(options):
    from keras_explain import _demo

    return _demo.run(options.out)
