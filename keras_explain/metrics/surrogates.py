"""What LIME says of its own surrogates, in the form of the other metrics."""

from collections.abc import Sequence

import numpy as np

from keras_explain.lime.explanation import Explanation

Explained = Explanation | Sequence[Explanation]


def fidelity(
    explanations: Explained, *, target: int | str | None = None, held_out: bool = True,
) -> np.ndarray:
    """Weighted R2 of the surrogates of LIME explanations.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you?",
    https://arxiv.org/abs/1602.04938.
    Direction: higher is better; 1 is a surrogate that follows the model exactly.
    Cost: no forward pass.
    Weakness: a narrow kernel makes any surrogate faithful, to less.

    Args:
        explanations: an `Explanation`, or several.
        target: the explained class, index or name; None for the first of each.
        held_out: True for samples that the surrogate was not fitted to.

    Returns:
        float64 of shape (N,).
    """
    return _figures(explanations, "held_out_fidelity" if held_out else "fidelity", target)


def stability(explanations: Explained, *, target: int | str | None = None) -> np.ndarray:
    """The correlation to expect between the weights of two seeds of LIME.

    Reference: Visani et al. 2020, "Statistical stability indices for LIME",
    https://arxiv.org/abs/2001.11757, asks the question; the figure is that of `Explanation`.
    Direction: higher is better; 1 where all subsets of the features were tried.
    Cost: no forward pass.
    Weakness: stable is not true.

    Args:
        explanations, target: see `fidelity`.

    Returns:
        float64 of shape (N,).
    """
    return _figures(explanations, "stability", target)


def _figures(explanations, name, target):
    several = explanations if isinstance(explanations, (list, tuple)) else [explanations]
    if not several or not all(hasattr(e, name) for e in several):
        received = type(several[0]).__name__ if several else "none"
        raise TypeError(f"Expected LIME explanations, received {received}. Pass what the `explain`"
                        " of a LIME explainer returns.")
    return np.array([getattr(e, name)[e.row(target)] for e in several], "float64")
