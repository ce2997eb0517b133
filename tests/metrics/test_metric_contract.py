"""What every metric promises, on every kind of model that a heatmap can be scored on.

A new metric is one line in the registry.
"""

import contextlib
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import tree
from models import KINDS, alive, image, stack
from running import JAX
from test_contract import draws, everything

import keras_explain as kx
from keras_explain import metrics
from keras_explain.metrics import METRICS

FAST = {"deletion": {"steps": 4}, "insertion": {"steps": 4}, "sensitivity_n": {"samples": 6},
        "infidelity": {"samples": 6}, "max_sensitivity": {"samples": 2}}
# What has no small change, or no part that can be found: words of the error.
REFUSED = {("max_sensitivity", "tokens"): "Tokens have no small change"}
NAMES = ("functional", "channels_first", "tokens", "uint8_image", "mixed_float16", "sequence",
         "volume", "table", "sigmoid_of_one_unit", "subclassed_opaque", "variable_size")
ALWAYS = NAMES[:1] if JAX else NAMES[:3]
EVERY = [pytest.param(metric, kind, id=f"{metric}-{kind}",
                      marks=[] if kind in ALWAYS else pytest.mark.slow)
         for metric in METRICS for kind in NAMES]
# What each number can be.
RANGES = {"deletion": (0, 1), "insertion": (0, 1), "average_drop": (0, 1),
          "increase_in_confidence": (0, 1), "sensitivity_n": (-1, 1), "pointing_game": (0, 1),
          "energy_pointing_game": (0, 1), "sparseness": (0, 1)}


def maps_for(kind, count, seed=5):
    return np.random.default_rng(seed).normal(size=(count, *kind.heatmap)).astype("float32")


