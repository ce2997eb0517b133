"""What stands in for what is hidden: one notion, by the kind of input."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.graph.order import are_columns
from keras_explain.graph.program import Program

METRICS = ("deletion", "insertion", "sensitivity_n", "infidelity", "average_drop", "completeness")
SERIES = {
    "convolution": lambda x: layers.Conv1D(3, 5)(layers.Reshape((64, 1))(x)),
    "recurrent": lambda x: layers.SimpleRNN(3)(layers.Reshape((64, 1))(x)),
    "frames": lambda x: layers.Dense(3)(layers.Reshape((8, 8))(x)),
    "spectrum": lambda x: layers.MelSpectrogram(fft_length=16, sequence_stride=8,
                                                num_mel_bins=4, sampling_rate=100, max_freq=50)(x),
    "scaled first": lambda x: layers.Conv1D(3, 5)(ops.expand_dims(layers.Rescaling(2.0)(x), -1)),
}
TABLES = {
    "dense": lambda x: layers.Dense(3)(x),
    "normalized": lambda x: layers.Dense(3)(layers.BatchNormalization()(x)),
    "split": lambda x: ops.concatenate([layers.Dense(2)(x[:, :30]), layers.Dense(2)(x[:, 30:])]),
    "attention": lambda x: layers.MultiHeadAttention(1, 4)(*[layers.Dense(4)(
        layers.Reshape((64, 1))(x))] * 2),
}


def linear_table(count=6, seed=0):
    """A linear model of columns in units far apart, rows, and each column's own part of it."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** np.arange(count)
    rows = (rng.normal(size=(400, count)) + 3) * units
    x = keras.Input((count,))
    model = keras.Model(x, layers.Dense(1)(x))
    weights = rng.normal(size=count) / units
    model.layers[-1].set_weights([weights[:, None].astype("float32"), np.ones(1, "float32")])
    return model, rows.astype("float32"), weights


@pytest.mark.parametrize("kinds, columns", [(SERIES, False), (TABLES, True)])
def test_columns_are_told_from_moments_by_what_the_model_computes(kinds, columns):
    for name, body in kinds.items():
        x = keras.Input((64,))
        model = keras.Model(x, layers.Dense(1)(layers.Flatten()(body(x))))
        _, program = Program.trace(model)
        assert are_columns(program, program.inputs[0]) == columns, name


@pytest.mark.parametrize("name", ["occlusion", "rise", "integrated_gradients", "smooth_grad"])
def test_a_table_needs_a_baseline(name):
    model, _, _ = linear_table()
    with pytest.raises(ValueError, match="Expected `baseline`.*X_train"):
        getattr(kx, name)(model)


@pytest.mark.parametrize("word", ["mean", "blur", "noise"])
def test_no_word_asks_for_neighbors_of_a_column(word):
    model, _, _ = linear_table()
    with pytest.raises(ValueError, match="unit of their own"):
        kx.occlusion(model, baseline=word)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_a_table_need_a_baseline(name):
    model, rows, _ = linear_table()
    with pytest.raises(ValueError, match="X_train"):
        getattr(kx.metrics, name)(model, rows[:2], rows[:2])


def test_a_mean_and_rows_give_the_contributions_of_a_linear_table():
    model, rows, weights = linear_table()
    x = rows[:5]
    for baseline in (rows.mean(axis=0), rows[:40], np.median(rows, axis=0)):
        base = np.atleast_2d(baseline).mean(axis=0)
        wanted = weights * (x - base)
        for name in ("occlusion", "integrated_gradients"):
            found = getattr(kx, name)(model, baseline=baseline)(x)["heatmap"]
            np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, atol=2e-4)


def test_background_data_of_any_size_is_drawn_from():
    model, rows, weights = linear_table()
    explained = kx.occlusion(model, baseline=rows)
    drawn = np.asarray(explained.explainer.baseline[0])
    assert drawn.shape == (64, 6) and all((rows == row).all(axis=1).any() for row in drawn)
    np.testing.assert_allclose(ops.convert_to_numpy(explained(rows[:3])["heatmap"]),
                               weights * (rows[:3] - drawn.mean(axis=0)), atol=2e-4)


def test_a_frame_is_background_data():
    pandas = pytest.importorskip("pandas")
    model, rows, _ = linear_table()
    given = [rows[:40], pandas.DataFrame(rows[:40])]
    one, two = (kx.occlusion(model, baseline=b)(rows[:3])["heatmap"] for b in given)
    np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(two))


