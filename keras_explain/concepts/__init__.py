"""Concepts: parts that recur in images of a class, and how much the class needs them.

`_layer.py` reads and changes the feature map, `_crops.py` cuts images, `_sobol.py` measures.
"""

from keras_explain.concepts.craft import Concepts, craft

__all__ = ["Concepts", "craft"]
