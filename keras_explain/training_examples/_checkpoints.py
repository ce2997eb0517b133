"""States of a last layer during training."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class HeadCheckpoint:
    """The last layer after an epoch.

    Args:
        kernel, bias: of shape (F, classes) and (classes,).
        rate: the learning rate by which this state counts.
        epoch: how many epochs were done.
    """

    kernel: np.ndarray
    bias: np.ndarray
    rate: float
    epoch: int


def check_checkpoints(checkpoints, head):
    """The states to ask: those given, or the one that `head` is in.

    Raises:
        ValueError: none, or states of a last layer of another shape.
    """
    if checkpoints is None:
        return [HeadCheckpoint(head.kernel, head.bias, 1.0, 0)]
    checkpoints = list(checkpoints)
    if not checkpoints:
        raise ValueError("Expected `checkpoints` of a `HeadCheckpointCallback`, received none. Pass"
                         " those of a training, or leave the argument out.")
    for state in checkpoints:
        if np.shape(state.kernel) != head.kernel.shape:
            raise ValueError(
                f"Expected `checkpoints` of a last layer of shape {head.kernel.shape}, received"
                f" {np.shape(state.kernel)}. Pass those of the training of this model.")
    return checkpoints
