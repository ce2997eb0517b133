"""Heatmaps of feature maps and spectrograms over the frequencies and the time of their sound."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_explain.audio._probing import find_front
from keras_explain.engine.placing.axis import Axis
from keras_explain.engine.placing.following import place
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.graph.probing import try_to_run
from keras_explain.signatures import Array
from keras_explain.waveforms import LEAST, choose_window, interpolate, shape_of_grid

MOST_STEPS = 24  # of a model, among which its spectrogram is


def align(
    explained: ExplainedModel, x: Array, heatmap: Array, *,
    preprocess: Callable[..., Any] | None = None,
) -> np.ndarray:
    """Lay heatmaps over frequency and time where their cells lie in the sound.

    The rows of a class activation map are those of a feature map of a mel spectrogram, so neither
    evenly spaced nor in Hz. Tones and clicks go through the model up to its spectrogram, and tell
    which axis is frequency, which is time, and where each row and frame lies; from there the
    convolutions are followed to the feature map.

    Args:
        explained: an explained model of waveforms, with a spectrogram inside; or of spectrograms,
            which `preprocess` makes.
        x: the waveforms, shape (N, T) or (N, T, 1).
        heatmap: what `explained` said of them, shape (N, rows, columns).
        preprocess: from waveforms as `x` to the model's inputs, where the spectrogram is made
            outside of the model.

    Returns:
        float32 of shape (N, K, M), what `audio.keep` and `plots.spectrogram` take; 0 where the
        feature map does not look.

    Raises:
        TypeError: no explained model.
        ValueError: other shapes, heatmaps of moments, a model in which no spectrogram is found,
            or a feature map whose cells have no place in it.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> sound = keras.Input((2000,))
        >>> mel = keras.layers.MelSpectrogram(256, sequence_stride=64, sampling_rate=8000,
        ...                                   num_mel_bins=24, max_freq=4000)(sound)
        >>> h = keras.layers.Conv2D(4, 3, activation="relu")(keras.ops.expand_dims(mel, -1))
        >>> model = keras.Model(sound, keras.layers.Dense(2)(
        ...     keras.layers.GlobalAveragePooling2D()(h)))
        >>> explained, x = kx.hires_cam(model), np.random.normal(size=(1, 2000))
        >>> heatmap = explained.predict(x, verbose=0)["heatmap"]
        >>> heatmap.shape, kx.audio.align(explained, x, heatmap).shape
        ((1, 22, 30), (1, 17, 251))
    """
    if not isinstance(explained, ExplainedModel):
        raise TypeError(
            f"Expected an explained model, received {type(explained).__name__}. Build it with a"
            " function such as keras_explain.grad_cam."
        )
    x, heatmap = np.asarray(x), np.asarray(heatmap, "float64")
    if x.ndim not in (2, 3) or x.ndim == 3 and x.shape[2] != 1 or x.shape[1] < LEAST or (
            len(x) != len(heatmap)):
        raise ValueError(
            f"Expected waveforms of shape (N, T) or (N, T, 1), T at least {LEAST}, and as many"
            f" heatmaps, received shapes {x.shape} and {heatmap.shape}. One example is x[:1]."
        )
    if heatmap.ndim != 3 or heatmap.shape == x.shape:
        raise ValueError(
            f"Expected heatmaps over frequency and time, (N, rows, columns), received shape"
            f" {heatmap.shape}. Those of moments need no aligning: `audio.keep` takes them."
        )
    front, up, along = _find_axes(explained.explainer, x, preprocess)
    sizes = [a.size for a in sorted((up, along), key=lambda a: a.axis)]
    if list(heatmap.shape[1:]) != sizes:
        raise ValueError(
            f"Expected heatmaps of {sizes[0]} by {sizes[1]} cells, as this explained model gives"
            f" them, received shape {heatmap.shape}. Pass what it predicted of `x`."
        )
    if up.axis > along.axis:
        heatmap = heatmap.swapaxes(1, 2)
    window = choose_window(x.shape[1])
    rows, frames = shape_of_grid(x.shape[1])
    left = _weigh(np.arange(rows) / window, front.frequencies, up)
    right = _weigh(np.arange(frames) * (window // 4), front.times, along)
    return (left @ heatmap @ right.T).astype(np.float32)


def _find_axes(explainer, x, preprocess):
    """Where the spectrogram lies in the sound, and the map's axes in the spectrogram."""
    program = explainer.question.program
    source = explainer.question.explained[0]
    features = getattr(explainer, "features", ())
    if preprocess is not None:
        front = find_front(lambda waves: np.asarray(preprocess(waves.reshape(-1, *x.shape[1:]))),
                           x.shape[1])
        if front is None:
            raise _error("waveforms of which `preprocess` makes no spectrogram")
        # Whatever is explained, maps are as large as the input.
        sizes = len(front.frequencies), len(front.times)
        return front, *(Axis(a, n) for a, n in zip((front.frequency, front.time), sizes,
                                                   strict=True))
    if len(features) != 1:
        raise _error("one that is not of the map of one layer")
    scored = explainer.question.scored
    front, value = _find_spectrogram(scored, source, features[0], x)
    axes, lost = place(scored, value, (front.frequency, front.time), features[0],
                       (len(front.frequencies), len(front.times)))
    if None in axes or any(a.packed for a in axes):
        raise _error(f"a feature map whose place in its spectrogram is lost at {lost!r}")
    channel = program.channel_axis(features[0])
    kept = [a for a in range(1, len(features[0].spec.shape)) if a != channel]
    return front, *(_move(a, 1 + kept.index(a.axis)) for a in axes)


