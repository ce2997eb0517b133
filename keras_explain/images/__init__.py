"""Pictures: heatmaps as colors, laid over the picture that they explain.

Everything runs on NumPy and OpenCV, without Keras. Callbacks, plots and the command line draw
their heatmaps with these functions, so a map looks the same in all of them.
"""

from keras_explain.images.animations import write_gif
from keras_explain.images.colors import (
    DIVERGING,
    SEQUENTIAL,
    color_limits,
    color_table,
    colorize,
    is_signed,
)
from keras_explain.images.fading import fade
from keras_explain.images.filmstrips import caption, filmstrip
from keras_explain.images.overlays import overlay
from keras_explain.images.pixels import encode_png, to_uint8

__all__ = ["DIVERGING", "SEQUENTIAL", "caption", "color_limits", "color_table", "colorize",
           "encode_png", "fade", "filmstrip", "is_signed", "overlay", "to_uint8", "write_gif"]
