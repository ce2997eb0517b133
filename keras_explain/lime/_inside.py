"""Objects of `keras_explain.targets` as scores that LIME can ask for."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

from keras_explain.engine.folding import bind, fold
from keras_explain.graph.question import Question
from keras_explain.targets._target import Target


def make_scorer(
    model: keras.Model, target: Target, output: str | int | None
) -> Callable[..., Any]:
    """From a batch, as a model takes it, to the columns of a target, (N, columns).

    Scores of classes are probabilities, as everywhere in LIME.
    """
    program = fold(Question(model, target=target, output=output, score="probability").scored)

    def run(batch):
        given = [ops.cast(x, v.spec.dtype)
                 for x, v in zip(tree.flatten(batch), program.inputs, strict=True)]
        return bind(program)(given)

    return run
