"""Explained models that take the class of each example as an input."""

import numpy as np

from keras_explain.graph import targets


def take_classes(explained):
    """The same explanation with the class of each image as an input."""
    question = explained.explainer.question
    if question.takes_target or callable(question.target):
        return explained
    return explained.explainer.variant(target=targets.INPUT).explained_model()


def add_classes(explained, x, classes):
    """The inputs of an explained model that takes classes: `x` and them."""
    if not explained.explainer.question.takes_target:
        return x
    return targets.add_target(x, np.asarray(classes, "int32"))
