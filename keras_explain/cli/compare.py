"""`keras-explain compare`: a saved model and a folder of pictures, compared."""

import pathlib

import keras
import numpy as np

from keras_explain.demo import imagenet as _imagenet
from keras_explain.metrics.comparison import METRICS, compare

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SCALES = {"0..255": lambda x: x, "0..1": lambda x: x / 255, "-1..1": lambda x: x / 127.5 - 1}
DEMO = "efficientnet_lite0"


def run(model, data, out="comparison", methods=None, metrics=METRICS, max_images=16,
        scale="0..255", batch_size=64, seed=0):
    """Compare, print the table, write the report; returns the exit code.

    Args:
        model: path of a `.keras` file, or "efficientnet_lite0" for the demo's ImageNet model.
        data: a folder of pictures, one picture, or a `.npy` file of inputs (N, ...).
        out: folder for comparison.md, scores.png and maps.png.
        methods, metrics: names, as a list or separated by commas; None for the methods takes
            those of `keras_explain.compare`.
        max_images: how many examples, the first by name.
        scale: range that the model expects of pictures: "0..255", "0..1" or "-1..1".
        batch_size, seed: see `keras_explain.compare`.
    """
    model = _model(model)
    examples = load_examples(data, model, max_images, scale)
    print(f"Comparing on {len(examples)} examples ...", flush=True)
    table = compare(model, examples, methods and _listed(methods), _listed(metrics),
                    batch_size=batch_size, seed=seed)
    print(table.to_markdown())
    print(f"\nWritten: {table.report(out)}")
    return 0


def load_examples(data, model, max_images=16, scale="0..255"):
    """Inputs of a model from a folder of pictures, a picture or an array file.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: an unknown scale, a model that takes no color pictures.
    """
    if scale not in SCALES:
        raise ValueError(f"Expected `scale` to be one of {list(SCALES)}, received {scale!r}.")
    path = pathlib.Path(data)
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)[:max_images]
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURES)[:max_images]
    if not files or not files[0].exists():
        raise FileNotFoundError(
            f"Expected a folder of pictures ({', '.join(PICTURES)}), a picture or a .npy file,"
            f" received {str(data)!r}, where none is."
        )
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"Expected a model of one input of color pictures (N, H, W, 3), received {shape}."
            " Give its inputs as a .npy file."
        )
    height, width = shape[1] or 224, shape[2] or 224
    pictures = np.stack([_imagenet.load_image(f, max(height, width)) for f in files])
    top, left = (pictures.shape[1] - height) // 2, (pictures.shape[2] - width) // 2
    return SCALES[scale](pictures[:, top : top + height, left : left + width])


def _model(path):
    if path == DEMO:
        return _imagenet.efficientnet_lite0()
    return keras.saving.load_model(path, compile=False)


def _listed(names):
    if isinstance(names, str):
        return [n.strip() for n in names.split(",") if n.strip()]
    return list(names)
