"""The class activation map for a model: what callbacks, the command line and `compare` take."""

import keras

from keras_explain.explainers import METHODS
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers.grad_cam import GradCAM
from keras_explain.explainers.hires_cam import HiResCAM


def choose_cam(model: keras.Model, **options) -> ExplainedModel:
    """`grad_cam` where the model averages its feature map, else `hires_cam`."""
    cam = GradCAM(model, **options)
    if cam.find_unaveraged() is not None:
        cam = HiResCAM(model, **options)
    return cam.explained_model()


def name_of(explained):
    """The name of the builder that made an explained model; None for a method of another."""
    layer = type(explained.explainer).__name__
    return next((name for name, made in METHODS.items() if made == layer), None)
