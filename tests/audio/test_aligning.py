"""Maps of spectrograms in Hz and seconds: planted tones lie where they sound."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.audio._probing import find_front
from keras_explain.waveforms import choose_window, shape_of_grid

RATE, MOMENTS = 8000, 4000
TIMES = np.arange(MOMENTS) / RATE
WHERE = [(1700, 0.3), (2900, 0.1)]


def sound(hertz, begin):
    here = (TIMES >= begin) & (TIMES < begin + 0.08)
    return (np.sin(2 * np.pi * hertz * TIMES) * here).astype("float32")


def mel(x):
    return layers.MelSpectrogram(256, sequence_stride=64, sampling_rate=RATE, num_mel_bins=32,
                                 max_freq=RATE / 2)(x)


def stft(x):
    return layers.STFTSpectrogram(frame_length=256, frame_step=64, fft_length=256)(
        ops.expand_dims(x, -1))


def flipped(x):
    return ops.flip(ops.log(stft(x) + 1e-3), axis=2)


def by_hand(x):
    real, imaginary = ops.stft(x, 256, 64, 256)
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-9)


def hear(front, padding="same"):
    """A model whose feature map is the sum of what is heard around each place."""
    x = keras.Input((MOMENTS,))
    h = ops.expand_dims(front(x), -1)
    h = layers.Conv2D(1, 3, padding=padding, kernel_initializer="ones", name="sum")(h)
    h = ops.relu(layers.MaxPooling2D(2, name="pool")(h) + 200.0)  # decibels are negative
    return keras.Model(x, layers.Dense(1, kernel_initializer="ones")(
        layers.GlobalAveragePooling2D()(h)))


@pytest.mark.parametrize("front, padding", [
    (mel, "valid"), (stft, "same"), (flipped, "valid"), (by_hand, "same")])
def test_a_tone_lies_where_it_sounds(front, padding):
    explained = kx.hires_cam(hear(front, padding), layer="pool", target=0)
    x = np.stack([sound(*where) for where in WHERE])
    heatmap = ops.convert_to_numpy(explained(x)["heatmap"])
    found = kx.audio.align(explained, x, heatmap)
    assert found.shape == (2, *shape_of_grid(MOMENTS)) and found.dtype == np.float32
    window = choose_window(MOMENTS)
    for laid, (hertz, begin) in zip(found, WHERE, strict=True):
        row, frame = np.unravel_index(laid.argmax(), laid.shape)
        assert abs(row * RATE / window - hertz) < 200  # cells of a mel map are wide
        assert begin - 0.01 < frame * (window // 4) / RATE < begin + 0.09


def test_a_spectrogram_outside_of_the_model():
    rows = keras.Input((59, 129))
    h = layers.Conv2D(1, 3, padding="same", kernel_initializer="ones")(ops.expand_dims(rows, -1))
    model = keras.Model(rows, layers.Dense(1, kernel_initializer="ones")(
        layers.GlobalAveragePooling2D()(h)))
    outside = keras.layers.STFTSpectrogram(frame_length=256, frame_step=64, fft_length=256)

    def preprocess(waves):
        return ops.convert_to_numpy(outside(waves[..., None]))

    explained = kx.gradient_x_input(model, target=0)
    x = sound(1700, 0.3)[None]
    heatmap = ops.convert_to_numpy(explained(preprocess(x))["heatmap"])
    found = kx.audio.align(explained, x, heatmap, preprocess=preprocess)[0]
    row, frame = np.unravel_index(found.argmax(), found.shape)
    assert abs(row * RATE / choose_window(MOMENTS) - 1700) < 100
    assert 0.29 < frame * (choose_window(MOMENTS) // 4) / RATE < 0.39


def test_rows_and_frames_of_a_spectrogram_by_tones_and_clicks():
    layer = keras.layers.STFTSpectrogram(frame_length=256, frame_step=64, fft_length=256)
    front = find_front(lambda w: ops.convert_to_numpy(layer(w[..., None])), MOMENTS)
    assert (front.time, front.frequency) == (1, 2)
    np.testing.assert_allclose(front.frequencies[2:-2], np.arange(2, 127) / 256, atol=2e-3)
    np.testing.assert_allclose(front.times, 127.5 + 64 * np.arange(59), atol=20)


@pytest.mark.parametrize("make", [
    lambda w: w.reshape(-1, 50, 80),  # frames of moments: no row has a frequency
    lambda w: np.abs(np.fft.rfft(w))[:, None],  # no time
    lambda w: np.stack([  # a few filters that happen to rise in frequency
        np.convolve(row, np.sin(2 * np.pi * f * np.arange(32)), "same")[::32]
        for row in w for f in (0.1, 0.2, 0.3, 0.4)]).reshape(len(w), 4, -1),
    lambda w: np.ones((len(w), 5, 6)), lambda w: None,
])
def test_what_is_no_spectrogram(make):
    assert find_front(make, MOMENTS) is None


def test_arguments():
    x = sound(1700, 0.3)[None]
    model = hear(stft)
    explained = kx.hires_cam(model, layer="pool", target=0)
    heatmap = ops.convert_to_numpy(explained(x)["heatmap"])
    with pytest.raises(TypeError, match="explained model, received Functional"):
        kx.audio.align(model, x, heatmap)
    with pytest.raises(ValueError, match="as many heatmaps"):
        kx.audio.align(explained, x, heatmap[0])
    with pytest.raises(ValueError, match="Those of moments need no aligning"):
        kx.audio.align(explained, x, x)
    with pytest.raises(ValueError, match="Pass what it predicted"):
        kx.audio.align(explained, x, heatmap[:, 1:])
    with pytest.raises(ValueError, match="not of the map of one layer"):
        kx.audio.align(kx.saliency(model), x, heatmap)
    waves = keras.Input((MOMENTS, 1))
    h = layers.Conv1D(4, 9, kernel_initializer="ones", strides=4, activation="relu")(waves)
    plain = kx.hires_cam(keras.Model(waves, layers.Dense(1)(layers.GlobalAveragePooling1D()(h))),
                         resize=False)
    with pytest.raises(ValueError, match="none was found by tones and clicks"):
        kx.audio.align(plain, x[..., None], np.ones((1, 998, 1)))
