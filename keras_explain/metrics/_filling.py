"""What a metric puts in the place of what it hides."""

import numpy as np
from keras import ops

from keras_explain.engine import hiding


def frozen(baseline, subject):
    """A baseline as `explainers.baselines` knows it, hashable."""
    value = hiding.check("baseline", baseline, subject.value.spec)
    return value if isinstance(value, str) else _tuples(np.asarray(value).tolist())


def filled(image, axes, baseline):
    """The input with nothing to see, one row for each image."""
    value = baseline if isinstance(baseline, str) else np.array(baseline, "float32")
    return hiding.baseline(image, axes, value) + ops.zeros_like(image)


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
