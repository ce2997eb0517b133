"""Columns of categories: one text or code for each example, looked up in a table."""

import keras

from keras_explain.graph import steps as kinds
from keras_explain.graph.tokens import MOVES, is_one_number, is_tokens
from keras_explain.graph.vectorizer import find as find_vectorizer


def is_category(program, value):
    """Whether an input is one value for each example that is looked up, as columns of a table."""
    if not is_one_number(value) or find_vectorizer(program, value)[0] is not None:
        return False
    return is_tokens(program, value)


def list_categories(program, value):
    """The vocabulary by which an input is looked up, without what stands for unknown ones.

    None where the model does not tell.
    """
    reached = {value}
    for step in program.steps:
        if not reached.intersection(step.reads):
            continue
        if isinstance(step.fn, (keras.layers.IntegerLookup, keras.layers.StringLookup)):
            return list(step.fn.get_vocabulary(include_special_tokens=False)) or None
        if kinds.kind(step.fn).startswith(MOVES):
            reached.update(step.outputs)
    return None
