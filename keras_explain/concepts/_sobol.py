"""Total Sobol indices: how much of what an answer varies by needs each of several factors."""

import warnings

import numpy as np


def design(factors, samples, seed):
    """Where to ask a function of `factors` numbers from 0 to 1: (samples * (factors + 2), factors).

    First `samples` points, then as many others, then for each factor the first ones with this
    factor from the others. Points are a scrambled Sobol sequence.
    """
    from scipy.stats import qmc

    with warnings.catch_warnings():  # of numbers that are no power of two: balance is a nicety
        warnings.simplefilter("ignore", UserWarning)
        points = qmc.Sobol(2 * factors, scramble=True, rng=seed).random(samples)
    one, two = points[:, :factors], points[:, factors:]
    mixed = np.where(np.eye(factors, dtype=bool)[:, None], two, one)
    return np.concatenate([one, two, *mixed])


def total_indices(answers, factors):
    """Total indices by Jansen's estimator, (..., factors), of answers at a `design`.

    Zero where the answer does not vary at all.

    Args:
        answers: (..., samples * (factors + 2)).
        factors: how many.
    """
    answers = np.asarray(answers, "float64")
    parts = answers.reshape(*answers.shape[:-1], factors + 2, -1)
    one, mixed = parts[..., :1, :], parts[..., 2:, :]
    spread = parts[..., :2, :].var(axis=(-2, -1))[..., None]
    moved = ((one - mixed) ** 2).mean(axis=-1) / 2
    size = (parts**2).max(axis=(-2, -1))[..., None] * 1e-12
    return np.divide(moved, spread, out=np.zeros_like(moved), where=spread > size)
