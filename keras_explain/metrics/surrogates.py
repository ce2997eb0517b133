"""What LIME says of its own surrogates, in the form of the other metrics."""

import numpy as np


def fidelity(explanations, label=None, *, held_out=True):
    """Weighted R2 of the surrogates of LIME explanations.

    Paper: Ribeiro, Singh, Guestrin 2016, "Why should I trust you?",
    https://arxiv.org/abs/1602.04938.
    Direction: higher is better; 1 is a surrogate that follows the model exactly.
    Cost: no forward pass.
    Weakness: a narrow kernel makes any surrogate faithful, to less.

    Args:
        explanations: an `Explanation`, or several.
        label: the explained class, index or name; None for the first of each.
        held_out: True for samples that the surrogate was not fitted to.

    Returns:
        float64 of shape (N,).
    """
    return _figures(explanations, "held_out_fidelity" if held_out else "fidelity", label)


def stability(explanations, label=None):
    """The correlation to expect between the weights of two seeds of LIME.

    Paper: Visani et al. 2020, "Statistical stability indices for LIME",
    https://arxiv.org/abs/2001.11757, asks the question; the figure is that of `Explanation`.
    Direction: higher is better; 1 where all subsets of the features were tried.
    Cost: no forward pass.
    Weakness: stable is not true.

    Args:
        explanations, label: see `fidelity`.

    Returns:
        float64 of shape (N,).
    """
    return _figures(explanations, "stability", label)


def _figures(explanations, name, label):
    several = explanations if isinstance(explanations, (list, tuple)) else [explanations]
    if not several or not all(hasattr(e, name) for e in several):
        received = type(several[0]).__name__ if several else "none"
        raise TypeError(f"Expected LIME explanations, received {received}.")
    return np.array([getattr(e, name)[e.row(label)] for e in several], "float64")