def boxes_for(kind, count):
    """The first half of each axis."""
    return [(*[0] * len(kind.heatmap), *[-(-n // 2) for n in kind.heatmap])] * count


def score(name, model, x, maps, kind, *, target=None, batch_size=64, **options):
    """The metric as a user calls it."""
    metric, options = METRICS[name], {**FAST.get(name, {}), **options}
    if kind.name == "tokens" and metric.reads == "model":
        options.setdefault("baseline", 1)  # 0 is padding, and text of nothing else has no mean
    if kind.name == "table" and metric.reads == "model":
        options.setdefault("baseline", 0.0)  # columns have no mean of their own
    if kind.name == "table" and metric.reads == "method":
        options.setdefault("baseline", np.stack([np.zeros(5), np.ones(5)]))
    if metric.reads == "maps":
        return metric.function(maps, **options)
    if metric.reads == "regions":
        return metric.function(maps, boxes_for(kind, len(maps)), **options)
    if metric.reads == "method":
        explained = kx.saliency(model, target=target)
        return metric.function(explained, x, batch_size=batch_size, **options)
    return metric.function(model, x, maps, target=target, batch_size=batch_size, **options)


def scored(name, kind_name, count=3, **options):
    kind = KINDS[kind_name]
    return score(name, kind.model, kind.inputs(count), maps_for(kind, count), kind, **options)


@contextlib.contextmanager
def refused_where_it_is_not_made_for(name, kind):
    words = REFUSED.get((name, kind))
    if words is None:
        yield
        return
    with pytest.raises(ValueError, match=words):
        yield
    pytest.skip(words)


@pytest.mark.parametrize("name, kind", EVERY)
def test_one_finite_number_for_each_example(name, kind):
    with refused_where_it_is_not_made_for(name, kind):
        found = scored(name, kind)
    assert isinstance(found, np.ndarray) and found.shape == (3,)
    assert found.dtype in ("float32", "float64") and np.isfinite(found).all()
    low, high = RANGES.get(name, (-np.inf if name == "sensitivity_n" else 0, np.inf))
    assert (found >= low - 1e-6).all() and (found <= high + 1e-6).all()


@pytest.mark.parametrize("name, kind", EVERY)
def test_neighbors_and_batch_size_change_nothing(name, kind):
    with refused_where_it_is_not_made_for(name, kind):
        together = scored(name, kind)
    model, x, maps = KINDS[kind].model, KINDS[kind].inputs(3), maps_for(KINDS[kind], 3)
    others = tree.map_structure(lambda a, b: np.concatenate([a[:1], b[1:]]), x,
                                KINDS[kind].inputs(3, seed=2))
    beside = score(name, model, others, np.concatenate([maps[:1], maps_for(
        KINDS[kind], 2, seed=6)]), KINDS[kind])
    close = {"rtol": 2e-3, "atol": 2e-3} if kind == "mixed_float16" else {
        "rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(beside[0], together[0], **close)
    np.testing.assert_allclose(scored(name, kind, batch_size=2), together, **close)


@pytest.mark.parametrize("name", METRICS)
def test_model_and_random_state_stay_as_they_are(name):
    kind = KINDS["preprocessing_inside"]
    before = everything(kind.model)
    keras.utils.set_random_seed(7)
    wanted = draws()
    keras.utils.set_random_seed(7)
    first = scored(name, "preprocessing_inside")
    assert draws() == wanted
    np.testing.assert_array_equal(scored(name, "preprocessing_inside"), first)
    after = everything(kind.model)
    for key in before:
        np.testing.assert_equal(after[key], before[key], err_msg=key)


READING = [name for name, metric in METRICS.items() if metric.reads == "model"]


@pytest.mark.parametrize("name", READING)
def test_an_evaluator_gives_the_same_and_follows_the_training(name):
    model = alive(keras.Sequential([image(), *stack()]), None)
    kind = KINDS["functional"]
    x, maps = kind.inputs(3), maps_for(kind, 3)
    evaluator = metrics.Evaluator(model, batch_size=7)
    for seed in (0, 5):
        alive(model, None, seed=seed)
        np.testing.assert_allclose(
            METRICS[name].function(evaluator, x, maps, **FAST.get(name, {})),
            score(name, model, x, maps, kind), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*READING, "max_sensitivity"])
def test_the_top_class_is_what_is_watched(name):
    kind = KINDS["functional"]
    top = kind.model.predict_on_batch(kind.inputs(3)).argmax(axis=1)
    default = scored(name, "functional")
    np.testing.assert_allclose(scored(name, "functional", target=top.tolist()), default, rtol=1e-5)
    if name not in ("increase_in_confidence",):  # which is 0 or 1, and may be the same
        other = scored(name, "functional", target=((top + 1) % 4).tolist())
        assert np.abs(other - default).max() > 1e-6


@pytest.mark.parametrize("name", READING)
def test_an_explained_model_scores_its_own_heatmaps(name):
    kind = KINDS["functional"]
    explained, x = kx.saliency(kind.model, target=1), kind.inputs(3)
    maps = explained.predict(x, verbose=0)["heatmap"]
    np.testing.assert_allclose(
        METRICS[name].function(explained, x, **FAST.get(name, {})),
        score(name, kind.model, x, maps, kind, target=1), rtol=1e-5, atol=1e-6)


def broken(change):
    kind = KINDS["functional"]
    x, maps = kind.inputs(3), maps_for(kind, 3)
    given = {"x": x, "maps": maps, "options": {}}
    change(given)
    return given


def set_nan(array):
    array[1, 2, 3] = np.nan


WRONG = {
    "NaN in a heatmap": (lambda g: set_nan(g["maps"]), "Expected finite heatmaps"),
    "NaN in an input": (lambda g: set_nan(g["x"]), "Expected finite inputs"),
    "too few heatmaps": (lambda g: g.update(maps=g["maps"][:2]), "Expected 3 heatmaps"),
    "channels": (lambda g: g.update(maps=g["x"][..., :2]),
                 r"Expected heatmaps of shape \(3, 16, 12\)"),
    "no batch": (lambda g: g.update(x=g["x"][0]), "add a batch axis"),
    "no examples": (lambda g: g.update(x=g["x"][:0], maps=g["maps"][:0]), "Expected "),
    "class": (lambda g: g["options"].update(target=9), "Expected `target` from 0 to 3"),
    "classes": (lambda g: g["options"].update(target=[0, 1]), "one class per image|3 of them"),
    "batch size": (lambda g: g["options"].update(batch_size=0), "`batch_size` to be an integer"),
    "half a batch": (lambda g: g["options"].update(batch_size=2.5), "received 2.5"),
    "baseline": (lambda g: g["options"].update(baseline="gray"), "received 'gray'"),
    "score": (lambda g: g["options"].update(score="loss"), "`score` to be one of.*'loss'"),
    "verbose": (lambda g: g["options"].update(verbose="loud"), "`verbose`.*'loud'"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", READING)
def test_wrong_use_is_told(name, wrong):
    change, words = WRONG[wrong]
    given = broken(change)
    if "score" in given["options"] and name in ("average_drop", "increase_in_confidence"):
        pytest.skip("the paper's score is the probability")
    with pytest.raises(ValueError, match=words):
        score(name, KINDS["functional"].model, given["x"], given["maps"], KINDS["functional"],
              **given["options"])


@pytest.mark.parametrize("name, option, value", [
    (n, o, v) for n, options in FAST.items() for o in options for v in (0, 1.5, "many")])
def test_counts_are_checked(name, option, value):
    with pytest.raises(ValueError, match=f"`{option}` to be an integer of at least 1"):
        scored(name, "functional", **{option: value})


@pytest.mark.parametrize("name, option", [(n, o) for n, options in FAST.items() for o in options])
def test_whole_numbers_of_numpy_are_numbers(name, option):
    plain = scored(name, "functional")
    numpy = scored(name, "functional", **{option: np.int64(FAST[name][option])})
    np.testing.assert_array_equal(numpy, plain)


def test_a_model_without_an_answer_for_nothing_is_told():
    """A mean over the tokens that are no padding is 0 / 0 where all are hidden."""
    for name in ("deletion", "completeness"):
        with pytest.raises(ValueError, match="Expected finite scores, received NaN.*`baseline`"):
            scored(name, "tokens", baseline="zero")


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if m.reads in ("maps", "regions")])
@pytest.mark.parametrize("maps, words", [
    (np.full((2, 4, 4), np.nan), "Expected finite heatmaps"),
    (np.zeros((0, 4, 4)), "Expected at least one heatmap"), (np.zeros(4), "Expected at least one"),
])
def test_wrong_maps_are_told(name, maps, words):
    regions = [[(0, 0, 2, 2)] * len(maps)] if METRICS[name].reads == "regions" else []
    with pytest.raises(ValueError, match=words):
        METRICS[name].function(maps, *regions)


@pytest.mark.parametrize("name", METRICS)
def test_is_in_every_list(name):
    """The function, its place, its page, and what its docstring must say."""
    metric = METRICS[name]
    assert metric.name == name and getattr(metrics, name) is metric.function
    said = metric.function.__doc__
    for part in ("Direction:", "Cost:", "Weakness:", "Reference"):
        assert part in said
    assert re.search(r"Direction: (\w+)", said).group(1) == metric.best
    page = pathlib.Path(kx.__file__).parents[1] / "docs" / "metrics.md"
    assert re.search(rf"^\|.*`{name}`.*\|.*{metric.best}", page.read_text("utf-8"), re.M)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_is_printed_unless_asked(name, capfd):
    capfd.readouterr()
    scored(name, "functional")
    out, err = capfd.readouterr()
    assert out == "" and "[" not in err
