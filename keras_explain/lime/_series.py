"""A series and its parts, see `_subjects`."""

import dataclasses
from typing import Any

import numpy as np

from keras_explain.lime._packing import array_from_dict, array_to_dict, freeze
from keras_explain.lime._segments import DOMAINS, shape_of_places
from keras_explain.waveforms import LEAST


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesSubject:
    """A series and its segments of time, bands of frequency, or patches of both.

    Args:
        series: float32 `(T, F)`.
        segments: int32, the shape of `shape_of_places`; labels 0..S-1, -1 at padding.
        features: the names of the segments.
        domain: one of `DOMAINS`.
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
            "series": array_to_dict(self.series),
            "segments": array_to_dict(self.segments),
            "features": list(self.features),
            "domain": self.domain,
            "rate": self.rate,
            "channels": list(self.channels),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SeriesSubject":
        """The inverse of `to_dict`."""
        series, segments = array_from_dict(data["series"]), array_from_dict(data["segments"])
        features, channels = tuple(data["features"]), tuple(data["channels"])
        domain, rate = data["domain"], data["rate"]
        if not all(isinstance(name, str) for name in (*features, *channels)):
            raise ValueError("names that are no texts")
        if rate is not None and not (isinstance(rate, (int, float)) and 0 < rate < np.inf):
            raise ValueError(f"a rate of {rate!r:.60}")
        if series.dtype != np.float32 or not np.isfinite(series).all():
            raise ValueError(f"a series of {series.dtype} or of NaN")
        moments, count = series.shape
        if domain not in DOMAINS or domain == "spectrogram" and (count != 1 or moments < LEAST):
            raise ValueError(f"the domain {domain!r:.60} of a series of {series.shape}")
        places = shape_of_places(domain, moments, count)
        if segments.shape != places or count != len(channels) or (
                segments.dtype.kind != "i" or segments.min() < -1
                or segments.max() != len(features) - 1):
            raise ValueError(f"segments of shape {segments.shape} for a series of {series.shape}")
        return cls(series, segments, features, domain, rate, channels)
