"""The comparison table: its numbers, its baselines, its files."""

import functools
import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain import metrics
from keras_explain.cli import compare as _compare_files
from keras_explain.metrics import comparison as comparing


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    model = keras.Sequential([
        keras.Input((12, 16, 3)), layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")])
    for v in model.weights:
        v.assign(rng.normal(size=v.shape) * (0.6 if len(v.shape) > 1 else 0))
    return model


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).random((6, 12, 16, 3)).astype("float32")


@pytest.fixture(scope="module")
def table(model, x):
    methods = {"cam": kx.grad_cam, "signed": functools.partial(kx.saliency, signed=True),
               "fixed": kx.saliency(model, target=1), "array": np.ones((6, 12, 16))}
    chosen = ["deletion", functools.partial(metrics.insertion, steps=5), "max_sensitivity",
              "sparseness", "energy_pointing_game"]
    return comparing.compare(model, x, methods, chosen, regions=[(0, 0, 6, 8)] * 6, batch_size=8)


def test_scores_are_those_of_the_metrics(model, x, table):
    assert table.methods == ["cam", "signed", "fixed", "array", "random_pixels",
                             "random_patches", "center_gaussian"]
    np.testing.assert_allclose(table.scores["cam"]["deletion"],
                               metrics.deletion(kx.grad_cam(model), x), atol=1e-6)
    np.testing.assert_allclose(table.scores["signed"]["insertion"],
                               metrics.insertion(kx.saliency(model, signed=True), x, steps=5),
                               atol=1e-6)
    plain = metrics.deletion(kx.saliency(model), x)  # each image's own class, not the class 1
    np.testing.assert_allclose(table.scores["fixed"]["deletion"], plain, atol=1e-6)
    assert np.isnan(table.scores["array"]["max_sensitivity"]).all()
    assert np.isfinite(table.scores["cam"]["max_sensitivity"]).all()
    np.testing.assert_allclose(table.scores["array"]["energy_pointing_game"], 0.25)


def test_explained_classes(model, x, table):
    top = keras.ops.convert_to_numpy(model(x)).argmax(-1)
    np.testing.assert_array_equal(table.classes, top)
    other = comparing.compare(model, x, ["saliency"], ["deletion"], target=2)
    np.testing.assert_array_equal(other.classes, 2)
    np.testing.assert_allclose(other.scores["saliency"]["deletion"],
                               metrics.deletion(kx.saliency(model, target=2), x), atol=1e-6)


def made(scores, best="higher"):
    scores = {name: {"m": np.array(values, float)} for name, values in scores.items()}
    return comparing.Comparison(
        scores, {"m": best}, ("base",), dict.fromkeys(scores, 0.1), {}, None, np.zeros(40),
        0.95, 0)


def test_intervals_are_those_of_the_normal_theory():
    values = np.random.default_rng(0).normal(2, 1, 400)
    low, high = made({"base": values}).interval("base", "m")
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.02)


def test_pairs_decide_what_beats_a_baseline():
    hard = np.random.default_rng(0).normal(0, 5, 40)  # images differ far more than methods
    same = np.random.default_rng(1).normal(0, 1, 40)
    table = made({"good": hard + 0.2, "luck": hard + same - same.mean(), "base": hard})
    assert table.beats_baselines("good", "m") and not table.beats_baselines("luck", "m")
    assert not table.beats_baselines("base", "m")
    assert table.interval("good", "m")[0] < table.mean("base", "m")  # unpaired, they overlap
    lower = made({"good": hard - 0.2, "base": hard}, best="lower")
    assert lower.beats_baselines("good", "m") and lower.ranking("m") == ["good", "base"]


def test_ranking_and_missing_values():
    table = made({"a": [1, 2], "b": [5, np.nan], "c": [np.nan, np.nan], "base": [0, 0]})
    assert table.ranking("m") == ["b", "a", "base", "c"]
    assert table.mean("b", "m") == 5 and np.isnan(table.mean("c", "m"))
    assert "–" in table.to_markdown()


