"""States of a last layer during training, as `callbacks.HeadCheckpointCallback` keeps them."""

import dataclasses
import os
import pathlib
import zipfile

import numpy as np

from keras_explain.signatures import Array

NAME = "head-{:06d}.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class HeadCheckpoint:
    """The last layer after an epoch.

    Args:
        kernel, bias: of shape (F, classes) and (classes,).
        rate: the learning rate, by which this state counts.
        epoch: how many epochs were done.
    """

    kernel: Array
    bias: Array
    rate: float
    epoch: int


def load_checkpoints(path: str | os.PathLike) -> list[HeadCheckpoint]:
    """The states that a `HeadCheckpointCallback` kept in a folder, in the order of the epochs.

    Args:
        path: the folder.

    Raises:
        ValueError: no states, or files that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(folder, HeadCheckpoint(np.ones((2, 1)), np.zeros(1), 0.1, 5))
        ...     [state.epoch for state in load_checkpoints(folder)]
        [5]
    """
    states = []
    for file in sorted(pathlib.Path(path).glob("head-*.npz")):
        try:
            with np.load(file, allow_pickle=False) as saved:
                states.append(HeadCheckpoint(saved["kernel"], saved["bias"],
                                             float(saved["rate"]), int(saved["epoch"])))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"Expected a state of a last layer in {os.fspath(file)!r}, received"
                             f" another file. Delete it, or restore it. ({error})") from None
    if not states:
        raise ValueError(f"Expected states of a `HeadCheckpointCallback` in {os.fspath(path)!r},"
                         " received none. Train with the callback, or give its folder.")
    return states


def save_checkpoint(folder, state):
    """Write one state, whole or not at all."""
    file = pathlib.Path(folder, NAME.format(state.epoch))
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    with open(partial, "wb") as stream:
        np.savez(stream, kernel=np.asarray(state.kernel, "float32"),
                 bias=np.asarray(state.bias, "float32"), rate=state.rate, epoch=state.epoch)
    os.replace(partial, file)


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
