"""Questions beyond one class: objects for `target=`, which are saved with what they explain."""

from keras_explain.targets.box import Box
from keras_explain.targets.difference import Difference
from keras_explain.targets.neuron import Neuron
from keras_explain.targets.region import Region
from keras_explain.targets.similarity import Similarity
from keras_explain.targets.token import Token

__all__ = ["Box", "Difference", "Neuron", "Region", "Similarity", "Token"]
