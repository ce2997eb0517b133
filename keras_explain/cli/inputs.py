"""What a command is given: a model, the names of its classes, pictures."""

import importlib
import importlib.util
import math
import pathlib
import warnings
import zipfile

DEMO = "efficientnet_lite0"
MOST_PIXELS = 2**26  # as exported models accept
# From 0..255 to the range that a model was trained on: a factor and what is added.
PIXELS = {"0..255": (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}


def load_model(text):
    """The model of a .keras or .h5 file, or the demo's.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the folder of a SavedModel, or a file that `tf_keras` wrote.
    """
    if text == DEMO:
        from keras_explain.demo import imagenet

        return imagenet.efficientnet_lite0()
    if not pathlib.Path(text).exists():
        raise FileNotFoundError(
            f"Expected a .keras file or {DEMO}, received {str(text)!r}, which does not exist."
            " Check the path."
        )
    import keras

    if pathlib.Path(text).is_dir():
        raise ValueError(
            f"Expected a .keras or .h5 file, received the folder {str(text)!r}. A SavedModel can be"
            " explained in Python, inside a `keras.layers.TFSMLayer`."
        )
    if _names(text, b"tf_keras.src"):
        raise ValueError(
            f"Expected a .keras file of Keras 3, received {str(text)!r}, which `tf_keras` wrote."
            " Save the model there as .h5, which can be read."
        )
    if importlib.util.find_spec("keras_hub") and _names(text, b"keras_hub"):
        importlib.import_module("keras_hub")  # registers its classes
    return keras.saving.load_model(text, compile=False)


def _names(path, part):
    """Whether a saved model has parts of a package."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return "config.json" in file.namelist() and part in file.read("config.json")


def read_labels(file, model):
    """The classes' names, a line of the file each; the demo's model has its own."""
    if file:
        return file.read_text(encoding="utf-8").splitlines()
    if model == DEMO:
        from keras_explain.demo import imagenet

        return imagenet.class_names()
    return None


def check_pixels(path):
    """Refuse a picture by its header, before it takes memory.

    Raises:
        ValueError: more than `MOST_PIXELS`.
        OSError: the file is no picture.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                pixels = image.width * image.height
        except Image.DecompressionBombError:
            pixels = math.inf
    if pixels > MOST_PIXELS:
        raise ValueError(f"Expected a picture of at most {MOST_PIXELS} pixels, received more."
                         " Make it smaller first.")


def read_picture(path, model, size=None, crop=False):
    """What the model takes of a picture file: float32 (H, W, channels), 0 to 255.

    A model that prepares pictures itself takes them at their own size.

    Raises:
        TypeError: the model takes no pictures, or any size and none is named.
        OSError: the file is no picture.
        ValueError: a picture of more than `MOST_PIXELS`.
    """
    import keras

    from keras_explain.data.preparing import prepares

    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3):
        raise TypeError(f"Expected a model of one image (N, H, W, 1 or 3), received inputs {shape}."
                        " Use the Python functions.")
    raw = prepares(model)
    size = None if raw and not size else tuple(size or shape[1:3])
    if not raw and None in size:
        raise TypeError("Expected --size HEIGHT WIDTH, because the model takes images of any size,"
                        " received none. Give the size that it was trained with.")
    check_pixels(path)
    image = keras.utils.load_img(path, color_mode="rgb" if shape[-1] == 3 else "grayscale",
                                 target_size=size, interpolation="bilinear",
                                 keep_aspect_ratio=crop)
    return keras.utils.img_to_array(image, data_format="channels_last", dtype="float32")
