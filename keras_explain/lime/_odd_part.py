"""Shapley values from pairs of a mask and its complement, with interactions of features modeled.

Written in signs (1 kept, -1 out) a score is a sum of products of features, and Shapley values
depend on products of odd numbers of features alone: each feature of a product gets an equal share.
Half the difference of the two scores of a pair is a sample of that odd part. Least squares fits the
single features and takes all other products for noise. Here they are a Gaussian process whose
products have variances `tanh(a)` multiplied over their features: its covariance of two masks is a
hyperbolic sine, and the Shapley values of its posterior mean are an integral of one dimension.
"""

import itertools
import threading

import numpy as np

_BLOCK = 2000  # pairs that are solved at once
_CHOOSING = 128  # pairs by which the variances are chosen
_REACHES = (1e-3, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # sum of `a`: linear to nearly all interactions
_SHARPNESS = (0.0, 0.5, 1.0)  # whether features of larger effect interact more
_NOISES = (1e-8, 1e-3)  # shares of the variance that no product explains
_TURN = threading.Lock()  # of who limits threads, or the last would restore another's limit


def estimate_from_pairs(kept: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Shapley values of `S` features from the scores of pairs of masks.

    Reference: Witter, Liu and Musco 2025, "Regression-adjusted Monte Carlo estimators for Shapley
    values and probabilistic values", NeurIPS (a model of interactions instead of a linear one).

    Args:
        kept: `(N, S)`, 1 and 0; rows `2k` and `2k + 1` are complements, the first two are
            everything and nothing.
        scores: `(N,)`.

    Returns:
        `(S,)`, with the sum of `scores[0] - scores[1]`.
    """
    from threadpoolctl import threadpool_limits

    # Matrices are small: threads would wait for each other, on a busy machine a hundred times.
    with _TURN, threadpool_limits(1, "blas"):
        return _estimate(kept, scores)


def _estimate(kept, scores):
    signs, odd = 2.0 * kept[::2] - 1, (scores[::2] - scores[1::2]) / 2
    values = np.zeros(kept.shape[1])
    if np.abs(odd).max() > 1e-6 * np.abs(scores).max():
        blocks = -(-max(len(odd) - 1, 1) // _BLOCK)
        for block in range(blocks):
            rows = np.r_[0, 1 + block : len(odd) : blocks]
            values += _condition(signs[rows], odd[rows]) / blocks
    return values + (scores[0] - scores[1] - values.sum()) / len(values)


def _condition(signs, odd):
    """Shapley values of the process that has the values `odd` at `signs`."""
    from scipy import linalg

    few, seen = signs[:_CHOOSING], odd[:_CHOOSING]
    effects = np.abs(np.linalg.lstsq(few, seen, rcond=None)[0])
    effects = np.maximum(effects, 1e-3 * effects.max())
    choices = [(reach * effects**sharpness / (effects**sharpness).sum(), noise)
               for reach, sharpness, noise in itertools.product(_REACHES, _SHARPNESS, _NOISES)]
    strengths, noise = max(choices, key=lambda choice: _measure_likelihood(few, seen, *choice))
    root = linalg.cho_factor(_covary(signs, strengths, noise), lower=True, overwrite_a=True)
    return _share_out(signs, linalg.cho_solve(root, odd), strengths)


def _covary(signs, strengths, noise):
    """Covariance of the odd part at each two masks: products of odd numbers of features."""
    scale = np.prod(1 / np.cosh(strengths))
    covariance = scale * np.sinh((signs * strengths) @ signs.T)
    rows = np.arange(1, len(signs))  # everything and nothing are met exactly
    variance = covariance[0, 0]
    covariance[rows, rows] += noise * variance
    covariance[0, 0] += 1e-10 * variance
    return covariance


def _measure_likelihood(signs, odd, strengths, noise):
    """Logarithm, up to a constant, at the best overall variance."""
    from scipy import linalg

    try:
        root = linalg.cholesky(_covary(signs, strengths, noise), lower=True, overwrite_a=True)
    except linalg.LinAlgError:
        return -np.inf
    white = linalg.solve_triangular(root, odd, lower=True)
    return -len(odd) / 2 * np.log(white @ white) - np.log(root.diagonal()).sum()


def _share_out(signs, found, strengths):
    """Twice each product, an equal part to each of its features.

    A part of `1 / k` is the integral of `t ** (k - 1)`: of the products with feature i, that is
    the even part of a product over the other features, with variances `t * tanh(a)`.
    """
    points, shares = np.polynomial.legendre.leggauss(min(signs.shape[1] // 2 + 2, 16))
    variances, values = np.tanh(strengths), np.zeros(signs.shape[1])
    for t, share in zip((points + 1) / 2, shares / 2, strict=True):
        weaker = np.arctanh(t * variances)
        others = (signs @ weaker)[:, None] - signs * weaker
        scale = np.prod(1 / np.cosh(weaker)) * np.cosh(weaker)
        values += 2 * share * (found @ (signs * variances * np.cosh(others) * scale))
    return values
