"""How the scores of samples are read: which columns, and which samples have a score at all."""

import warnings
from typing import NamedTuple

import numpy as np

from keras_explain.lime._arguments import Arguments
from keras_explain.lime._samples import LimeWarning
from keras_explain.lime._scores import complete, may_be_probability


class Reading(NamedTuple):
    """How scores are read, the same for every batch.

    Args:
        columns: how many the model gives.
        is_completed: whether a single column is read as the probability of class 1.
        chosen: which columns are explained.
        classes: their indices in the explanation.
    """

    columns: int
    is_completed: bool
    chosen: np.ndarray
    classes: np.ndarray

    def __call__(self, received: np.ndarray) -> np.ndarray:
        """The explained columns of a batch of scores."""
        if received.shape[1] != self.columns:
            raise ValueError(
                f"Expected {self.columns} scores per input, as for the first batch, received"
                f" {received.shape[1]}. Make the model return rows of one length."
            )
        return (complete(received) if self.is_completed else received)[:, self.chosen]


def choose_reading(arguments: Arguments, first: np.ndarray, is_ambiguous: bool) -> Reading:
    """The `Reading` that the first batch of scores and the arguments ask for."""
    columns, is_lone = first.shape[1], is_ambiguous and first.shape[1] == 1
    is_number = arguments.target in (None, (0,)) and arguments.top in (None, 1)
    is_inside = may_be_probability(first)
    if not is_lone or not (is_number or is_inside):
        chosen = arguments.choose(first[0])
        return Reading(columns, False, chosen, chosen)
    if not is_number:
        chosen = arguments.choose(complete(first)[0])
        return Reading(columns, True, chosen, chosen)
    chosen = arguments.choose(first[0])
    if is_inside and arguments.target is not None:
        raise ValueError(
            "Expected to know what the model's only score is, because it lies within 0 and 1,"
            " received target=0. Pass Predictor(model, binary=True) if it is the probability of"
            " class 1, Predictor(model, binary=False) if it is a number."
        )
    return Reading(columns, False, chosen, np.array([int(is_inside)]))


def refuse_undefined(prediction: np.ndarray, what: str) -> None:
    """Refuse an input whose own score is NaN or infinite."""
    if not np.isfinite(prediction).all():
        raise ValueError(
            f"Expected finite scores, received NaN or infinity for the input with every {what}."
            " Look at the model's weights and its preprocessing."
        )


def find_defined(scores: np.ndarray, is_shapley: bool) -> np.ndarray:
    """Which samples have a score: all, or all but those that a model cannot score."""
    defined = np.isfinite(scores).all(axis=1)
    missing = len(scores) - np.count_nonzero(defined)
    if not missing:
        return defined
    remedy = 'Pass `baseline`, which then stands for each of them, such as baseline="[UNK]".'
    without = "the empty text" if missing == 1 else f"{missing} shortened texts"
    if missing > len(scores) / 2 or len(scores) - missing < 2 or is_shapley:
        needed = ", which KernelSHAP needs" if is_shapley else ""
        raise ValueError(
            f"Expected finite scores, received NaN or infinity for {without} of"
            f" {len(scores)}{needed}. The model may take a mean over no words. {remedy}"
        )
    warnings.warn(
        f"LIME: the model gives NaN or infinity for {without} of {len(scores)}, which the"
        f" explanation leaves out. {remedy}",
        LimeWarning, stacklevel=5,
    )
    return defined
