"""The method for a model where none is named: what callbacks, `compare` and the like take."""

import keras

from keras_explain.explainers import METHODS
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers.grad_cam import GradCAM
from keras_explain.explainers.hires_cam import HiResCAM
from keras_explain.explainers.integrated_gradients import integrated_gradients
from keras_explain.explainers.local_linear import local_linear
from keras_explain.graph.question import Question
from keras_explain.graph.tokens import explainable_inputs, is_tokens


def choose_cam(model: keras.Model, **options) -> ExplainedModel:
    """`grad_cam` where the model averages its feature map, else `hires_cam`."""
    cam = GradCAM(model, **options)
    if cam.find_unaveraged() is not None:
        cam = HiResCAM(model, **options)
    return cam.explained_model()


def takes_tokens(model: keras.Model, **asked) -> bool:
    """Whether a model reads tokens, for which gradients alone order words hardly above chance."""
    program = Question(model, **asked).program
    return any(is_tokens(program, v) for v in explainable_inputs(program))


def choose_for_tokens(model: keras.Model, **options) -> ExplainedModel:
    """`local_linear` where the gates of the model are found, else `integrated_gradients`."""
    try:
        return local_linear(model, **options)
    except ValueError:
        return integrated_gradients(model, **options)


def name_of(explained):
    """The name of the builder that made an explained model; None for a method of another."""
    layer = type(explained.explainer).__name__
    return next((name for name, made in METHODS.items() if made == layer), None)
