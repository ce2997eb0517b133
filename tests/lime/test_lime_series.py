"""LIME of series: planted moments and tones lead, and weights are those of closed forms."""

import pickle

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_explain.lime import Explanation, LimeSeriesExplainer, LimeWarning
from keras_explain.waveforms import invert, shape_of_grid, transform

STEPS, CHANNELS, AT = 24, 3, (14, 1)


def series(steps=STEPS, channels=CHANNELS, seed=0):
    x = np.random.default_rng(seed).normal(size=(steps, channels)).astype("float32")
    x[AT[0] % steps, AT[1] % channels] = 4
    return x


def planted(first):
    x = keras.Input((STEPS, CHANNELS))
    cue = ops.square(x[:, AT[0], AT[1]])[:, None]
    return keras.Model(x, cue + layers.Dense(1, kernel_initializer="zeros")(
        layers.Flatten()(first(x))))


def linear(weights, bias=0.5):
    """The score is the sum of a series by its weights, `(T, F)` or `(T,)`."""
    x = keras.Input(weights.shape)
    model = keras.Model(x, layers.Dense(1)(layers.Flatten()(x)))
    model.layers[-1].set_weights([weights.reshape(-1, 1), np.array([bias])])
    return model


ROWS = np.random.default_rng(1).normal(size=(5, STEPS, CHANNELS))
CONVOLUTION = layers.Conv1D(4, 3, padding="same")


@pytest.mark.parametrize("first, baseline", [
    (layers.GRU(4, return_sequences=True), "mean"), (layers.Dense(4), "mean"), *[
        (CONVOLUTION, baseline) for baseline in ("mean", "several", 0.0, ROWS)]])
def test_a_planted_moment_of_a_channel_leads(first, baseline):
    model = planted(type(first).from_config(first.get_config()))
    explainer = LimeSeriesExplainer(model, baseline=baseline, segments=8)
    found = explainer.explain(series(), target=0, samples=200, verbose=0)
    assert found.heatmap().shape == (STEPS, CHANNELS)
    assert np.argmax(found.weights[0]) == found.segments[AT]
    assert found.top(1)[0].name == "channel 1, 12 to 15" and found.fidelity[0] > 0.9


def shares(segments, values):
    """The sum of `values` over each segment."""
    return np.array([values[segments == part].sum() for part in range(segments.max() + 1)])


BASES = {
    "mean": lambda x: x.mean(axis=0, keepdims=True), "zero": np.zeros_like,
    "number": lambda x: 2.0 + 0 * x, "channels": lambda x: 0 * x + [1.0, -1.0, 0.5],
}


@pytest.mark.parametrize("name, base", BASES.items())
def test_weights_of_a_linear_model_are_what_its_segments_add(name, base):
    x, weights = series(), series(seed=1)
    baseline = {"number": 2.0, "channels": [1.0, -1.0, 0.5]}.get(name, name)
    explainer = LimeSeriesExplainer(
        linear(weights), baseline=baseline, segments=3, kernel="shapley")
    found = explainer.explain(x, target=0, samples=512)
    np.testing.assert_allclose(found.weights[0], shares(found.segments, weights * (x - base(x))),
                               atol=1e-5)


def test_shapley_values_average_over_background_rows():
    x, weights = series(), series(seed=1)
    rows = np.random.default_rng(3).normal(size=(7, STEPS, CHANNELS)).astype("float32")
    explainer = LimeSeriesExplainer(
        linear(weights), baseline=rows, segments=2, kernel="shapley", batch_size=16)
    found = explainer.explain(x, target=0, samples=64)
    np.testing.assert_allclose(
        found.weights[0], shares(found.segments, weights * (x - rows.mean(axis=0))), atol=1e-5)
    assert found.samples == 64


