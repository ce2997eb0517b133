"""What was explained: an image, a text, a row of a table or a series, with its parts.

Every subject has `features`, the names of its parts in the order of an explanation's weights;
`spread(weights)`, the weights in the subject's own shape; `key(index)`, what makes a part of one
input comparable with a part of another; and `to_dict()`/`from_dict()` for JSON.
"""

import base64
import dataclasses
from typing import Any

import numpy as np


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
            "image": _array_to_dict(self.image),
            "segments": _array_to_dict(self.segments),
            "channels": self.channels,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ImageSubject":
        """The inverse of `to_dict`."""
        image, segments = _array_from_dict(data["image"]), _array_from_dict(data["segments"])
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


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesSubject:
    """A series and its segments of time, or bands of frequency.

    Args:
        series: float32 `(T, F)`.
        segments: int32 `(T, F)`, in frequency `(T // 2 + 1, F)`; labels 0..S-1, -1 at padding.
        features: the names of the segments.
        domain: `"time"` or `"frequency"`.
        rate: moments in a second, or `None`.
        channels: their names.
    """

    series: np.ndarray
    segments: np.ndarray
    features: tuple[str, ...]
    domain: str
    rate: float | None
    channels: tuple[str, ...]

    kind = "series"

    def __post_init__(self):
        object.__setattr__(self, "series", freeze(self.series))
        object.__setattr__(self, "segments", freeze(self.segments))

    @property
    def curves(self) -> np.ndarray:
        """What has a weight at each place: the series, or the amplitudes of its frequencies."""
        if self.domain == "time":
            return self.series
        return np.abs(np.fft.rfft(self.series - self.series.mean(0), axis=0)).astype(np.float32)

    @property
    def places(self) -> np.ndarray:
        """Where these lie, float64: moments or cycles, seconds or Hz where there is a rate."""
        step = 1.0 if self.rate is None else 1 / self.rate
        if self.domain == "time":
            return np.arange(len(self.series)) * step
        places = np.fft.rfftfreq(len(self.series), step)
        return places * len(self.series) if self.rate is None else places

    @property
    def unit(self) -> str:
        """What `places` are counted in."""
        plain, timed = {"time": ("moments", "time in seconds"),
                        "frequency": ("cycles in the series", "frequency in Hz")}[self.domain]
        return plain if self.rate is None else timed

    def spread(self, weights: Any) -> np.ndarray:
        """float32 of the segments' shape: the weight of each place's segment, 0 at padding."""
        weights = np.append(np.asarray(weights, np.float32), np.float32(0))
        return weights[self.segments]

    def key(self, index: int) -> str:
        """The segment's name: the same time, or frequency, of the same channel."""
        return self.features[index]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            "kind": self.kind,
            "series": _array_to_dict(self.series),
            "segments": _array_to_dict(self.segments),
            "features": list(self.features),
            "domain": self.domain,
            "rate": self.rate,
            "channels": list(self.channels),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SeriesSubject":
        """The inverse of `to_dict`."""
        series, segments = _array_from_dict(data["series"]), _array_from_dict(data["segments"])
        features, channels = tuple(data["features"]), tuple(data["channels"])
        domain, rate = data["domain"], data["rate"]
        if not all(isinstance(name, str) for name in (*features, *channels)):
            raise ValueError("names that are no texts")
        if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < np.inf):
            raise ValueError(f"a rate of {rate!r:.60}")
        if series.dtype != np.float32 or not np.isfinite(series).all():
            raise ValueError(f"a series of {series.dtype} or of NaN")
        moments, count = series.shape
        places = {"time": moments, "frequency": moments // 2 + 1}[domain]
        if segments.shape != (places, count) or count != len(channels) or (
                segments.dtype.kind != "i" or segments.min() < -1
                or segments.max() != len(features) - 1):
            raise ValueError(f"segments of shape {segments.shape} for a series of {series.shape}")
        return cls(series, segments, features, domain, rate, channels)


SUBJECTS = {cls.kind: cls for cls in (ImageSubject, TextSubject, TabularSubject, SeriesSubject)}


def freeze(array: Any) -> np.ndarray:
    """A read-only copy."""
    array = np.array(array)
    array.setflags(write=False)
    return array


def _array_to_dict(array):
    contiguous = np.ascontiguousarray(array)
    return {
        "dtype": contiguous.dtype.name,
        "shape": list(contiguous.shape),
        "base64": base64.b64encode(contiguous.tobytes()).decode("ascii"),
    }


def _array_from_dict(data):
    flat = np.frombuffer(base64.b64decode(data["base64"], validate=True), np.dtype(data["dtype"]))
    if flat.dtype.kind not in "fiub":
        raise ValueError(f"an array of {flat.dtype}")
    return flat.reshape(data["shape"])
