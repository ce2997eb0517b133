"""What remains of a sound: planted tones and bursts, and files that Python's own module reads."""

import wave

import numpy as np
import pytest

from keras_explain import audio
from keras_explain.waveforms import interpolate, invert, lay_on_grid, shape_of_grid, transform

RATE = 8000
TIMES = np.arange(RATE) / RATE
LOW, HIGH = (0.4 * np.sin(2 * np.pi * f * TIMES) for f in (300, 2500))
BURST = HIGH * ((TIMES > 0.4) & (TIMES < 0.6))


@pytest.mark.parametrize("moments", [64, 100, 777, 4001, 70000])
def test_a_transform_is_inverted(moments):
    x = np.random.default_rng(0).normal(size=moments)
    spectrum = transform(x)
    assert spectrum.shape == shape_of_grid(moments)
    np.testing.assert_allclose(invert(spectrum, moments), x, atol=1e-6)


def test_the_transform_is_that_of_scipy():
    signal = pytest.importorskip("scipy.signal")
    window = signal.windows.hann(128, sym=False)
    theirs = signal.ShortTimeFFT(window, 32, 1).stft(TIMES, p0=0, p1=251)
    ours = transform(TIMES)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-9)


def test_a_burst_is_heard_without_the_tone():
    heatmap = np.zeros((20, 50))
    heatmap[11:14, 20:30] = 1  # 2,200 to 2,800 Hz, 0.4 to 0.6 s
    heard = audio.keep(LOW + BURST, heatmap, top=0.05)
    assert heard.dtype == np.float32 and heard.shape == (RATE,)
    assert np.corrcoef(heard, BURST)[0, 1] > 0.98 and abs(heard @ LOW) < 0.01 * (LOW @ LOW)
    assert np.abs(heard[: int(0.35 * RATE)]).max() < 1e-3


def test_a_map_of_moments_is_heard_in_time():
    heatmap = (TIMES > 0.4) & (TIMES < 0.6)
    for given in (heatmap, heatmap[:, None]):
        heard = audio.keep((LOW + BURST)[:, None], given * 1.0, top=0.3)
        assert np.abs(heard[: int(0.35 * RATE)]).max() < 1e-3
        middle = slice(int(0.45 * RATE), int(0.55 * RATE))
        np.testing.assert_allclose(heard[middle], (LOW + BURST)[middle], atol=1e-5)


def test_the_share_and_ties():
    rows, frames = shape_of_grid(RATE)
    ranks = np.random.default_rng(0).permutation(rows * frames).reshape(rows, frames) + 1.0
    spectrum, x = transform(LOW + BURST), LOW + BURST
    kept = np.where(ranks > 0.75 * ranks.size, spectrum, 0)
    np.testing.assert_allclose(audio.keep(x, ranks, top=0.25), invert(kept, RATE), atol=1e-6)
    np.testing.assert_allclose(audio.keep(x, np.ones((3, 3)), top=0.01), x, atol=1e-6)  # ties


def test_maps_share_frequency_and_time_evenly():
    rows, frames = shape_of_grid(RATE)
    heatmap = np.linspace(0, 1, 10)[:, None] + np.zeros((10, 4))
    laid = lay_on_grid(heatmap, RATE)
    assert laid.shape == (rows, frames) and (np.diff(laid[:, 0]) >= 0).all()
    np.testing.assert_allclose(laid[rows // 2], 0.5, atol=0.01)
    np.testing.assert_allclose(interpolate([-1, 0.25, 5], 3), [[1, 0, 0], [0.75, 0.25, 0],
                                                               [0, 0, 1]])


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


def test_files(tmp_path):
    audio.write_wav(tmp_path / "a.wav", LOW, rate=RATE)
    np.testing.assert_allclose(read(tmp_path / "a.wav"), LOW, atol=2e-5)
    audio.write_wav(tmp_path / "b.wav", np.int16(LOW * 32768)[:, None], rate=RATE)
    np.testing.assert_allclose(read(tmp_path / "b.wav"), LOW, atol=1e-4)
    audio.write_wav(tmp_path / "c.wav", 10 * LOW, rate=RATE)  # louder than a file can be
    np.testing.assert_allclose(read(tmp_path / "c.wav"), LOW / 0.4, atol=1e-3)
    heard = audio.keep(LOW, np.ones((2, 2)), rate=RATE, path=str(tmp_path / "d.wav"))
    np.testing.assert_allclose(read(tmp_path / "d.wav"), heard, atol=2e-5)


@pytest.mark.parametrize("arguments, message", [
    ((LOW[:10], np.ones((2, 2))), "waveform of 64 moments or more"),
    ((np.stack([LOW, LOW], 1), np.ones((2, 2))), r"one channel: x\[0\]"),
    ((LOW * np.nan, np.ones((2, 2))), "waveform of finite numbers"),
    ((LOW, np.ones((2, 2, 2))), "one heatmap of finite numbers"),
    ((LOW, np.full((2, 2), np.nan)), "one heatmap of finite numbers"),
    ((LOW, -np.ones((2, 2))), "numbers above 0"),
    ((LOW, np.ones((2, 2)), 0), "a share above 0"),
    ((LOW, np.ones((2, 2)), True), "a share above 0"),
])
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        audio.keep(*arguments)


def test_a_file_needs_a_rate(tmp_path):
    with pytest.raises(ValueError, match="Expected `rate` with `path`"):
        audio.keep(LOW, np.ones((2, 2)), path=tmp_path / "x.wav")
    with pytest.raises(ValueError, match="number of moments in a second, received 0"):
        audio.write_wav(tmp_path / "x.wav", LOW, rate=0)
