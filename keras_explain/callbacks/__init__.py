"""Keras callbacks that log explanations to TensorBoard while a model trains."""

from keras_explain.callbacks.explanation import ExplanationCallback
from keras_explain.callbacks.named import GradCAMCallback, OcclusionCallback, SaliencyCallback

__all__ = ["ExplanationCallback", "GradCAMCallback", "OcclusionCallback", "SaliencyCallback"]
