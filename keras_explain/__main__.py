"""`python -m keras_explain` is the `keras-explain` command."""

import sys

from keras_explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
