"""What a step computes of what depends on the input: told by trying it out."""

import itertools
import warnings

import keras
import numpy as np
from keras import ops

from keras_explain.graph import steps as kinds

# Layers of Keras that are linear in their one argument, activation aside, and worth not trying.
LINEAR = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.BatchNormalization,
          keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D,
          keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)

FAR = 50.0  # times the size of the numbers that a step was seen to have


def is_known_linear(fn):
    """Whether Keras computes kernel * x + bias there, or normalizes by constants."""
    return isinstance(fn, LINEAR) and kinds.is_built_in(fn) and (
        getattr(fn, "activation", None) in (None, keras.activations.linear))


def is_affine(tried):
    """Whether a step is linear, up to a constant, in all that varies together: far out as well."""
    zero = tried(*tried.zeros())
    for scale in (1.0, FAR):
        a, b = ([scale * x for x in tried.random(seed)] for seed in (1, 2))
        both = tried(*[x + y for x, y in zip(a, b, strict=True)])
        one, two = tried(*a), tried(*b)
        if any(y is None for y in (zero, both, one, two)):
            return scale == FAR and tried.is_half and zero is not None  # it overflows
        size = max(np.abs(y).max(initial=0) for y in (both, one, two))
        if not tried.equal(both + zero, one + two, size):
            return False
    return True


def is_straight(tried):
    """Whether a step is linear along each line from zero on, as max(x, 0) is."""
    zero = tried(*tried.zeros())
    for seed in (1, 2):
        x = tried.random(seed)
        one = tried(*x)
        if one is None or zero is None:
            return False
        for t in (0.5, 2.0, FAR):
            far = tried(*[t * a for a in x])
            if far is None and t == FAR and tried.is_half:
                continue
            if far is None or not tried.equal(far - zero, t * (one - zero), t * np.abs(one).max()):
                return False
    return True


def is_pointwise(tried):
    """Whether each number of the output is a function of the number at its place alone."""
    (x,), (other,) = tried.random(1), tried.random(2)
    keeps = np.random.default_rng(3).random(size=x.shape) < 0.5
    one, two = tried(x), tried(np.where(keeps, x, other))
    if one is None or two is None or one.size != x.size:
        return False
    keeps = keeps.reshape(-1)
    return tried.equal(one[keeps], two[keeps], np.abs(one).max())


def find_center(tried):
    """The axes whose mean a normalization subtracts, () for none; None: it is no normalization.

    A normalization is what gives (x - mean) / deviation, times and plus constants: the ratio of
    what it gives for two inputs is one number for all that it has normalized together.
    """
    (x,), (other,) = tried.random(1), tried.random(2)
    one, two, zero = tried(x), tried(other), tried(*tried.zeros())
    if one is None or two is None or zero is None or one.size != x.size or x.ndim < 2:
        return None
    one, two = ((y - zero).reshape(x.shape) for y in (one, two))
    inner = tuple(range(1, x.ndim))
    groups = dict.fromkeys([inner[-1:], inner[:1], inner, inner[:-1], inner[1:]])
    for axes, centered in itertools.product(groups, (True, False)):
        if not axes:
            continue
        a, b = (y - y.mean(axis=axes, keepdims=True) if centered else y for y in (x, other))
        with np.errstate(all="ignore"):
            quotient = (one * b) / (two * a)
        sure = (np.abs(a) > 0.1 * np.abs(a).max()) & (np.abs(b) > 0.1 * np.abs(b).max()) & (
            np.abs(two) > 0.01 * np.abs(two).max())
        if sure.sum() < 8:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # groups in which nothing is sure
            level = np.nanmedian(np.where(sure, quotient, np.nan), axis=axes, keepdims=True)
        wrong = np.abs(np.where(sure, quotient / level - 1, 0))
        if np.nanmax(wrong) < 30 * tried.near:
            return axes if centered else ()
    return None


def is_bounded(tried):
    """Whether a step gives numbers from 0 to 1, whatever it is given: a gate."""
    for scale in (1.0, 10.0, 100.0):
        found = tried(*[scale * x for x in tried.random(1)])
        if found is None or found.min(initial=0) < -1e-6 or found.max(initial=0) > 1 + 1e-3:
            return False
    return True


def averages(tried, points, weights):
    """Whether a gradient averaged at such points accounts for what a step gives.

    The derivative along the line from zero comes from differences.
    """
    x = tried.here()
    one, zero = tried(*x), tried(*tried.zeros())
    if one is None or zero is None:
        return False
    total, h = np.zeros_like(one), 1e-2
    for t, w in zip(points, weights, strict=True):
        up, down = (tried(*[s * a for a in x]) for s in (t + h, t - h))
        if up is None or down is None:
            return False
        total = total + w * (up - down) / (2 * h)
    return bool(np.abs(total - (one - zero)).max() <= 1e-2 * max(np.abs(one).max(), 1e-6))


def numel(trial, value):
    """How many numbers a Value has in a trial."""
    return int(np.prod(ops.shape(trial.numbers[value])))
