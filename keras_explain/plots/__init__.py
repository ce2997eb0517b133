"""Figures for notebooks, papers and reports, drawn with matplotlib's object interface.

Nothing here touches pyplot, its current figure or the chosen backend, so a plot can be drawn in a
training loop, a thread or a server without a trace in the user's own figures.
"""

from keras_explain.plots._coefficients import coefficient_maps
from keras_explain.plots._comparison import comparison
from keras_explain.plots._concepts import concepts
from keras_explain.plots._errors import confusion_matrix, error_gallery, gallery
from keras_explain.plots._ranking import agreement, ranking
from keras_explain.plots._series import series
from keras_explain.plots._spectrogram import spectrogram
from keras_explain.plots._tables import beeswarm, dependence, effects, importance, waterfall

__all__ = ["agreement", "beeswarm", "coefficient_maps", "comparison", "concepts",
           "confusion_matrix", "dependence", "effects", "error_gallery", "gallery", "importance",
           "ranking", "series", "spectrogram", "waterfall"]
