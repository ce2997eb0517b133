"""Token models: where integers and strings become numbers that can be differentiated."""

import keras
from keras import ops

from keras_explain.graph.vectorizer import find as find_vectorizer


def differentiable_value(program, value):
    """Where to differentiate for an input: itself, the embedding of its tokens or its word counts.

    Args:
        program: the traced model.
        value: one of its inputs. Integers of rank 2 are tokens, strings of any rank texts.

    Raises:
        ValueError: strings on a backend that has none, or strings that nothing turns into
            numbers.
    """
    text = value.spec.dtype == "string"
    if not text and ("float" in value.spec.dtype or len(value.spec.shape) != 2):
        return value
    if text and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected numbers going into the model, received a model that takes strings, which"
            f" Keras cannot compute with on {keras.backend.backend()!r}. Run on TensorFlow"
            " (KERAS_BACKEND=tensorflow), or take the model behind its TextVectorization layer"
            " and vectorize the texts first."
        )
    embedding = _embedding(program, value)
    if embedding is not None:
        return embedding.outputs[0]
    layer, step = find_vectorizer(program, value)
    if layer is not None and "int" not in step.outputs[0].spec.dtype:
        return step.outputs[0]
    if text:
        raise ValueError(
            f"Expected the texts of input {value.spec.name!r} to go through TextVectorization,"
            " received a model without it and without Embedding. Explain the model behind what"
            " turns strings into numbers."
        )
    return value


def token_ids(program, value):
    """A program from the inputs to token ids (N, T) in which 0 is padding; None without padding.

    Zero is padding where the embedding says so (`mask_zero=True`) and behind a TextVectorization
    layer, which pads with it.
    """
    step = _embedding(program, value) if "float" not in value.spec.dtype else None
    if step is None or len(step.outputs[0].spec.shape) != 3:
        return None
    if not step.fn.mask_zero and find_vectorizer(program, value)[0] is None:
        return None
    return program.with_outputs([step.reads[0]])


def without_padding(heatmap, ids):
    """The heatmap (N, T) with zero where the token is padding."""
    return ops.where(ops.equal(ids, 0), ops.zeros_like(heatmap), heatmap)


def _embedding(program, value):
    reached = {value}
    for step in program.steps:
        if reached.intersection(step.reads):
            if isinstance(step.fn, keras.layers.Embedding):
                return step
            reached.update(step.outputs)
    return None
