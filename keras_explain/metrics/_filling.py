"""What a metric puts in the place of what it hides."""

import numpy as np

from keras_explain.engine import hiding


def freeze(baseline, subject, of_parts=True):
    """The fills of a baseline, as `engine.hiding` knows them, hashable.

    Args:
        of_parts: see `hiding.check`.
    """
    spec = subject.value.spec
    value = hiding.check("baseline", baseline, spec, of_parts=of_parts)
    return tuple(fill if isinstance(fill, str) else _tuples(np.asarray(fill).tolist())
                 for fill in hiding.split(value, spec))


def thaw(fills):
    """The fills that `freeze` made hashable."""
    return tuple(f if isinstance(f, str) else np.array(f, "float32") for f in fills)


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
