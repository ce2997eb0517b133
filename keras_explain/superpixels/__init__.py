"""Superpixels: the parts of a picture that LIME hides and shows."""

from keras_explain.superpixels.segmentation import (
    METHODS,
    felzenszwalb,
    grid,
    lsc,
    quickshift,
    seeds,
    segment,
    slic,
)

__all__ = ["METHODS", "felzenszwalb", "grid", "lsc", "quickshift", "seeds", "segment", "slic"]
