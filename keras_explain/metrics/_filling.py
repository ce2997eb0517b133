"""What a metric puts in the place of what it hides."""

import dataclasses

import numpy as np

from keras_explain.engine import baselines, hiding
from keras_explain.graph.order import are_columns


@dataclasses.dataclass(frozen=True)
class _Array:
    """Numbers that can be compared and hashed."""

    shape: tuple
    numbers: bytes


def freeze(baseline, evaluator, score, default="mean", of_parts=True):
    """The fills of a baseline, as `engine.hiding` knows them, hashable.

    Args:
        baseline: what the metric was given; None: the evaluator's, else for columns that of the
            explained model.
        evaluator: an Evaluator.
        score: that the metric watches.
        default, of_parts: see `baselines.settle`.
    """
    subject = evaluator.subject(score)
    program, value = subject.question.program, subject.value
    given = evaluator.baseline if baseline is None else baseline
    if given is None and evaluator.explained is not None and are_columns(program, value):
        given = _baseline_of(evaluator.explained.explainer, subject.index)
    settled = baselines.settle("baseline", given, program, value, default, of_parts)
    return tuple(fill if isinstance(fill, str) else _Array(fill.shape, fill.tobytes())
                 for fill in map(_to_array, hiding.split(settled, value.spec)))


def thaw(fills):
    """The fills that `freeze` made hashable."""
    return tuple(f if isinstance(f, str) else np.frombuffer(f.numbers, "float32").reshape(f.shape)
                 for f in fills)


def _to_array(fill):
    return fill if isinstance(fill, str) else np.asarray(fill, "float32")


def _baseline_of(explainer, index):
    given = dict(zip(map(explainer.question.index, explainer.question.explained),
                     getattr(explainer, "baseline", None) or (), strict=False))
    return given.get(index)
