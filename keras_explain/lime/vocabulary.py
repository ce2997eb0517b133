"""Superpixels of different images made comparable: a vocabulary of what they look like."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_explain.checks import check_positive
from keras_explain.lime._subjects import ImageSubject


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Clusters of superpixels that look alike, which `submodular_pick` uses as features of images.

    Superpixel 7 of one image has nothing to do with superpixel 7 of another; "grass" may occur in
    both. The paper proposes color histograms or other features of superpixels for this.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you?", KDD, section 4.

    Args:
        num_words: the number of clusters, fewer where there are fewer superpixels.
        describe: from an image and its segments `(H, W)` to features `(S, values)` whose
            distances mean something, such as a network's feature map averaged over each
            superpixel. By default `describe_superpixels`: color and texture.
        seed: of k-means.

    Raises:
        ValueError: `num_words` below 1.
        TypeError: `describe` is not callable.
    """

    num_words: int = 32
    describe: Callable[..., Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("num_words", self.num_words, "Some tens suit most collections.")
        if self.describe is not None and not callable(self.describe):
            raise TypeError(
                "Expected `describe` to be a callable from an image and its segments to features"
                f" (S, values), received {self.describe!r}. None describes color and texture."
            )

    def assign(self, subjects: Sequence[ImageSubject]) -> list[np.ndarray]:
        """The cluster of every superpixel.

        Args:
            subjects: a list of `ImageSubject`.

        Returns:
            A list of int arrays `(S,)`, one for each subject.

        Raises:
            ValueError: `describe` returns another shape, or values that are not finite.
        """
        from sklearn.cluster import KMeans

        tables = [self._describe(subject) for subject in subjects]
        rows = np.concatenate(tables)
        count = min(self.num_words, len(np.unique(rows, axis=0)))
        labels = KMeans(count, n_init=4, random_state=self.seed).fit_predict(rows)
        return np.split(labels, np.cumsum([len(table) for table in tables])[:-1])

    def _describe(self, subject):
        describe = self.describe or describe_superpixels
        features = np.asarray(describe(subject.picture, subject.segments), float)
        size = len(subject.features)
        if features.ndim != 2 or len(features) != size or not np.isfinite(features).all():
            raise ValueError(
                f"Expected `describe` to return finite features ({size}, D), received shape"
                f" {features.shape}. Give each superpixel one row."
            )
        return features


def describe_superpixels(image: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Color and texture of each superpixel, in units in which color counts most.

    Args:
        image: `(H, W)` or `(H, W, C)`, as for `images.to_uint8`.
        segments: int `(H, W)`, labels 0..S-1.

    Returns:
        float `(S, 10)`: mean of lightness, green-red and blue-yellow in steps of 20; their standard
        deviations in steps of 40; and, inside the superpixel, the mean change of lightness in four
        directions.
    """
    import cv2

    from keras_explain.images import to_uint8

    rgb = to_uint8(image).astype(np.float32) / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    dx, dy = (cv2.Sobel(lab[..., 0], cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    flat, neighbors = segments.ravel(), np.ones((3, 3), np.uint8)
    labels = segments.astype(np.float32)
    inside = cv2.dilate(labels, neighbors) == cv2.erode(labels, neighbors)
    angle, slope = np.arctan2(dy, dx), np.hypot(dx, dy) * inside
    turned = [slope * np.square(np.cos(angle - k * np.pi / 4)) for k in range(4)]

    def mean(layers):
        sums = np.stack([np.bincount(flat, layer.ravel()) for layer in layers], axis=1)
        return sums / np.bincount(flat)[:, None]

    colors = np.moveaxis(lab, -1, 0).astype(float)
    center = mean(colors)
    spread = np.sqrt(np.maximum(mean(np.square(colors)) - np.square(center), 0))
    return np.concatenate([center / 20, spread / 40, mean(turned) / 100], axis=1)
