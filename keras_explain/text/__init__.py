"""What a text model reads: gradients per token, expressions, words that matter on average."""

from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient
from keras_explain.text.expressions import Expression, TextScores, top_expressions

__all__ = ["Expression", "MeanGradient", "TextScores", "mean_gradient", "top_expressions"]
