"""`craft`: which parts that recur in images of a class does the class use?"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_explain.checks import check_per_axis, check_positive
from keras_explain.concepts._crops import cut, enlarge, place_crops
from keras_explain.concepts._layer import ConceptLayer
from keras_explain.concepts._sobol import design, total_indices
from keras_explain.data.batches import to_numpy
from keras_explain.progress import Progress, Verbose
from keras_explain.signatures import Array

SHOWN = 6  # crops of a concept
PART = 3  # the side of a crop, as a part of the image's


@dataclasses.dataclass(frozen=True, eq=False)
class Concepts:
    """Parts that recur in images of a class, the most important first.

    Args:
        importance: (concepts,), the total Sobol index of each, the mean over the images: the share
            of what the score varies by that needs this concept. They sum to 1 where concepts act
            each for itself, and to more where they act together.
        errors: (concepts,), the standard errors of these means over the images.
        directions: (concepts, channels), each of length 1, in the channels of the layer.
        coefficients: (N, h, w, concepts), how much of each is where in each image.
        crops: (concepts, shown, height, width, channels), the crops that show most of each.
        rows: (concepts, shown), which images they are from.
        explained: (N,), the share of each image's activations, squared, that concepts make up.
        x: the images, channels last.
        target: the class.
        layer: the path of the layer.
        lay_over: from maps (N, h, w) to maps of the images' size.
    """

    importance: Array
    errors: Array
    directions: Array
    coefficients: Array
    crops: Array
    rows: Array
    explained: Array
    x: Array
    target: Any
    layer: str
    lay_over: Callable[..., Any] = dataclasses.field(repr=False)

    def heatmaps(self, concept: int, *, rows: Sequence[int] | None = None) -> np.ndarray:
        """Where a concept is in the images, (N, H, W).

        Args:
            concept: its place in the ranking.
            rows: of which images; None: of all.
        """
        found = self.coefficients[..., concept]
        return self.lay_over(found if rows is None else found[list(rows)])


def craft(
    model: keras.Model, x: Array, *, target: Any = None, layer: Any = None, count: int = 10,
    patch_size: int | Sequence[int] | None = None, crops: int = 10, samples: int = 32,
    seed: int = 0, batch_size: int = 64, verbose: Verbose = "auto",
) -> Concepts:
    """Find the concepts of a class: what recurs in its images, and how much the score needs it.

    A heatmap tells where evidence lies; a concept is what lies there, the same in many images.
    Random crops of the images are read at a layer, their activations are taken apart into few
    directions that only add up (non-negative matrix factorization), and each of these is taken
    from the images in part, at random, to see how the score follows (total Sobol indices).

    Args:
        model: a built `keras.Model` of one image.
        x: (N, H, W, C) images of the class, in the model's data format; some dozens or hundreds.
        target: the class; None: the one that most of `x` are called. Or a callable.
        layer: name, path or layer; None: the last feature map. Its numbers below zero count as
            zero: take the layer behind an activation.
        count: how many concepts, at most.
        patch_size: side of the crops in pixels; None: a third of the image's.
        crops: how many of each image.
        samples: points of the design at which the score is asked, (count + 2) times each.
        seed: of the crops, the factorization and the design.
        batch_size: examples of a forward pass. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `Concepts`, the most important first; `plots.concepts` draws it.

    Raises:
        ValueError: no images, a model of something else than one image, or activations that are
            nowhere above zero.

    Reference: Fel et al. 2023, "CRAFT: Concept Recursive Activation FacTorization for
    Explainability", https://arxiv.org/abs/2211.10154.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([
        ...     keras.Input((12, 12, 3)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
        >>> found = craft(model, np.random.rand(5, 12, 12, 3), target=1, count=2, verbose=0)
        >>> found.importance.shape, found.crops.shape, found.heatmaps(0).shape
        ((2,), (2, 5, 4, 4, 3), (5, 12, 12))
    """
    count, crops = check_positive("count", count), check_positive("crops", crops)
    samples, batch_size = (check_positive("samples", samples),
                           check_positive("batch_size", batch_size))
    x = to_numpy(x)
    if x.ndim not in (3, 4) or not len(x):
        raise ValueError(f"Expected images of shape (N, H, W, C), received shape {x.shape}. Pass"
                         " some images of the class.")
    inside, rng = ConceptLayer(model, layer, target, x, batch_size), np.random.default_rng(seed)
    images = inside.last(x)
    sizes = images.shape[1:3]
    side = _check_side(patch_size, sizes)
    rows = np.repeat(np.arange(len(x)), crops)
    corners = place_crops(len(x), sizes, side, crops, rng)
    pooled, maps = [], []
    progress = Progress(len(rows) + len(x), "concepts", verbose)
    for part in _parts(len(rows), batch_size):
        large = enlarge(cut(images, rows[part], corners[part], side), sizes)
        pooled.append(inside.read(_like(x, large)).mean(axis=(1, 2)))
        progress.advance(len(large))
    for part in _parts(len(x), batch_size):
        maps.append(inside.read(x[part]))
        progress.advance(len(maps[-1]))
    progress.close()
    pooled, maps = np.concatenate(pooled), np.concatenate(maps)
    amounts, directions = _factorize(pooled, count, seed, inside.explainer.layer_path)
    coefficients = _project(maps, directions)
    importance = _measure(inside, x, coefficients, directions, samples, seed, batch_size, verbose)
    order = np.argsort(-importance.mean(axis=0), kind="stable")
    best = np.stack([_choose_crops(amounts[:, i], rows) for i in order])
    rest = maps - coefficients @ directions
    whole = (maps**2).sum(axis=(1, 2, 3))
    left = np.divide((rest**2).sum(axis=(1, 2, 3)), whole, out=np.ones_like(whole),
                     where=whole > 0)
    return Concepts(
        importance.mean(axis=0)[order], importance.std(axis=0)[order] / np.sqrt(len(x)),
        directions[order], coefficients[..., order],
        np.stack([cut(images, rows[b], corners[b], side) for b in best]), rows[best], 1 - left,
        images, inside.target, inside.explainer.layer_path,
        lambda found: inside.lay_over(found, sizes))


def _parts(count, size):
    return [slice(i, i + size) for i in range(0, count, size)]


def _like(x, images):
    """Images with channels last, as the model takes them."""
    if x.ndim == 3:
        return images[..., 0]
    return images if images.shape[1:] == x.shape[1:] else np.moveaxis(images, -1, 1)


def _check_side(patch_size, sizes):
    if patch_size is None:
        return tuple(max(1, n // PART) for n in sizes)
    side = check_per_axis("patch_size", patch_size, "It is the side of the crops in pixels.")
    side = side * 2 if len(side) == 1 else side
    if len(side) != 2 or any(s > n for s, n in zip(side, sizes, strict=True)):
        raise ValueError(f"Expected `patch_size` to fit into images of {sizes}, received"
                         f" {patch_size}. A third of the side is usual.")
    return side


def _factorize(pooled, count, seed, name):
    """Amounts (crops, concepts) and directions (concepts, channels), both at least zero."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    used = pooled.any(axis=0)
    if not used.any():
        raise ValueError(
            f"Expected activations above zero at layer {name!r}, received none in any crop. Name"
            " another layer with `layer=`, or make crops larger with `patch_size=`.")
    count = min(count, int(used.sum()), len(pooled))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = NMF(count, init="nndsvda", max_iter=500, random_state=seed)
        amounts = found.fit_transform(pooled)
    length = np.sqrt((found.components_**2).sum(axis=1))
    alive = length > 0
    return amounts[:, alive] * length[alive], (found.components_[alive] / length[alive, None])


def _project(maps, directions):
    """Coefficients (N, h, w, concepts) of activations (N, h, w, channels), at least zero."""
    from sklearn.decomposition import non_negative_factorization
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found, _, _ = non_negative_factorization(
            maps.reshape(-1, maps.shape[-1]), H=directions.astype(maps.dtype), update_H=False,
            n_components=len(directions), init=None, max_iter=500)
    return found.reshape(*maps.shape[:3], -1).astype("float32")


def _measure(inside, x, coefficients, directions, samples, seed, batch_size, verbose):
    """Total indices (N, concepts) of concepts taken away in part."""
    masks = design(len(directions), samples, seed).astype("float32")
    score = inside.make_score(directions, coefficients.shape[1:3])
    each, progress = max(1, batch_size // len(masks)), Progress(len(x), "importance", verbose)
    answers = []
    for part in _parts(len(x), each):
        n = len(x[part])
        answers.append(np.concatenate([
            score(x[part], coefficients[part], np.repeat(masks[None, some], n, axis=0))
            for some in _parts(len(masks), max(1, batch_size // n))], axis=1))
        progress.advance(n)
    progress.close()
    return total_indices(np.concatenate(answers), len(directions))


def _choose_crops(amounts, rows):
    """The crops with most of a concept, one of each image before any second."""
    order = np.argsort(-amounts, kind="stable")
    _, first = np.unique(rows[order], return_index=True)
    again = np.ones(len(order), bool)
    again[first] = False
    return order[np.argsort(again, kind="stable")][: min(SHOWN, len(first))]
