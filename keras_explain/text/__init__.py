"""What a text model reads: gradients per token, expressions, words that matter on average."""

from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient
from keras_explain.text.expressions import Expression, TextScores, top_expressions
from keras_explain.text.leaving_out import leave_one_out
from keras_explain.text.words import WordScores, show

__all__ = ["Expression", "MeanGradient", "TextScores", "WordScores", "leave_one_out",
           "mean_gradient", "show", "top_expressions"]
