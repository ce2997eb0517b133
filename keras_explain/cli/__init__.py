"""The `keras-explain` command."""

from keras_explain.cli.main import main

__all__ = ["main"]
