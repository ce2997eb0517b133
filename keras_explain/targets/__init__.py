"""Questions beyond one class: objects for `target=`, which are saved with what they explain."""

from keras_explain.targets.token import Token

__all__ = ["Token"]
