"""What was explained: an image, a text, a row of a table or a series, with its parts.

Every subject has `features`, the names of its parts in the order of an explanation's weights;
`spread(weights)`, the weights in the subject's own shape; `key(index)`, what makes a part of one
input comparable with a part of another; and `to_dict()`/`from_dict()` for JSON.
"""

import dataclasses
from typing import Any

import numpy as np

from keras_explain.lime._packing import array_from_dict, array_to_dict, freeze
from keras_explain.lime._series import SeriesSubject


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSubject:
    """An image and its superpixels.

    Args:
        image: as it was given, `(H, W)`, `(H, W, C)` or `(C, H, W)`.
        segments: int32 `(H, W)`, labels 0..S-1.
        channels: the axis of the channels in `image`: -1, 0, or `None` without.
    """

    image: np.ndarray
    segments: np.ndarray
    channels: int | None = -1

    kind = "image"

    def __post_init__(self):
        object.__setattr__(self, "image", freeze(self.image))
        object.__setattr__(self, "segments", freeze(self.segments))

    @property
    def features(self) -> tuple[str, ...]:
        """`("superpixel 0", ...)`."""
        return tuple(f"superpixel {i}" for i in range(int(self.segments.max()) + 1))

    @property
    def picture(self) -> np.ndarray:
        """The image with channels last, `(H, W)` or `(H, W, C)`."""
        return np.moveaxis(self.image, 0, -1) if self.channels == 0 else self.image

    def spread(self, weights: Any) -> np.ndarray:
        """float32 `(H, W)`: each pixel has the weight of its superpixel."""
        return np.asarray(weights, np.float32)[self.segments]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "kind": self.kind,
            "image": array_to_dict(self.image),
            "segments": array_to_dict(self.segments),
            "channels": self.channels,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ImageSubject":
        """The inverse of `to_dict`."""
        image, segments = array_from_dict(data["image"]), array_from_dict(data["segments"])
        channels = data["channels"]
        if channels not in (None, 0, -1) or image.ndim != 2 + (channels is not None):
            raise ValueError(f"channels {channels!r:.60} of an image of shape {image.shape}")
        sizes = image.shape[1:] if channels == 0 else image.shape[:2]
        if segments.shape != sizes or segments.dtype.kind not in "iu" or segments.min() < 0:
            raise ValueError(f"segments of shape {segments.shape} for an image of {sizes}")
        return cls(image, segments, channels)


@dataclasses.dataclass(frozen=True, eq=False)
class TextSubject:
    """A text and its words.

    Args:
        text: as it was given.
        words: the features, one for each different word, or one for each position.
        spans: `(start, end, feature)` of each occurrence, in order.
    """

    text: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int, int], ...]

    kind = "text"

    @property
    def features(self) -> tuple[str, ...]:
        """The words."""
        return self.words

    def spread(self, weights: Any) -> np.ndarray:
        """float32 `(T,)`: one weight for each occurrence of a word, in the text's order."""
        return np.asarray(weights, np.float32)[[feature for _, _, feature in self.spans]]

    def key(self, index: int) -> str:
        """The word itself."""
        return self.words[index]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "kind": self.kind,
            "text": self.text,
            "words": list(self.words),
            "spans": [list(span) for span in self.spans],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TextSubject":
        """The inverse of `to_dict`."""
        text, words = data["text"], tuple(data["words"])
        spans = tuple((start, end, feature) for start, end, feature in data["spans"])
        if not all(isinstance(t, str) for t in (text, *words)) or not all(
                all(isinstance(n, int) for n in span)
                and 0 <= span[0] <= span[1] <= len(text) and 0 <= span[2] < len(words)
                for span in spans):
            raise ValueError("words that are not in the text")
        return cls(text, words, spans)


@dataclasses.dataclass(frozen=True, eq=False)
class TabularSubject:
    """A row of a table.

    Args:
        features: what each weight belongs to: `"28 < age <= 37"`, `"color = red"`, or `"age"`
            where the weight is the effect of one standard deviation.
        columns: the table's feature behind each: `"age"`, `"color"`.
        values: the row's value of each: `35`, `"red"`.
    """

    features: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[Any, ...]

    kind = "tabular"

    def spread(self, weights: Any) -> np.ndarray:
        """float32 `(F,)`."""
        return np.asarray(weights, np.float32)

    def key(self, index: int) -> str:
        """The table's feature, whatever its value."""
        return self.columns[index]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "kind": self.kind,
            "features": list(self.features),
            "columns": list(self.columns),
            "values": list(self.values),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TabularSubject":
        """The inverse of `to_dict`."""
        features, columns, values = (tuple(data[k]) for k in ("features", "columns", "values"))
        if not len(features) == len(columns) == len(values) or not all(
                isinstance(name, str) for name in (*features, *columns)):
            raise ValueError(f"{len(features)} features of {len(columns)} columns")
        if not all(v is None or isinstance(v, (str, int)) or isinstance(v, float)
                   and np.isfinite(v) for v in values):
            raise ValueError("values that are no numbers or texts")
        return cls(features, columns, values)


SUBJECTS = {cls.kind: cls for cls in (ImageSubject, TextSubject, TabularSubject, SeriesSubject)}
