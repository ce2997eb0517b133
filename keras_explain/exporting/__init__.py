"""Explained models as files: SavedModels with several signatures, and other formats.

`exporter.py` is the entry. `saved_model.py` and `image_signature.py` (with `decoding.py` and
`drawing.py`) make the signatures, `formats.py` the files for other engines, `placing.py` puts
everything in its place whole or not at all, `describe.py` tells people and programs what is
inside. This folder and the TensorFlow backend alone import TensorFlow.
"""

from keras_explain.exporting.exporter import export

__all__ = ["export"]