def test_what_cannot_be_told_from_the_best_is_marked_as_well():
    hard = np.random.default_rng(0).normal(0, 5, 40)
    noise = np.random.default_rng(1).normal(0, 1, 40)
    table = made({"best": hard, "same": hard, "near": hard - 0.01 + noise - noise.mean(),
                  "worse": hard - 0.2, "base": np.full(40, np.nan)})
    lines = {line.split(" | ")[0][2:]: line for line in table.to_markdown().splitlines()[2:7]}
    assert {name for name, line in lines.items() if "**" in line} == {"best", "same", "near"}


def test_markdown_and_rows(table):
    text = table.to_markdown().splitlines()
    assert text[0].startswith("| method | deletion ↓ | insertion ↑ |")
    assert len(text) == 2 + 7 + 2 and all(line.count("|") == 8 for line in text[:9])
    assert "*random_pixels*" in text[6] and "6 images" in text[-1]
    rows = table.rows()
    assert len(rows) == 7 * 5
    row = next(r for r in rows if (r["method"], r["metric"]) == ("cam", "deletion"))
    assert row["low"] <= row["mean"] <= row["high"] and row["count"] == 6


def test_pandas_is_optional(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        table.to_pandas()


def test_figure_and_report(table, tmp_path):
    figure = table.figure()
    titles = [a.get_title(loc="left") for a in figure.axes if a.axison]
    assert titles[:2] == ["deletion (lower is better)", "insertion (higher is better)"]
    labels = [t.get_text().removesuffix(" ✓") for t in figure.axes[0].get_yticklabels()]
    assert labels == table.ranking("deletion")
    path = table.report(tmp_path / "out")
    text = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert str(path).endswith("comparison.md") and table.to_markdown() in text
    assert (tmp_path / "out" / "scores.png").stat().st_size > 5000
    assert (tmp_path / "out" / "maps.png").stat().st_size > 5000


def test_seed_decides(model, x):
    run = functools.partial(comparing.compare, model, x, [], ["sparseness"])
    one, two, other = run(seed=1), run(seed=1), run(seed=2)
    pixels = [t.heatmaps["random_pixels"] for t in (one, two, other)]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert (pixels[0] != pixels[2]).any()


def test_tokens_are_compared_by_what_orders_them():
    ids = keras.Input((5,), dtype="int32")
    y = layers.LayerNormalization()(layers.Embedding(9, 4)(ids))
    model = keras.Model(ids, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))
    tokens = np.random.default_rng(0).integers(1, 9, (3, 5)).astype("int32")
    found = comparing.compare(model, tokens, metrics=["sparseness"], verbose=0)
    assert {*found.methods} - {*found.baselines} == {"local_linear", "occlusion"}


def test_baselines_of_any_shape():
    for shape in ((2, 9), (2, 5, 7), (1, 4, 5, 6)):
        for maps in comparing.baselines(shape).values():
            assert maps.shape == shape and np.isfinite(maps).all()
    center = comparing.baselines((1, 5, 9))["center_gaussian"][0]
    assert np.unravel_index(center.argmax(), center.shape) == (2, 4)
    assert center[0, 4] == pytest.approx(np.exp(-(0.4**2) / (2 * 0.25**2)))


@pytest.mark.parametrize("change, words", [
    ({"methods": ["export"]}, "Expected the name of a method, received 'export'"),
    ({"methods": ["gradcam"]}, "Did you mean one of \\['grad_cam'"),
    ({"methods": [kx.saliency, kx.saliency]}, "different names"),
    ({"metrics": ["deltion"]}, "Did you mean one of \\['deletion'"),
    ({"metrics": ["pointing_game"]}, "Expected `regions`"),
    ({"x": np.ones((2, 5, 5, 3))}, "Expected inputs of shape"),
    ({"target": 7}, "`target` from 0 to 2"),
])
def test_errors(model, x, change, words):
    arguments = {"x": x, "methods": ["saliency"], "metrics": ["deletion"], **change}
    with pytest.raises(ValueError, match=words):
        comparing.compare(model, **arguments)


