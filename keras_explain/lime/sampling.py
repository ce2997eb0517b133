"""Which features are left out in which sample, and how much a sample counts.

A mask is a row of booleans, one for each feature: `True` keeps the feature, `False` takes it out.
A sampler is any callable `(samples, num_features, rng)` to masks `(samples, num_features)`; a
kernel any callable from the changes `(N, S)`, 0 for a feature as it is and 1 for one that is out,
to weights `(N,)`.
"""

import dataclasses
import itertools
import math
from typing import Literal

import numpy as np


def hadamard(samples: int, num_features: int, rng: np.random.Generator) -> np.ndarray:
    """Masks from a folded Hadamard design: every two features vary independently of each other.

    In independent random masks any two features are together by chance, and the surrogate pays
    for telling them apart. In a Hadamard design every pair of features takes each of its four
    states equally often; folding (each mask is followed by its complement) keeps interactions of
    two features out of their weights. About half as many samples as `bernoulli` for the same
    weights.

    The design is as large as `samples` asks for, and is made of blocks that are such designs
    themselves, of the smallest power of two above `num_features`: so a run that stops early has
    used balanced masks too.

    Reference: Plackett and Burman 1946, "The design of optimum multifactorial experiments",
    Biometrika; Box and Wilson 1951 (fold-over).

    Args:
        samples: number of masks.
        num_features: number of features.
        rng: a `numpy.random.Generator`.

    Returns:
        bool `(samples, num_features)`, half of it `True`.

    Example:
        >>> masks = hadamard(8, 4, np.random.default_rng(0))
        >>> masks.sum(axis=0).tolist(), np.cov(2.0 * masks.T, bias=True).round(6)[0].tolist()
        ([4, 4, 4, 4], [1.0, 0.0, 0.0, 0.0])
    """
    block_bits = (num_features - 1).bit_length()
    bits = max(block_bits, (max(samples - 1, 0) // 2).bit_length())
    block, blocks = 1 << block_bits, 1 << (bits - block_bits)
    # Columns that differ in their low bits are orthogonal within each block already.
    columns = rng.choice(block, num_features, replace=False)
    columns = columns + block * rng.integers(0, blocks, num_features)
    signs = rng.integers(0, 2, num_features).astype(bool)
    rows = [block * number + rng.permutation(block) for number in rng.permutation(blocks)]
    half = _odd_parity(np.concatenate(rows)[:, None] & columns) ^ signs
    return np.stack([half, ~half], axis=1).reshape(-1, num_features)[:samples]


def bernoulli(samples: int, num_features: int, rng: np.random.Generator) -> np.ndarray:
    """Masks that keep each feature independently with probability 1/2: what `lime` does to images.

    Args, returns: as `hadamard`.
    """
    return rng.integers(0, 2, (samples, num_features), dtype=np.uint8).astype(bool)


def uniform(samples: int, num_features: int, rng: np.random.Generator) -> np.ndarray:
    """Masks that take out a uniformly drawn number of features: the paper's, and `lime`'s for text.

    Compared with `bernoulli` more samples are close to the input (a single word missing) and more
    are far from it.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you?", KDD, section 3.3.

    Args, returns: as `hadamard`.
    """
    missing = rng.integers(1, num_features + 1, samples)
    ranks = rng.random((samples, num_features)).argsort(axis=1).argsort(axis=1)
    return ranks >= missing[:, None]


def sobol(samples: int, num_features: int, rng: np.random.Generator) -> np.ndarray:
    """Masks from a scrambled Sobol sequence: the best when samples are few (128 and below).

    Reference: Owen 1998, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity.

    Args, returns: as `hadamard`.
    """
    from scipy.stats import qmc

    sequence = qmc.Sobol(num_features, scramble=True, rng=rng)
    power = max(samples - 1, 0).bit_length()  # balanced only in powers of two
    return sequence.random_base2(power)[:samples] < 0.5


def shapley(samples: int, num_features: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of a mask and its complement, none twice, as many of each size as there can be.

    Each size gets the same number of masks, or all that it has: small and large ones are few, and
    their rest goes to the middle. That is proportional to the leverage of a mask in KernelSHAP's
    regression; here the numbers are fixed instead of drawn.

    Reference: Musco and Witter 2025, "Provably Accurate Shapley Value Estimation via Leverage
    Score Sampling", ICLR; Covert and Lee 2021, "Improving KernelSHAP", AISTATS (pairs).

    Args, returns: as `hadamard`. At least two features.
    """
    pairs = -(-samples // 2)
    sizes = np.arange(1, num_features // 2 + 1)
    ends = 2 * sizes < num_features  # those whose complement has another size
    there = [math.comb(num_features, int(s)) // (1 if two else 2)
             for s, two in zip(sizes, ends, strict=True)]
    rounds, rest = divmod(pairs, sum(there))
    counts = _share_out(rest, np.minimum(there, pairs).astype(int), 1.0 + ends, rng)
    halves = [_draw_subsets(n, int(s), num_features, not two, rng)
              for n, s, two in zip(counts, sizes, ends, strict=True)]
    for _ in range(rounds):
        halves += [_draw_subsets(n, int(s), num_features, not two, rng)
                   for n, s, two in zip(there, sizes, ends, strict=True)]
    half = rng.permutation(np.concatenate(halves))
    return np.stack([half, ~half], axis=1).reshape(-1, num_features)[:samples]


def _share_out(total, limits, shares, rng):
    """Whole numbers up to `limits` that sum to `total`, else proportional to `shares`."""
    open_, found = np.ones(len(shares), bool), np.zeros(len(shares))
    while open_.any():
        left = total - found[~open_].sum()
        found[open_] = left * shares[open_] / shares[open_].sum()
        full = open_ & np.array([f >= n for f, n in zip(found, limits, strict=True)])
        if not full.any():
            break
        found[full] = [n for n, f in zip(limits, full, strict=True) if f]
        open_ &= ~full
    steps = np.floor(np.concatenate([[0.0], np.cumsum(found)]) + rng.random() + 1e-9)
    steps[-1] = steps[0] + total
    return [int(n) for n in np.diff(steps)]


def _draw_subsets(count, size, num_features, with_first, rng):
    """`count` different masks that keep `size` features; the first always, or any."""
    fixed = int(with_first)
    if 2 * count > math.comb(num_features - fixed, size - fixed):
        every = list(itertools.combinations(range(fixed, num_features), size - fixed))
        chosen = [every[i] for i in rng.choice(len(every), min(count, len(every)), replace=False)]
    else:
        chosen = {}
        while len(chosen) < count:
            one = rng.choice(num_features - fixed, size - fixed, replace=False) + fixed
            chosen[tuple(np.sort(one).tolist())] = None
    masks = np.zeros((len(chosen), num_features), bool)
    masks[:, :fixed] = True
    for mask, kept in zip(masks, chosen, strict=True):
        mask[list(kept)] = True
    return masks


def list_subsets(num_features: int) -> np.ndarray:
    """All `2 ** num_features` masks, the full one first and the empty one last."""
    subsets = np.arange(2**num_features - 1, -1, -1)[:, None]
    return (subsets >> np.arange(num_features) & 1).astype(bool)


def weigh_as_shapley(changes: np.ndarray) -> np.ndarray:
    """KernelSHAP's weight of each size of subset, shared out among the subsets of that size.

    Of all subsets these are KernelSHAP's weights up to a factor, and of subsets that were drawn
    evenly within each size they estimate the same. The full and the empty one get 0: they are
    constraints.

    Reference: Lundberg and Lee 2017, "A unified approach to interpreting model predictions",
    NeurIPS, theorem 2.

    Args:
        changes: `(N, S)`, 1 for a feature that is out.

    Returns:
        float `(N,)`.
    """
    size = changes.shape[1]
    out = np.rint(changes.sum(axis=1)).astype(int)
    inner = (out > 0) & (out < size)
    counts = np.bincount(out, minlength=size + 1)[out]
    out = np.where(inner, out, 1)
    return inner * (size - 1) / (counts * out * np.maximum(size - out, 1))


@dataclasses.dataclass(frozen=True)
class Exponential:
    """The paper's kernel: `exp(-distance**2 / width**2 / 2)`, `lime`'s square root included.

    Args:
        width: the distance at which a sample counts 0.61 of the input itself. By default 0.75 for
            `"l2"` and 0.25 for `"cosine"`, as in `lime`'s tables and texts.
        distance: `"l2"`, the root of the mean squared change of the features: of masks, the
            root of the fraction that is out (`lime` does not divide by the number of features, and
            multiplies its width by that number's root); or `"cosine"`, of masks
            `1 - sqrt(fraction kept)`.

    Raises:
        ValueError: an unknown distance, or a width that is not positive.

    Example:
        >>> Exponential(width=0.5)(np.array([[0.0, 0.0], [0.0, 1.0]])).round(3).tolist()
        [1.0, 0.368]
    """

    width: float | None = None
    distance: Literal["l2", "cosine"] = "l2"

    def __post_init__(self) -> None:
        if self.distance not in ("l2", "cosine"):
            raise ValueError(
                f"Expected `distance` to be 'l2' or 'cosine', received {self.distance!r}. For"
                " another one pass a callable as the kernel."
            )
        if self.width is not None and not self.width > 0:
            raise ValueError(
                f"Expected a kernel `width` above 0, received {self.width!r}. None takes 0.75 for"
                " 'l2' and 0.25 for 'cosine'."
            )

    def __call__(self, changes: np.ndarray) -> np.ndarray:
        """Weights `(N,)` of samples by their changes `(N, S)`: 0 as in the input, 1 taken out."""
        if self.distance == "cosine":
            distances = 1 - np.sqrt(np.mean(np.abs(changes) < 0.5, axis=1))
        else:
            distances = np.sqrt(np.mean(np.square(changes), axis=1))
        width = self.width or {"l2": 0.75, "cosine": 0.25}[self.distance]
        return np.exp(-np.square(distances / width) / 2)


def _odd_parity(numbers):
    """Whether an odd number of bits is set: entry (i, j) of a Hadamard matrix, for i & j."""
    for shift in (32, 16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return (numbers & 1).astype(bool)


SAMPLERS = {
    "hadamard": hadamard,
    "bernoulli": bernoulli,
    "uniform": uniform,
    "sobol": sobol,
}
