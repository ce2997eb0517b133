"""The training examples behind an answer: alike ones, influential ones, and wrong labels.

`_head.py` finds the last layer of a model and its features; `_checkpoints.py` holds what it was
during training.
"""

from keras_explain.training_examples.similar import SimilarExamples, find_similar
from keras_explain.training_examples.wrong_labels import WrongLabels, find_wrong_labels

__all__ = ["SimilarExamples", "WrongLabels", "find_similar", "find_wrong_labels"]