def test_an_input_for_each_column(tmp_path):
    _, rows, weights = linear_table(3)
    inputs = {name: keras.Input((1,), name=name) for name in "abc"}
    merged = layers.Concatenate()([inputs[n] for n in "abc"])
    model = keras.Model(inputs, layers.Dense(1)(merged))
    model.layers[-1].set_weights([weights[:, None].astype("float32"), np.zeros(1, "float32")])
    data = {n: rows[:, i : i + 1] for i, n in enumerate("abc")}
    x = {n: a[:4] for n, a in data.items()}
    means = {n: float(a.mean()) for n, a in data.items()}
    wanted = weights * (rows[:4] - rows.mean(axis=0))
    explained = kx.occlusion(model, baseline=means)
    explained.save(tmp_path / "table.keras")
    for occlusion in (explained, keras.models.load_model(tmp_path / "table.keras")):
        found = occlusion.predict(x, verbose=0)["heatmap"]
        found = np.concatenate([found[n] for n in "abc"], axis=1)
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    with pytest.raises(ValueError, match="each of the inputs"):
        kx.occlusion(model, baseline={"d": 1.0})
    with pytest.raises(ValueError, match="'b'.*X_train"):
        kx.occlusion(model, baseline={"a": 1.0})


def test_the_true_contributions_of_a_table_win_deletion():
    model, rows, weights = linear_table(12)
    x = rows[:40]
    contributions = weights * (x - rows.mean(axis=0))
    evaluator = kx.metrics.Evaluator(model, baseline=rows.mean(axis=0))
    true = kx.metrics.deletion(evaluator, x, contributions).mean()
    draws = [kx.metrics.deletion(evaluator, x, np.random.default_rng(s).normal(size=x.shape))
             for s in range(5)]
    assert true < np.mean(draws) - 0.5
    assert (kx.metrics.sensitivity_n(evaluator, x, contributions) > 0.999).all()
    assert (kx.metrics.completeness(evaluator, x, contributions) < 1e-3).all()


def test_a_metric_takes_the_baseline_of_the_explained_table():
    model, rows, _ = linear_table()
    explained = kx.occlusion(model, baseline=rows[:10])
    found = kx.metrics.deletion(explained, rows[:3])
    wanted = kx.metrics.deletion(explained, rows[:3], baseline=rows[:10])
    np.testing.assert_array_equal(found, wanted)


def test_compare_hands_the_baseline_on():
    model, rows, _ = linear_table()
    table = kx.compare(model, rows[:4], ["occlusion", "saliency"], ["deletion", "sensitivity_n"],
                       baseline=rows, verbose=0)
    assert table.scores["occlusion"]["sensitivity_n"].min() > 0.999


def test_noise_is_a_share_of_the_range_of_each_column(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(40, 10, 200), rng.normal(3e4, 8e3, 200)]).astype("float32")
    x = keras.Input((2,))
    y = layers.Dense(2, activation="tanh", use_bias=False)(x)
    model = keras.Model(x, layers.Dense(1, use_bias=False, kernel_initializer="ones")(y))
    model.layers[1].set_weights([np.array([[0.02, 0], [0, 2e-5]], "float32")])
    point = np.array([[40.0, 3e4]], "float32")
    explained = kx.smooth_grad(model, signed=True, baseline=rows, samples=256)
    explained.save(tmp_path / "smooth.keras")
    slopes = np.array([0.02, 2e-5])
    inner = slopes * (point + 0.1 * explained.explainer.scales[0] * rng.normal(size=(20000, 2)))
    wanted = slopes * (1 - np.tanh(inner) ** 2).mean(axis=0)
    for smooth in (explained, keras.models.load_model(tmp_path / "smooth.keras")):
        np.testing.assert_allclose(smooth.predict(point, verbose=0)["heatmap"][0], wanted,
                                   rtol=0.05)
    found = kx.metrics.max_sensitivity(explained, point, baseline=rows)
    assert 0 < found[0] < 0.5


@pytest.mark.parametrize("name, options", [
    ("occlusion", {"patch_size": 2, "stride": 2}), ("occlusion", {"baseline": "blur"}),
    ("occlusion", {"baseline": "inpaint"}), ("occlusion", {"baseline": 0.7}),
    ("smooth_grad", {"samples": 4}), ("rise", {"samples": 64}),
    ("integrated_gradients", {"steps": 8, "baseline": 0.7}), ("saliency", {}),
])
def test_padding_stays_padding(name, options):
    keras.utils.set_random_seed(0)
    x = keras.Input((24, 2))
    model = keras.Model(x, layers.Dense(1)(layers.LSTM(6)(layers.Masking(0.0)(x))))
    short = np.random.default_rng(0).normal(size=(3, 12, 2)).astype("float32")
    long = np.concatenate([short, np.zeros((3, 12, 2), "float32")], axis=1)
    found = np.abs(ops.convert_to_numpy(getattr(kx, name)(model, **options)(long)["heatmap"]))
    assert found[:, 12:].max() == 0 and found[:, :12].max() > 1e-4


def test_the_mean_of_a_padded_series_is_that_of_its_data():
    x = keras.Input((8, 1))
    model = keras.Model(x, layers.GlobalAveragePooling1D()(layers.Masking(0.0)(x)))
    series = np.zeros((1, 8, 1), "float32")
    series[0, :4, 0] = [1, 2, 3, 6]
    found = kx.occlusion(model, patch_size=1, stride=1)(series)["heatmap"]
    np.testing.assert_allclose(ops.convert_to_numpy(found)[0],
                               [-0.5, -0.25, 0, 0.75, 0, 0, 0, 0], atol=1e-6)
