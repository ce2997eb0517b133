"""`keras-explain compare`: a saved model and a folder of pictures, compared."""

import pathlib
import sys

import numpy as np

from keras_explain.checks import check_choice
from keras_explain.cli.inputs import PIXELS, check_pixels, load_model
from keras_explain.cli.methods import find_methods
from keras_explain.demo.pictures import load_image
from keras_explain.metrics.comparison import METRICS, compare
from keras_explain.terminal import escape_controls

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def run(model, data, out="comparison", methods=None, metrics=METRICS, max_images=16,
        scale="0..255", batch_size=64, seed=0):
    """Compare, print the table, write the report; returns the exit code.

    Args:
        model: path of a `.keras` file, or "efficientnet_lite0" for the demo's ImageNet model.
        data: a folder of pictures, one picture, or a `.npy` file of inputs (N, ...).
        out: folder for comparison.md, scores.png and maps.png.
        methods: names, or FILE.py:NAME, as a list or separated by commas; None takes those of
            `keras_explain.compare`.
        metrics: names, likewise.
        max_images: how many examples, the first by name.
        scale: range that the model expects of pictures: "0..255", "0..1" or "-1..1".
        batch_size, seed: see `keras_explain.compare`.
    """
    methods = find_methods(_split_names(methods)) if methods else None
    model = load_model(model)
    examples, unread = load_examples(data, model, max_images, scale)
    for path, error in unread:
        print(escape_controls(f"{path}: left out: {error}"), file=sys.stderr, flush=True)
    print(f"Comparing on {len(examples)} examples ...", flush=True)
    table = compare(model, examples, methods, _split_names(metrics), batch_size=batch_size,
                    seed=seed)
    print(table.to_markdown())
    print(f"\nWritten: {table.report(out)}")
    return 1 if unread else 0


def load_examples(data, model, max_images=16, scale="0..255"):
    """Inputs of a model from a folder of pictures, a picture or an array file.

    Returns:
        The inputs, and a list of (path, error) of pictures that could not be read.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: an unknown scale, a model that takes no color pictures, no picture that can
            be read.
    """
    check_choice("scale", scale, PIXELS)
    path = pathlib.Path(data)
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)[:max_images], []
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURES)[:max_images]
    if not files or not files[0].exists():
        raise FileNotFoundError(
            f"Expected a folder of pictures ({', '.join(PICTURES)}), a picture or a .npy file,"
            f" received {str(data)!r}, where none is. Check the path."
        )
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"Expected a model of one input of color pictures (N, H, W, 3), received {shape}."
            " Give its inputs as a .npy file."
        )
    height, width = shape[1] or 224, shape[2] or 224
    read, unread = [], []
    for file in files:
        try:
            check_pixels(file)
            read.append(load_image(file, max(height, width)))
        except Exception as error:  # decoders have errors of their own
            unread.append((file, error))
    if not read:
        raise ValueError(
            f"Expected pictures that can be read, received none in {str(data)!r}."
            f" The first: {unread[0][1]}"
        )
    pictures = np.stack(read)
    top, left = (pictures.shape[1] - height) // 2, (pictures.shape[2] - width) // 2
    factor, shift = PIXELS[scale]
    return pictures[:, top : top + height, left : left + width] * factor + shift, unread


def _split_names(names):
    if isinstance(names, str):
        return [n.strip() for n in names.split(",") if n.strip()]
    return list(names)