@pytest.mark.parametrize("steps", [24, 25])
@pytest.mark.parametrize("baseline", ["mean", "rows"])
def test_bands_are_filtered_as_numpy_filters(steps, baseline):
    x, weights = series(steps, 2), series(steps, 2, seed=1)
    rows = np.random.default_rng(3).normal(size=(4, steps, 2)).astype("float32")
    given, base = (rows, rows.mean(0)) if baseline == "rows" else ("mean", x.mean(0))
    explainer = LimeSeriesExplainer(linear(weights), domain="frequency", baseline=given,
                                    segments=4, kernel="shapley")
    found = explainer.explain(x, target=0, samples=256)
    assert found.heatmap().shape == (steps // 2 + 1, 2)
    spectrum = np.fft.rfft(x - base, axis=0)
    expected = [np.sum(weights * np.fft.irfft(
        np.where(found.segments == part, spectrum, 0), steps, axis=0)) for part in range(8)]
    np.testing.assert_allclose(found.weights[0], expected, atol=1e-4)


@pytest.mark.parametrize("steps, segments", [(200, 2), (333, (1, 3))])
def test_patches_of_a_spectrogram_are_those_of_audio(steps, segments):
    x, weights = series(steps, 1), series(steps, 1, seed=1)
    explainer = LimeSeriesExplainer(linear(weights), domain="spectrogram", segments=segments,
                                    kernel="shapley")
    found = explainer.explain(x, target=0, samples=16)
    assert found.heatmap().shape == shape_of_grid(steps)
    spectrum = transform(x[:, 0] - x.mean())
    expected = [weights[:, 0] @ invert(spectrum * (found.segments == part), steps)
                for part in range(len(found.features))]
    np.testing.assert_allclose(found.weights[0], expected, atol=1e-4)


def test_a_planted_burst_leads_in_hertz_and_seconds():
    rate, times = 1000, np.arange(1000) / 1000
    here = (times >= 0.4) & (times < 0.5)
    x = np.sin(2 * np.pi * 60 * times) + np.sin(2 * np.pi * 310 * times)
    tone = np.exp(2j * np.pi * 310 * times) * here

    def power(batch):
        return np.abs(batch @ tone)

    explainer = LimeSeriesExplainer(power, domain="spectrogram", rate=rate, segments=(8, 10))
    found = explainer.explain(x, target=0, samples=400)
    assert found.top(1)[0].name == "265.6 to 328.1 Hz, 0.404 to 0.5 s"
    assert found.weights[0].max() > 2 * np.sort(found.weights[0])[-2]
    assert found.features[-1].endswith("Hz, 0.908 to 1 s") and found.features[0][0] == "0"


def test_a_planted_tone_leads_in_hertz():
    rate, times = 100, np.arange(200) / 100
    x = np.sin(2 * np.pi * 7 * times) + np.sin(2 * np.pi * 31 * times)
    tone = np.exp(2j * np.pi * 31 * times)

    def power(batch):
        return np.abs(batch @ tone) 

    explainer = LimeSeriesExplainer(power, domain="frequency", rate=rate)
    found = explainer.explain(x, target=0, samples=100)
    assert found.top(1)[0].name == "30.5 to 35 Hz" and found.weights[0].max() > 90
    assert found.heatmap().shape == (101, 1) and 31 in found.subject.places[found.mask(1)[:, 0]]


@pytest.mark.parametrize("shape", [(STEPS,), (STEPS, 1)])
def test_waveforms(shape):
    weights = series()[:, 0].reshape(shape)
    x = series(seed=2)[:, 0]
    for given in (x, x[:, None], x[None].reshape(1, *shape)):
        found = LimeSeriesExplainer(linear(weights), segments=4, kernel="shapley").explain(
            given, target=0)
        np.testing.assert_allclose(
            found.weights[0], shares(found.segments, (weights.ravel() * (x - x.mean()))[:, None]),
            atol=1e-5)
        assert found.features[0] == "0 to 6"


@pytest.mark.parametrize("domain", ["time", "frequency"])
def test_padding_stays_and_gets_nothing(domain):
    x = series()
    x[10:] = 0
    inputs = keras.Input((STEPS, CHANNELS))
    masked = layers.Masking()(inputs)
    hidden = layers.SimpleRNN(4, activation="linear")(masked)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    explainer = LimeSeriesExplainer(model, domain=domain, segments=2, kernel="shapley")
    found = explainer.explain(x, target=0, samples=64)
    if domain == "time":
        assert not found.heatmap()[10:].any() and (found.segments[10:] == -1).all()
        assert np.bincount(found.segments[:10].ravel()).tolist() == [5] * 6
    empty = x.copy()
    empty[:10] = x[:10].mean(axis=0)
    assert np.isclose(found.intercept[0], model(empty[None])[0, 0], atol=1e-5)
    assert np.isclose(found.local_prediction[0], model(x[None])[0, 0], atol=1e-5)


def test_own_labels_and_callables():
    together = np.arange(STEPS) // 6
    for segments in (together, lambda x: together, together * 10):
        explainer = LimeSeriesExplainer(linear(series(seed=1)), segments=segments)
        found = explainer.explain(series(), target=0)
        assert len(found.features) == 4 and found.features[1] == "6 to 12"
        assert (found.heatmap() == found.heatmap()[:, :1]).all()
    odd = np.zeros((STEPS, CHANNELS), int)
    odd[3, 1], odd[5, 1] = 1, 1
    found = LimeSeriesExplainer(linear(series(seed=1)), segments=odd).explain(series(), target=0)
    assert found.features == ("segment 0", "segment 1")


def halve(batch):
    return batch[:, ::2] + batch[:, 1::2]


def test_preprocess_and_the_same_seed():
    weights = series(seed=1)
    explainer = LimeSeriesExplainer(linear(weights[: STEPS // 2]), preprocess=halve, segments=2)
    rows = LimeSeriesExplainer(linear(weights), baseline=series(seed=4)[None].repeat(5, 0) * [
        [[1]], [[2]], [[3]], [[4]], [[5]]], segments=4)
    for one in (explainer, rows):
        said = one.explain(series(), target=0, samples=60)
        assert said.to_json() == pickle.loads(pickle.dumps(one)).explain(
            series(), target=0, samples=60).to_json()
        again = Explanation.from_json(said.to_json())
        np.testing.assert_array_equal(again.heatmap(), said.heatmap())


def test_damaged_files():
    said = LimeSeriesExplainer(linear(series(seed=1))).explain(series(), target=0, samples=100)
    for key, value in [("domain", "space"), ("domain", "spectrogram"), ("rate", -1), ("rate", "x"),
                       ("channels", ["a"]), ("features", ["a"]),
                       ("series", said.to_dict()["subject"]["segments"])]:
        data = said.to_dict()
        data["subject"][key] = value
        with pytest.raises(ValueError, match="Expected an explanation as"):
            Explanation.from_dict(data)


def test_a_stateful_model_is_refused():
    inputs = keras.Input(batch_shape=(8, STEPS, CHANNELS))
    model = keras.Model(inputs, layers.Dense(1)(layers.SimpleRNN(
        2, "linear", recurrent_initializer="identity", stateful=True)(inputs)))
    with pytest.raises(ValueError, match="stateful"):
        LimeSeriesExplainer(model, batch_size=8).explain(series(), target=0)


@pytest.mark.parametrize("options, message", [
    ({"domain": "space"}, r"Expected `domain` to be one of \('time', 'frequency'"),
    ({"segments": "slic"}, "Expected `segments` to be a number for each channel"),
    ({"segments": 0}, "Expected `segments` to be an integer of at least 1"),
    ({"segments": np.zeros(3, int)}, r"shape \(24,\) for all channels"),
    ({"segments": np.full(STEPS, -1)}, "labels from 0"),
    ({"baseline": "median"}, "Expected `baseline` to be one of .*'inpaint'"),
    ({"baseline": "blur", "domain": "frequency"}, "with domain='frequency'"),
    ({"baseline": np.zeros((2, 5))}, r"fits an input of shape \(24, 3\)"),
    ({"domain": "spectrogram"}, "series of one channel and at least 64 moments"),
    ({"segments": (2, 3)}, "one number with domain='time'"),
    ({"segments": (2, 0), "domain": "spectrogram"}, "integer of at least 1"),
    ({"rate": 0}, "Expected `rate` to be the number of moments in a second"),
    ({"feature_names": ["a"]}, "Expected 3 `feature_names`"),
])
def test_arguments(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LimeSeriesExplainer(linear(series()), **options).explain(series(), target=0)


@pytest.mark.parametrize("x, message", [
    (np.zeros((5, 3)), r"Expected one series of shape \(24, 3\), received \(5, 3\)"),
    (np.full((STEPS, CHANNELS), np.nan), "finite numbers"),
    (np.full((STEPS, CHANNELS), "a"), "series of numbers"),
    (np.zeros((2, STEPS, CHANNELS)), r"x\[0\]"),
])
def test_inputs(x, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LimeSeriesExplainer(linear(series())).explain(x, target=0)


def test_models_of_other_things():
    image = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="Expected a model of series.*LimeImageExplainer"):
        LimeSeriesExplainer(keras.Model(image, layers.Flatten()(image)))
    inputs = keras.Input((CHANNELS, STEPS))
    hidden = layers.GlobalAveragePooling1D(data_format="channels_first")(
        layers.Conv1D(2, 3, data_format="channels_first")(inputs))
    with pytest.raises(ValueError, match="Expected a model of series with time first"):
        LimeSeriesExplainer(keras.Model(inputs, hidden))


def test_a_model_that_does_not_look_is_told():
    with pytest.warns(LimeWarning, match="does not depend on the segments"):
        LimeSeriesExplainer(linear(0 * series())).explain(series(), target=0)
