"""Concepts: parts that recur in images of a class, and how much the class needs them.

`_layer.py` reads and changes the feature map, `_crops.py` cuts images, `_sobol.py` measures;
`_directions.py` learns concepts from examples.
"""

from keras_explain.concepts.craft import Concepts, craft
from keras_explain.concepts.tcav import ConceptTest, tcav

__all__ = ["ConceptTest", "Concepts", "craft", "tcav"]
