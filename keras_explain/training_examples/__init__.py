"""The training examples behind an answer: alike ones, influential ones, and wrong labels.

`_head.py` finds the last layer of a model and its features; `checkpoints.py` holds what it was
during training, and `_leaving_out.py` what it would be without an example.
"""

from keras_explain.training_examples.checkpoints import HeadCheckpoint, load_checkpoints
from keras_explain.training_examples.influential import Influence, influence
from keras_explain.training_examples.similar import SimilarExamples, find_similar
from keras_explain.training_examples.wrong_labels import WrongLabels, find_wrong_labels

__all__ = ["HeadCheckpoint", "Influence", "SimilarExamples", "WrongLabels", "find_similar",
           "find_wrong_labels", "influence", "load_checkpoints"]
