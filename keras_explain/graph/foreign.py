"""What is no `keras.Model`: the way to one, for models of other libraries, paths and layers."""

import os

import keras

WAYS = {
    "tf_keras": (
        "Keras 2 of `tf_keras` and Keras 3 share no layers. Save it there with"
        " `model.save('model.h5')` and read that with `keras.saving.load_model('model.h5',"
        " compile=False)`, or use LIME with `model.predict`."
    ),
    "torch": (
        "Under KERAS_BACKEND=torch wrap it: `keras.Sequential([keras.Input(shape),"
        " keras.layers.TorchModuleWrapper(module, output_shape=(None, classes))])`, or use LIME"
        " with a function from NumPy arrays to NumPy arrays."
    ),
    "flax": (
        "Under KERAS_BACKEND=jax wrap it: `keras.Sequential([keras.Input(shape),"
        " keras.layers.FlaxLayer(module, variables)])`, or use LIME with a function from NumPy"
        " arrays to scores."
    ),
    "tensorflow": (
        "Wrap what is saved: `keras.Sequential([keras.Input(shape), keras.layers.TFSMLayer(path,"
        " call_endpoint='serve')])`, or use LIME with a function from NumPy arrays to scores."
    ),
}
OTHER = "For another predictor use LIME, which takes any callable."
PROBABILITIES = "Use LIME with its `predict_proba`."
LAYER = "Put it into a model: `keras.Sequential([keras.Input(shape), layer])`."
FILE = "Load it first: `keras.saving.load_model(path)`."


def check_model(model):
    """Refuse what is no `keras.Model`.

    Raises:
        TypeError: it is none; the error says how it becomes one.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected a `keras.Model`, received {name(model)}. {find_way(model)}")


def check_callable(model):
    """Refuse to call on arrays what takes only the tensors of its own library.

    Raises:
        TypeError: a module of PyTorch.
    """
    if _library(model) == "torch":
        raise TypeError(
            "Expected a `keras.Model` or a function from NumPy arrays to scores, received"
            f" {name(model)}. {find_way(model)}"
        )


def name(model):
    """The type of `model`, with its library where that is not Keras."""
    library = _library(model)
    return f"{library}'s {type(model).__name__}" if library else type(model).__name__


def find_way(model):
    """How `model` becomes a `keras.Model`, a sentence."""
    if isinstance(model, (str, os.PathLike)):
        return WAYS["tensorflow"] if os.path.isdir(model) else FILE
    if isinstance(model, keras.layers.Layer):
        return LAYER
    if hasattr(model, "predict_proba"):
        return PROBABILITIES
    return WAYS.get(_library(model), OTHER)


def _library(model):
    """Whose class it is, or builds on; None for Keras and for none of those above."""
    if isinstance(model, keras.layers.Layer):  # under PyTorch each is a module of it
        return None
    owners = [base.__module__.split(".")[0] for base in type(model).__mro__]
    return next((library for library in WAYS if library in owners), None)
