"""Reading a model as a linear one: coefficient maps, mean gradients, agreement."""

from keras_explain.linear.coefficients import Agreement, agreement, coefficient_maps, mean_images
from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient

__all__ = ["Agreement", "MeanGradient", "agreement", "coefficient_maps", "mean_gradient",
           "mean_images"]
