"""Sounds: what remains of them where a heatmap is largest, to be listened to."""

from keras_explain.audio._aligning import align
from keras_explain.audio._keeping import keep
from keras_explain.audio._wav import write_wav

__all__ = ["align", "keep", "write_wav"]
