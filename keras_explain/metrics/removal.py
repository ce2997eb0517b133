"""Sensitivity-n and infidelity: do the numbers of a heatmap add up to what removal costs?"""

import dataclasses
import functools
from typing import Literal

import numpy as np
from keras import ops

from keras_explain.checks import check_choice, check_integer, check_positive
from keras_explain.explainers._options import Baseline, Target
from keras_explain.metrics._filling import freeze
from keras_explain.metrics.evaluator import Asked, Evaluator
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Inputs, Score

SCALES = ("best", "raw")


@dataclasses.dataclass(frozen=True)
class _Removal:
    """The plan: random parts are hidden, the same for every image.

    Args:
        masks: function from (sizes, samples, size, seed) to bool (samples, *sizes).
    """

    masks: object
    samples: int
    size: object
    seed: int
    baseline: object

    def count(self, sizes):
        return self.samples

    def hide(self, sizes):
        return self.masks(tuple(sizes), self.samples, self.size, self.seed)

    def prepare(self, heatmap):
        return []

    def see(self, prepared, k, sizes):
        masks = ops.convert_to_tensor(self.hide(sizes))
        return ops.logical_not(ops.take(masks, k, axis=0))


def sensitivity_n(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    share: float = 0.2, patch_size: int | None = None, samples: int = 100,
    baseline: Baseline = None, score: Score = "logit", seed: int = 0, batch_size: int = 64,
    verbose: Verbose = "auto",
) -> np.ndarray:
    """Correlation of a subset's sum in the heatmap with what hiding the subset costs.

    Many random subsets of one size are hidden; if the heatmap holds contributions, the sums of
    its values in the subsets and the drops of the score lie on a line.

    Reference: Ancona et al. 2018, "Towards better understanding of gradient-based attribution
    methods for Deep Neural Networks", https://arxiv.org/abs/1711.06104.
    Direction: higher is better; 1 for exact contributions.
    Cost: `samples` + 1 forward passes per image.
    Weakness: it asks for additive contributions, which maps of another kind (saliency,
    Grad-CAM) do not claim to be; the answer depends on `share` and `baseline`.

    Args:
        share: the size of the subsets, as a share of the input (n in the paper, who sweep it).
        patch_size: side of the cells that subsets consist of. None: a sixteenth of the input's
            longest side, since to a network scattered pixels are noise. The paper's is 1.
        samples: number of subsets; the same ones for every image.
        seed: of the subsets.
        model, x, heatmaps, target, baseline, score, batch_size, verbose: see
            `deletion`.

    Returns:
        float64 of shape (N,); NaN where the map or the score is constant.
    """
    if not 0 < share < 1:
        raise ValueError(f"Expected `share` between 0 and 1, received {share!r}. 0.2 hides a fifth"
                         " of the input at a time.")
    side = None if patch_size is None else check_positive("patch_size", patch_size)
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    sums, drops = _sums_and_drops(_cells, evaluator, x, heatmaps, (float(share), side), samples,
                                  baseline, score, seed)
    sums, drops = (a - a.mean(axis=1, keepdims=True) for a in (sums, drops))
    scale = np.sqrt((sums**2).sum(axis=1) * (drops**2).sum(axis=1))
    return (sums * drops).sum(axis=1) / np.where(scale > 0, scale, np.nan)


def infidelity(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    patch_size: int | None = None, samples: int = 100, scale: Literal["best", "raw"] = "best",
    baseline: Baseline = None, score: Score = "logit", seed: int = 0, batch_size: int = 64,
    verbose: Verbose = "auto",
) -> np.ndarray:
    """Mean squared error of the heatmap as a prediction of what hiding random squares costs.

    Reference: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations",
    https://arxiv.org/abs/1901.09392, with "square removal" as perturbation and the heatmap read
    as contributions (attribution times input), one number per pixel.
    Direction: lower is better; 0 for exact contributions.
    Cost: `samples` + 1 forward passes per image.
    Weakness: in units of the score squared: compare methods on the same images, not models. The
    best factor (`scale`) hides a wrong size, and even a wrong sign, of the map.

    Args:
        patch_size: largest side of the squares, whose sides are drawn from 1 to it. None: a
            quarter of the input's longest side.
        samples: number of squares; the same ones for every image.
        scale: "best" multiplies each heatmap with the factor that serves it best, as the paper
            does because methods differ in unit; "raw" takes it as it is.
        seed: of the squares.
        model, x, heatmaps, target, baseline, score, batch_size, verbose: see
            `deletion`.

    Returns:
        float64 of shape (N,).
    """
    check_choice("scale", scale, SCALES)
    side = None if patch_size is None else check_positive("patch_size", patch_size)
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    sums, drops = _sums_and_drops(_boxes, evaluator, x, heatmaps, side, samples, baseline, score,
                                  seed)
    if scale == "best":
        squares = (sums**2).sum(axis=1, keepdims=True)
        sums = sums * (sums * drops).sum(axis=1, keepdims=True) / np.where(squares > 0, squares, 1)
    return ((sums - drops) ** 2).mean(axis=1)


def _sums_and_drops(masks, evaluator, x, heatmaps, size, samples, baseline, score, seed):
    """For each image and random part: its sum in the heatmap, and the score lost without it."""
    samples, seed = check_positive("samples", samples), check_integer("seed", seed, 0)
    values, heatmaps, request = evaluator.data(x, heatmaps)
    plan = _Removal(masks, samples, size, seed, freeze(baseline, evaluator, score))
    scores = evaluator.scores(plan, values, heatmaps, request, score).astype("float64")
    hidden = plan.hide(heatmaps.shape[1:]).reshape(samples, -1)
    sums = heatmaps.reshape(len(heatmaps), -1).astype("float64") @ hidden.T
    return sums, scores[:, :1] - scores[:, 1:]


@functools.lru_cache(maxsize=4)
def _cells(sizes, samples, size, seed):
    """Random subsets of the cells of a grid, each of the same number of cells."""
    share, side = size
    side = side or max(1, max(sizes) // 16)
    grid = [-(-n // side) for n in sizes]
    cells = int(np.prod(grid))
    rank = np.random.default_rng(seed).random((samples, cells)).argsort(axis=1)
    masks = (rank < max(1, round(share * cells))).reshape(samples, *grid)
    for axis, n in enumerate(sizes, start=1):
        masks = np.take(masks, np.arange(n) // side, axis=axis)
    return masks


@functools.lru_cache(maxsize=4)
def _boxes(sizes, samples, size, seed):
    """Random boxes of equal sides, wholly inside where they fit."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(1, (size or max(1, max(sizes) // 4)) + 1, samples)
    masks = np.ones((samples, *[1] * len(sizes)), bool)
    for axis, n in enumerate(sizes, start=1):
        start = np.floor(rng.random(samples) * (np.maximum(n - sides, 0) + 1))
        pixel = np.arange(n)
        inside = (pixel >= start[:, None]) & (pixel < (start + sides)[:, None])
        masks = masks & inside.reshape(samples, *[n if a == axis else 1
                                                  for a in range(1, len(sizes) + 1)])
    return masks
