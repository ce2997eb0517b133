"""Objects of `keras_explain.targets` as scores of texts from which words are taken out."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.state import refuse_state
from keras_explain.graph.question import Question
from keras_explain.lime import _inputs
from keras_explain.lime.predictor import Predictor
from keras_explain.targets._target import Target


def ask(predictor: Predictor, target: Target, batch_size: int) -> Predictor:
    """A predictor of the target's scores, in place of one of the model's.

    Args:
        predictor: of a Keras model.
        target: it counts from the end of texts.
        batch_size: the model gets so many inputs at once, the last one repeated.

    Raises:
        ValueError: the model is none of Keras, or positions are counted from the beginning; the
            target does not fit the model.
    """
    if not predictor.is_keras:
        raise ValueError(
            f"Expected a Keras model, which tells where a text ends, for {target}, received"
            f" {predictor.name}. Pass the model with its preprocessor or `tokenizer`, or a callable"
            " from texts to one score each.")
    if not target.counts_from_end:
        raise ValueError(
            "Expected a position that is the same without words in front of it, received"
            f" {target!r}. Count from the end, as Token(-1) does, or use `occlusion`.")
    return Predictor(_Asked(predictor, target, batch_size), binary=False)


class _Asked:
    """From texts to the scores of a target, NaN where a text has no such place."""

    def __init__(self, predictor, target, batch_size):
        self.__name__ = str(target)
        self._model, self._preprocess = predictor.model, predictor.preprocess
        self._batch_size, self._is_asked = batch_size, False
        question = Question(self._model, target=target, output=predictor.output)
        columns, there = question.program.outputs[0], question.there
        self._program = question.whole.with_outputs([columns] if there is None else [
            columns, there])
        self._compiled = backend.compile_function(self._scores, self._model.variables)

    def __call__(self, texts):
        made = _inputs.to_arrays(texts if self._preprocess is None else self._preprocess(texts))
        if not self._is_asked:
            self._is_asked = True
            refuse_state(self._model, made)
        padded = [_inputs.pad(_to_rank(leaf, value.spec), self._batch_size) for leaf, value in zip(
            tree.flatten(made), self._program.inputs, strict=True)]
        return ops.convert_to_numpy(self._compiled(*padded))[: len(texts)]

    def _scores(self, *given):
        columns, *there = self._program([
            x if v.spec.dtype == "string" else ops.cast(x, v.spec.dtype)
            for x, v in zip(given, self._program.inputs, strict=True)])
        columns = ops.cast(columns, "float32")
        return ops.where(ops.expand_dims(there[0], -1), columns, np.nan) if there else columns


def _to_rank(array: np.ndarray, spec: keras.KerasTensor) -> np.ndarray:
    """Texts (N,) for an input of shape (N, 1)."""
    return array[:, None] if array.ndim == 1 and len(spec.shape) == 2 else array