def test_command_line(model, tmp_path, capsys):
    cv2 = pytest.importorskip("cv2")
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (20, 30, 3), "uint8")
        cv2.imwrite(str(tmp_path / f"{i}.png"), noise)
    model.save(tmp_path / "model.keras")
    code = _compare_files.run(tmp_path / "model.keras", tmp_path, tmp_path / "out",
                              methods="grad_cam, saliency", metrics="sparseness,complexity",
                              max_images=2, scale="0..1")
    assert code == 0 and "Comparing on 2 examples" in capsys.readouterr().out
    assert (tmp_path / "out" / "comparison.md").exists()
    examples, _ = _compare_files.load_examples(tmp_path, model, 3, "-1..1")
    assert examples.shape == (3, 12, 16, 3) and -1 <= examples.min() < -0.5
    with pytest.raises(FileNotFoundError, match="a folder of pictures"):
        _compare_files.load_examples(tmp_path / "nothing", model)
    with pytest.raises(ValueError, match="`scale` to be one of"):
        _compare_files.load_examples(tmp_path, model, scale="0..2")


def test_maps_are_faded_where_the_fills_disagree(model, x, monkeypatch):
    from keras_explain import images, plots

    drawn = []
    several = functools.partial(kx.occlusion, baseline="several", patch_size=4)
    methods = {"several": several, "cam": kx.grad_cam}
    table = comparing.compare(model, x[:2], methods, ["sparseness"])
    monkeypatch.setattr(plots, "comparison", lambda image, maps, **options: drawn.append(
        (maps, options)))
    comparing_figure = sys.modules["keras_explain.metrics._comparison_figure"]
    comparing_figure.maps(table)
    monkeypatch.undo()
    ((maps, options),) = drawn
    assert list(options["disagreement"]) == ["several"]
    answer = several(model).predict(x[:1], verbose=0)
    (wanted,) = images.fade(answer["heatmap"], answer["disagreement"])
    assert np.any(wanted != answer["heatmap"][0])
    np.testing.assert_allclose(
        images.fade(maps["several"], options["disagreement"]["several"]), wanted, atol=1e-5)


def test_baselines_are_scored_once_for_a_model_and_data(model, x, monkeypatch):
    """The second comparison has the same numbers, and looks at its own method alone."""
    scored = []

    def spy(metric, evaluator, data, maps, *others):
        scored.append(metric.name)
        return score(metric, evaluator, data, maps, *others)

    score = comparing._score
    monkeypatch.setattr(comparing, "_score", spy)
    chosen = ["insertion", functools.partial(metrics.deletion, steps=5), "sparseness"]
    x = x[:4]

    def run(**options):
        scored.clear()
        options = {"methods": ["saliency"], "metrics": chosen, "verbose": 0, **options}
        table = comparing.compare(model, options.pop("x", x), **options)
        return {(m, k): table.scores[m][k] for m in table.baselines for k in table.scores[m]}

    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    first, count = run(), len(scored)
    again = run(methods=["grad_cam"])
    assert count == 12 and scored.count("insertion") == scored.count("deletion") == 1
    for key, numbers in first.items():
        assert np.array_equal(again[key], numbers)
    own = comparing.compare(twin, x, ["saliency"], chosen, verbose=0)  # knows nothing yet
    assert all(np.allclose(own.scores[m][k], v, atol=1e-6) for (m, k), v in first.items())

    others = [{"seed": 1}, {"target": 2}, {"baseline": 0.5}, {"x": x[::-1]},
              {"metrics": ["insertion", functools.partial(metrics.deletion, steps=6)]}]
    for options in others:
        run(**options)
        assert scored.count("deletion") == 4, options
    run(target=lambda scores: scores[:, 0])  # may be any function
    run(target=lambda scores: scores[:, 1])
    assert scored.count("deletion") == 4


def test_baselines_are_scored_again_where_the_model_is_another(x):
    """Other weights, and another activation of the same weights."""
    inputs = keras.Input((12, 16, 3))
    outputs = layers.Dense(3, activation="softmax", name="end")(layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)

    def run():
        table = comparing.compare(model, x[:2], ["saliency"], ["insertion"], target=0, verbose=0)
        return table.scores["random_pixels"]["insertion"]

    first = run()
    model.set_weights([2 * w for w in model.get_weights()])
    second = run()
    model.get_layer("end").activation = keras.activations.sigmoid
    third = run()
    assert not np.allclose(first, second) and not np.allclose(second, third)
