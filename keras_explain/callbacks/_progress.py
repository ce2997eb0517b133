"""Where a training stands: how far it is, and with which weights."""

import zlib

import numpy as np
from keras import ops


def batches_seen(model):
    """Of this training and those before: a resumed one goes on counting."""
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(ops.convert_to_numpy(optimizer.iterations))


def digest(model):
    """Numbers that are others when a variable of the model is another."""
    values = [np.ascontiguousarray(ops.convert_to_numpy(v)) for v in model.variables]
    return [zlib.crc32(value.ravel().view("uint8")) for value in values]
