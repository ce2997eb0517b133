"""The `keras.Model` that builders return."""

import warnings

import keras
import numpy as np
from keras import tree

from keras_explain import backend


class BlankHeatmapWarning(UserWarning):
    """A heatmap carries no information: it is zero everywhere."""


@keras.saving.register_keras_serializable("keras_explain")
class ExplainedModel(keras.Model):
    """A Functional model from the user's inputs to {"predictions", "heatmap"}.

    It adds one thing to Keras's own: numbers are looked at on their way in and out, so that
    NaN inputs are an error and a blank heatmap a warning, never silent. Inside a graph, as in
    an exported model, nothing is added.
    """

    def predict(self, x, *args, **kwargs):
        return self._watched(super().predict, x, *args, **kwargs)

    def predict_on_batch(self, x):
        return self._watched(super().predict_on_batch, x)

    def __call__(self, inputs, *args, **kwargs):
        return self._watched(super().__call__, inputs, *args, **kwargs)

    @property
    def explainer(self):
        """The layer that computes the heatmap."""
        return next(x for x in self.layers if hasattr(x, "explained_model"))

    def _watched(self, run, inputs, *args, **kwargs):
        if getattr(self, "_watching", False):  # PyTorch's `predict` calls the model eagerly
            return run(inputs, *args, **kwargs)
        _check_inputs(inputs)
        self._watching = True
        try:
            outputs = run(inputs, *args, **kwargs)
        finally:
            self._watching = False
        return self._checked(outputs)

    def _checked(self, outputs):
        if not isinstance(outputs, dict) or "heatmap" not in outputs:
            return outputs
        flat = [_numbers(x) for x in tree.flatten(outputs["heatmap"])]
        answers = [_numbers(x) for x in tree.flatten(outputs["predictions"])]
        if any(x is None for x in flat + answers):
            return outputs  # inside a trace: there are no numbers yet
        if not all(np.isfinite(x).all() for x in answers if x.dtype.kind == "f"):
            warnings.warn(
                f"The predictions of {self.explainer.model.name!r} are not finite, so its"
                " heatmaps mean nothing. Look for NaN in the inputs and weights.",
                BlankHeatmapWarning,
                stacklevel=4,
            )
        for heatmap in flat:
            blank = ~heatmap.reshape(len(heatmap), -1).any(axis=1)
            if blank.any():
                warnings.warn(self._blank_message(blank, answers), BlankHeatmapWarning,
                              stacklevel=4)
        return outputs

    def _blank_message(self, blank, answers):
        explainer = self.explainer
        target = explainer.target
        if target is None and len(answers) == 1 and answers[0].ndim == 2 and answers[0].shape[1] > 1:
            target = f"the top class ({np.unique(answers[0][blank].argmax(-1)).tolist()})"
        elif target is None:
            target = "the top class"
        place = getattr(explainer, "layer_path", None)
        return (
            f"{type(explainer).__name__} gives a blank heatmap for {int(blank.sum())} of"
            f" {len(blank)} examples (target: {target}"
            + (f"; layer: {place!r})" if place else ")")
            + ". The explained score does not react: a dead layer, a saturated output, or"
            " evidence only against the class."
        )


def _check_inputs(x):
    for array in tree.flatten(x):
        if isinstance(array, np.ndarray) and array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(
                "Expected inputs without NaN, received an array of shape"
                f" {array.shape} with {int(np.isnan(array).sum())} NaN. Clean the data first."
            )


def _numbers(x):
    """A NumPy view of an array or eager tensor; None while a graph is traced."""
    if isinstance(x, np.ndarray):
        return x
    return keras.ops.convert_to_numpy(x) if backend.is_concrete(x) else None
