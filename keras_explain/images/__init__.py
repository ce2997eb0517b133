"""Pictures: heatmaps as colors, laid over the picture that they explain."""

from keras_explain.images.overlays import (
    DIVERGING,
    SEQUENTIAL,
    caption,
    color_limits,
    color_table,
    colorize,
    encode_png,
    filmstrip,
    is_signed,
    overlay,
    to_uint8,
)

__all__ = ["DIVERGING", "SEQUENTIAL", "caption", "color_limits", "color_table", "colorize",
           "encode_png", "filmstrip", "is_signed", "overlay", "to_uint8"]
