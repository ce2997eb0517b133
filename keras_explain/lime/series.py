"""LIME for series: which moments and frequencies of which channel speak for a class."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, Unpack

import numpy as np
from keras import KerasTensor, ops

from keras_explain.checks import check_choice
from keras_explain.engine import baselines, hiding
from keras_explain.graph.axes import space_axes
from keras_explain.graph.padding import find_padding
from keras_explain.lime._arguments import Arguments
from keras_explain.lime._base import LimeExplainer, make_explanation
from keras_explain.lime._filling import average
from keras_explain.lime._hiding import hide
from keras_explain.lime._inputs import pad
from keras_explain.lime._local import Problem
from keras_explain.lime._options import ExplainerOptions, ExplainOptions
from keras_explain.lime._segments import DOMAINS, check_segments, name_segments, split
from keras_explain.lime._subjects import SeriesSubject
from keras_explain.lime.explanation import Explanation
from keras_explain.signatures import spell_out

_OF_BANDS = ("mean", "zero", "noise")


class LimeSeriesExplainer(LimeExplainer):
    """Explains a model of series by the segments of time, or bands of frequency, that it goes by.

    Each part lies in one channel and is hidden by what that channel is like. In time it is cut
    out: the cue is *when*. In frequency it is filtered out of the whole series: the cue is *how
    fast*, such as a tone, a tremor or a season. In the spectrogram of a sound it is both. Needs
    nothing but scores, so it works for every model, recurrent ones included.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you? Explaining the
    predictions of any classifier", KDD, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model of series `(N, T, F)` or `(N, T)`, a callable from such a batch to
            scores `(N, classes)`, or a `Predictor`.
        domain: `"time"`, `"frequency"`, or `"spectrogram"` for waveforms of one channel.
        segments: how many parts each channel has, of equal length or width, or bands and frames
            of a spectrogram, such as `(8, 10)`; or labels of moments `(T,)`, which hide all
            channels together, or `(T, F)`; in frequency of the `K = T // 2 + 1` frequencies of
            `numpy.fft.rfftfreq`, `(K,)` or `(K, F)`; or a callable from a series `(T, F)` to
            labels.
        baseline: what replaces a part: `"mean"` of its channel over time; `"inpaint"`, which
            interpolates from the moments around it; `"blur"`; `"noise"` of the channel's mean and
            deviation; a number or an array `(F,)` or `(T, F)`; `"several"`, the mean of these
            words; or background rows `(rows, T, F)`: each perturbed series draws one,
            `kernel="shapley"` averages over them. The same frequencies of it replace a band;
            there `"blur"`, `"inpaint"` and `"several"` make no sense.
        rate: moments in a second; names of parts are in seconds and Hz then.
        feature_names: of the channels.
        preprocess: from a batch of series like the explained one to the model's input.
        batch_size: the largest number of series that the model sees at once.
        **options: those of `ExplainerOptions`.

    Raises:
        TypeError, ValueError: an argument is none of the above.

    Example:
        >>> import numpy as np
        >>> from keras_explain.lime import LimeSeriesExplainer
        >>> peak = lambda series: 5 * series[:, 6, 1]  # the score is one moment of one channel
        >>> series = np.sin(np.arange(24).reshape(12, 2))
        >>> explainer = LimeSeriesExplainer(peak, segments=4, baseline=0.0)
        >>> explanation = explainer.explain(series, target=0)
        >>> explanation.top(1)[0].name, explanation.heatmap().shape
        ('channel 1, 6 to 9', (12, 2))
    """

    @spell_out(LimeExplainer)
    def __init__(
        self,
        model: Any,
        *,
        domain: Literal["time", "frequency", "spectrogram"] = "time",
        segments: Any = 10,
        baseline: Any = "mean",
        rate: float | None = None,
        feature_names: Sequence[str] | None = None,
        preprocess: Callable[..., Any] | None = None,
        batch_size: int = 32,
        **options: Unpack[ExplainerOptions],
    ) -> None:
        super().__init__(model, preprocess, num_features=None, batch_size=batch_size,
                         distance="l2", default_surrogate="highest_weights", **options)
        check_choice("domain", domain, DOMAINS)
        self._domain, self._segments = domain, check_segments(segments, domain)
        self._baseline = _check_word(baseline, domain)
        if rate is not None and not (np.isscalar(rate) and np.isfinite(rate) and rate > 0):
            raise ValueError(
                f"Expected `rate` to be the number of moments in a second, received {rate!r}. Such"
                " as 16000 for sound; leave it out where moments are just counted."
            )
        self._rate = rate
        self._names = None if feature_names is None else tuple(map(str, feature_names))
        self._compiled = {}  # functions by predictor, fills and sigma
        self._check_model()

    def __getstate__(self):
        return {**vars(self), "_compiled": {}}

    @spell_out(Arguments)
    def explain(
        self, x: Any, *, samples: int = 1000, **options: Unpack[ExplainOptions]
    ) -> Explanation:
        """Explain one series.

        Args:
            x: a series `(T, F)` or `(T,)` as the model, or `preprocess`, takes it; with or without
                a batch axis of 1. Padding that the model masks stays, and gets 0.
            samples: how many perturbed series the model sees, the series itself included. Where
                all subsets of the parts are fewer, each is tried once.
            **options: those of `ExplainOptions`.

        Returns:
            An `Explanation`; its heatmap has the shape `(T, F)`, in frequency `(K, F)`, of a
            spectrogram that which `audio.keep` and `plots.spectrogram` take.

        Raises:
            TypeError, ValueError: the series does not fit the model, holds NaN, or an argument is
                none of the above; scores that are not finite.
        """
        arguments = self._check_arguments(samples, **options)
        predictor = self._predictor_for(arguments)
        self._compiled = {key: made for key, made in self._compiled.items()
                          if key[0] in (self._predictor, predictor)}
        series, shape = self._check_series(x)
        data = self._find_data(series.reshape(shape))
        labels = split(self._segments, series, self._domain, data)
        subject = SeriesSubject(series, labels, self._name(labels, series), self._domain,
                                self._rate, self._name_channels(series.shape[1]))
        results = []
        for fills in self._make_fills(series.shape):
            scores = self._make_scores(predictor, fills, subject, shape, data, arguments)
            problem = Problem(subject.features, scores, what="segment",
                              repeatable=len(fills) == 1 or self._local.is_shapley,
                              is_ambiguous=predictor.is_ambiguous)
            results.append(self._local.explain(problem, arguments))
        return make_explanation(subject, average(results), arguments)

    def _check_model(self):
        """Refuse models of what is no series."""
        shape, dtype = self._predictor.input_spec
        if shape is None or self._predictor.preprocess is not None:
            return
        if len(shape) not in (2, 3) or dtype == "string":
            raise ValueError(
                f"Expected a model of series, (N, T, F) or (N, T), received {self._predictor.name}"
                f" that takes {dtype} of shape {shape}. Pass `preprocess`, or use"
                " LimeImageExplainer or LimeTextExplainer."
            )
        program = self._predictor.program
        if program is not None and space_axes(program, program.inputs[0])[0] != 1:
            raise ValueError(
                f"Expected a model of series with time first, (N, T, F), received"
                f" {self._predictor.name} whose channels come first. Pass series (T, F) and"
                " preprocess=lambda x: keras.ops.transpose(x, (0, 2, 1))."
            )

    def _check_series(self, x):
        """float32 `(T, F)`, and the shape in which the model takes it."""
        series = np.asarray(x)
        known = self._predictor.input_spec[0] if self._predictor.preprocess is None else None
        if series.dtype.kind not in "fiub":
            raise TypeError(f"Expected a series of numbers, received {series.dtype}. Encode it.")
        rank = 2 if known is None else len(known) - 1
        if series.ndim == rank + 1 and len(series) == 1:
            series = series[0]
        if known is not None and series.ndim == 1 and known[-1] == 1 and rank == 2:
            series = series[:, None]
        elif known is not None and rank == 1 and series.ndim == 2 and series.shape[1] == 1:
            series = series[:, 0]
        fits = series.ndim in (1, 2) if known is None else series.ndim == rank and all(
            wanted in (None, size) for wanted, size in zip(known[1:], series.shape, strict=True))
        if not fits or len(series) < 2:
            wanted = "(T,) or (T, F)" if known is None else str(tuple(known[1:]))
            raise ValueError(
                f"Expected one series of shape {wanted}, received {series.shape}. Give one example:"
                " x[0]; with `preprocess` where the model takes another shape."
            )
        if not np.isfinite(series).all():
            raise ValueError(
                "Expected a series of finite numbers, received NaN or infinity. Fill gaps first.")
        return series.astype(np.float32).reshape(len(series), -1), series.shape

    def _find_data(self, series):
        """bool `(T,)`, False at padding that the model masks; `None` without any."""
        program = self._predictor.program
        if program is None or self._predictor.preprocess is not None:
            return None
        find = find_padding(program, program.inputs[0])
        if find is None:
            return None
        data = ops.convert_to_numpy(find([ops.convert_to_tensor(series[None])]))[0]
        if not data.any():
            raise ValueError(
                "Expected a series with data, received one of nothing but padding, which the model"
                " masks. Leave it out."
            )
        return data

    def _name_channels(self, count):
        if self._names is None:
            return tuple(f"channel {i}" for i in range(count))
        if len(self._names) != count:
            raise ValueError(
                f"Expected {count} `feature_names`, one for each channel, received"
                f" {len(self._names)}. Name each channel.")
        return self._names

    def _name(self, labels, series):
        names = self._name_channels(series.shape[1])
        return name_segments(labels, self._domain, len(series), names, self._rate)

    def _make_fills(self, shape):
        """What stands in: a tuple of fills for each explanation of which the mean is taken."""
        spec = KerasTensor((None, *shape), "float32")
        given = self._baseline
        if not isinstance(given, str):
            given = np.asarray(given, np.float32)
            if given.ndim and given.ndim < 3 and given.shape[-1:] != shape[-1:] and shape[1] == 1:
                given = given[..., None]  # a waveform, or rows of them
        checked = baselines.draw_rows(hiding.check("baseline", given, spec, of_parts=True), spec)
        fills = hiding.split(checked, spec)
        if isinstance(checked, str):
            return [(fill,) for fill in fills]
        return [tuple(np.broadcast_to(fill, shape) for fill in fills)]

    def _make_scores(self, predictor, fills, subject, shape, data, arguments):
        """The function of a `Problem`: masks of segments to scores."""
        size, labels = self._local.batch_size, subject.segments
        series = subject.series[None]
        data = np.ones((1, series.shape[1]), bool) if data is None else data[None]
        parts = max(len(subject.features) // series.shape[2], 1)
        compose, compiled = self._compile(
            predictor, fills, max(1.0, series.shape[1] / parts / 2), series, shape)
        rng = np.random.default_rng([arguments.seed, 1])
        drawn = rng.integers(len(fills), size=arguments.samples).astype(np.int32)
        # widths in powers of two: series of other numbers of segments share the trace
        width = max(64, 1 << (len(subject.features) - 1).bit_length())

        def run(masks, which):
            count = len(masks)
            masks = np.pad(pad(masks, size), ((0, 0), (0, width - masks.shape[1])))
            which = pad(which, size)
            if compiled is not None:
                return predictor.fetch(compiled(masks, which, series, labels, data), count)
            made = ops.convert_to_numpy(compose(masks, which, series, labels, data))
            return predictor(made[:count], size)

        def scores(masks, start):
            if not self._local.is_shapley:
                return run(masks, drawn[start : start + len(masks)])
            masks = np.repeat(masks, len(fills), axis=0)
            which = np.arange(len(masks), dtype=np.int32) % len(fills)
            found = np.concatenate([run(masks[i : i + size], which[i : i + size])
                                    for i in range(0, len(masks), size)])
            return found.reshape(-1, len(fills), found.shape[1]).mean(axis=1, dtype=np.float64)

        return scores

    def _compile(self, predictor, fills, sigma, series, shape):
        """From masks to perturbed series, and to scores; `None` where that cannot be compiled."""
        key = predictor, fills if isinstance(fills[0], str) else None, sigma, shape
        if key not in self._compiled:
            perturb = functools.partial(hide, self._domain, fills, sigma)

            def compose(*arrays):
                return ops.reshape(perturb(*arrays), (-1, *shape))

            compiled = predictor.compose(compose, series.reshape(1, *shape))
            self._compiled[key] = compose, compiled
        return self._compiled[key]


def _check_word(baseline, domain):
    if not isinstance(baseline, str):
        return baseline
    words = hiding.OF_PARTS if domain == "time" else _OF_BANDS
    if baseline not in words:
        raise ValueError(
            f"Expected `baseline` to be one of {words} with domain={domain!r}, a number, an array"
            f" or rows of series, received {baseline!r}. \"mean\" suits most series."
        )
    return baseline