def _find_spectrogram(program, source, feature, x):
    """The first value in which frequencies and moments have an axis each."""
    needed, reached = program.ancestors([feature]), {source}
    for step in program.steps[:MOST_STEPS]:
        if not reached.intersection(step.reads):
            continue
        reached.update(step.outputs)
        for value in step.outputs:
            shape = value.spec.shape
            if value not in needed or len(shape) < 3 or "float" not in value.spec.dtype:
                continue
            cut = program.with_outputs([value])

            def make(waves, cut=cut):
                given = ops.cast(waves.reshape(-1, *x.shape[1:]), source.spec.dtype)
                return try_to_run(lambda v: cut([v])[0], given)

            front = find_front(make, x.shape[1])
            if front is not None:
                return front, value
    raise _error("one in which none was found by tones and clicks")


def _move(axis, to):
    size = int(axis.size)
    return Axis(to, size, float(axis.offset), float(axis.scale), low=float(axis.low),
                high=float(axis.high))


def _weigh(places, centers, axis):
    """Weights (places, cells) of the cells beside each place; none where the map does not look."""
    rows, ordered = np.arange(len(centers)), np.argsort(centers, kind="stable")
    centers = np.maximum.accumulate(centers[ordered])
    ends = 2 * centers[0] - centers[1], 2 * centers[-1] - centers[-2]
    beyond = rows[ordered[0]] * 2 - rows[ordered[1]], rows[ordered[-1]] * 2 - rows[ordered[-2]]
    found = np.interp(places, [ends[0], *centers, ends[1]], [beyond[0], *rows[ordered], beyond[1]])
    low, high = (0, len(centers) - 1) if axis.high <= axis.low else (axis.low, axis.high)
    seen = (found > max(low, 0) - 0.5) & (found < min(high, len(centers) - 1) + 0.5)
    return interpolate((found - axis.offset) / axis.scale, axis.size) * seen[:, None]


def _error(received):
    return ValueError(
        f"Expected an explained model of waveforms with a spectrogram inside, received {received}."
        " Pass `preprocess` where spectrograms are made outside of the model; maps of moments need"
        " no aligning."
    )
