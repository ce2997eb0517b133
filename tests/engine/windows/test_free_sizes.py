"""Models of any size get windows as soon as a size is known, with the numbers of full runs."""

import keras
import numpy as np
import pytest
from keras import layers
from models import alive, draw

import keras_explain as kx
from keras_explain.engine.windows.plan import Plan

GRID = {"patch_size": 4, "stride": 3}


def backbone(sizes):
    keras.utils.set_random_seed(0)
    x = keras.Input((*sizes, 3))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))
    y = layers.Add()([y, layers.Conv2D(8, 3, padding="same", activation="relu")(y)])
    y = layers.Conv2D(8, 3, 2, activation="tanh")(layers.MaxPooling2D()(y))
    inside = keras.Model(x, y, name="backbone")
    x = keras.Input((*sizes, 3))
    y = layers.GlobalAveragePooling2D()(inside(x))
    return alive(keras.Model(x, layers.Dense(3, activation="softmax")(y)),
                 draw((*(n or 32 for n in sizes), 3), 8))


def brute_force(model, x, patch, stride):
    """The mean drop of the logit of the top class over the patches that cover a pixel."""
    def score(x):
        p = np.asarray(keras.ops.convert_to_numpy(model(x)), "float64")
        return np.log(p[:, top] / (1 - p[:, top]))

    top = int(np.argmax(keras.ops.convert_to_numpy(model(x[None]))))
    sizes = x.shape[:2]
    starts = [sorted({*range(0, n - patch + 1, stride), n - patch}) for n in sizes]
    total, count, changed = np.zeros(sizes), np.zeros(sizes), []
    boxes = [(slice(r, r + patch), slice(c, c + patch)) for r in starts[0] for c in starts[1]]
    for box in boxes:
        changed.append(x.copy())
        changed[-1][box] = x.mean(axis=(0, 1))
    for box, lost in zip(boxes, score(x[None]) - score(np.stack(changed)), strict=True):
        total[box] += lost
        count[box] += 1
    return total / count


def find_plans(explained):
    return {shapes[0][:2]: [type(plan) for plan in found[1]]
            for shapes, found in explained.explainer.sized._found.items() if found}


@pytest.mark.parametrize("way", ["called", "predict", "predict_on_batch"])
def test_maps_of_each_size_are_those_of_brute_force(way):
    model = backbone((None, None))
    explained = kx.occlusion(model, **GRID)
    ask = {"called": explained, "predict": lambda x: explained.predict(x, verbose=0),
           "predict_on_batch": explained.predict_on_batch}[way]
    for sizes in [(24, 20), (20, 31), (24, 20)]:
        x = draw((*sizes, 3), 2)
        found = keras.ops.convert_to_numpy(ask(x)["heatmap"])
        for one, heatmap in zip(x, found, strict=True):
            wanted = brute_force(model, one, 4, 3)
            np.testing.assert_allclose(heatmap, wanted, atol=2e-4 * np.ptp(wanted))
        assert find_plans(explained)[sizes] == [Plan]


def test_they_are_those_of_the_model_of_fixed_size():
    free, fixed = backbone((None, None)), backbone((24, 20))
    fixed.set_weights(free.get_weights())
    x = draw((24, 20, 3), 3)
    wanted = kx.occlusion(fixed, engine="incremental", **GRID).predict(x, verbose=0)["heatmap"]
    explained = kx.occlusion(free, **GRID)
    np.testing.assert_allclose(explained.predict(x, verbose=0)["heatmap"], wanted,
                               atol=1e-5 * np.ptp(wanted))
    assert "for each size" in explained.explainer.report()
    free.set_weights([w * 1.1 for w in free.get_weights()])  # plans follow the weights
    fixed.set_weights(free.get_weights())
    wanted = kx.occlusion(fixed, engine="incremental", **GRID).predict(x, verbose=0)["heatmap"]
    np.testing.assert_allclose(explained.predict(x, verbose=0)["heatmap"], wanted,
                               atol=1e-5 * np.ptp(wanted))


def test_functions_are_kept_for_a_few_sizes():
    explained = kx.occlusion(backbone((None, None)), **GRID)
    for size in range(16, 26):
        explained.predict_on_batch(draw((size, 16, 3), 1))
    assert len(explained._traced) == 8


def test_a_size_below_the_patch_is_no_plan():
    explained = kx.occlusion(backbone((None, None)), patch_size=16, stride=4)
    assert explained.explainer.sized.at([np.zeros((1, 12, 20, 3))]) is None
    assert explained.explainer.sized.at([np.zeros((1, 20, 20, 3))]) is not None


@pytest.mark.parametrize("options", [{"engine": "full"}, {}])
def test_models_of_fixed_size_and_full_runs_plan_nothing_later(options):
    model = backbone((24, 20) if not options else (None, None))
    assert not kx.occlusion(model, **GRID, **options).explainer.plans_by_size
