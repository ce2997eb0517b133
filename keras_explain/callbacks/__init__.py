"""Keras callbacks that log explanations to TensorBoard while a model trains."""

from keras_explain.callbacks.coefficients import CoefficientCallback
from keras_explain.callbacks.error_analysis import ErrorAnalysisCallback
from keras_explain.callbacks.explanation import ExplanationCallback
from keras_explain.callbacks.head_checkpoint import HeadCheckpointCallback
from keras_explain.callbacks.named import (
    GradCAMCallback,
    LimeCallback,
    OcclusionCallback,
    SaliencyCallback,
)

__all__ = [
    "CoefficientCallback",
    "ErrorAnalysisCallback",
    "ExplanationCallback",
    "GradCAMCallback",
    "HeadCheckpointCallback",
    "LimeCallback",
    "OcclusionCallback",
    "SaliencyCallback",
]
