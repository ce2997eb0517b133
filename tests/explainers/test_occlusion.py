import itertools

import keras
import numpy as np
import pytest
from keras import layers
from models import HEIGHT, KINDS, WIDTH, alive, draw, image, setting
from running import heatmap, run

import keras_explain as kx


def starts(size, patch, stride):
    """Where patches begin: every stride, the last one shifted inward to end at the border."""
    found = list(range(0, size - patch + 1, stride))
    return found if found[-1] == size - patch else [*found, size - patch]


def brute_force(score, x, patch, stride, hidden, axes):
    """Occlusion as a loop: hide each patch, note the drop, average it over the pixels it covers.

    Args:
        score: from a batch to numbers.
        x: one example.
        hidden: the example with nothing to see.
        axes: those that the patch slides along.
    """
    sizes = [x.shape[a] for a in axes]
    total, count = np.zeros(sizes), np.zeros(sizes)
    grid = [starts(*g) for g in zip(sizes, patch, stride, strict=True)]
    for place in itertools.product(*grid):
        box = tuple(slice(p, p + n) for p, n in zip(place, patch, strict=True))
        where = [slice(None)] * x.ndim
        for axis, part in zip(axes, box, strict=True):
            where[axis] = part
        changed = x.copy()
        changed[tuple(where)] = hidden[tuple(where)]
        total[box] += score(x[None])[0] - score(changed[None])[0]
        count[box] += 1
    return total / count


def flat(shape, units=3, seed=0, dtype="float32"):
    """A model that sees each pixel, with interactions between them."""
    x = keras.Input(shape, dtype=dtype)
    y = layers.Rescaling(1 / 255)(x) if dtype == "uint8" else x
    y = layers.Dense(5, activation="tanh")(layers.Flatten()(y))
    return alive(keras.Model(x, layers.Dense(units, activation="softmax")(y)), None, seed)


def log_odds(model, index):
    weights = [np.array(w, "float64") for w in model.get_weights()]
    scale = 255 if model.input.dtype == "uint8" else 1

    def score(x):
        hidden = np.tanh(x.reshape(len(x), -1).astype("float64") / scale @ weights[0] + weights[1])
        odds = np.exp(hidden @ weights[2] + weights[3])
        return np.log(odds[:, index] / np.delete(odds, index, axis=-1).sum(axis=-1))

    return score


SHAPES = [
    ((9, 7, 1), (4, 3), (4, 2)),  # patches that do not divide the image
    ((6, 8, 3), (3, 4), (3, 4)),
    ((4, 5, 6, 2), (2, 2, 3), (1, 2, 3)),  # a volume
]


@pytest.mark.parametrize("shape, patch, stride", SHAPES)
def test_equals_a_loop(shape, patch, stride):
    model, x = flat(shape), draw(shape, 2)
    explained = kx.occlusion(model, patch_size=patch, stride=stride, target=1, baseline="mean")
    found, axes = heatmap(explained, x), tuple(range(len(shape) - 1))
    for row in range(2):
        hidden = np.broadcast_to(x[row].mean(axis=axes, keepdims=True), shape)
        wanted = brute_force(log_odds(model, 1), x[row], patch, stride, hidden, axes)
        np.testing.assert_allclose(found[row], wanted, atol=2e-6)
    assert found.min() < 0 < found.max()


def test_sequence_equals_a_loop():
    kind = KINDS["sequence"]
    x = kind.inputs(1)
    found = heatmap(kx.occlusion(kind.model, patch_size=5, stride=3, target=1, baseline="zero"), x)[
        0
    ]

    def score(x):
        p = run(kind.model, x)[:, 1].astype("float64")
        return np.log(p / (1 - p))

    wanted = brute_force(score, x[0], (5,), (3,), 0 * x[0], (0,))
    np.testing.assert_allclose(found, wanted, atol=4e-6)
    assert found.shape == (24,) and np.ptp(found) > 1e-3


def test_table_has_one_column_hidden_at_a_time():
    model = flat((5,))
    x = draw((5,), 2)
    found = heatmap(kx.occlusion(model, target=0, baseline="zero"), x)
    wanted = [brute_force(log_odds(model, 0), row, (1,), (1,), 0 * row, (0,)) for row in x]
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def blurred(x):
    """Gaussian of 5 % of each axis, at least one pixel, renormalized at the border."""
    for axis in (0, 1):
        size = x.shape[axis]
        line = np.arange(size)
        weights = np.exp(-0.5 * ((line[:, None] - line) / max(1, 0.05 * size)) ** 2)
        x = np.moveaxis(np.tensordot(weights / weights.sum(axis=1, keepdims=True), x, (1, axis)),
                        0, axis)
    return x


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("value", ["mean", "zero", "blur", 7, (3, 2, 1), "array"])
def test_baseline(value, dtype):
    shape = (7, 6, 3)
    model = flat(shape, dtype=dtype)
    x = draw(model.input, 1)
    given = draw(model.input, 1, seed=9)[0] if value == "array" else value
    hidden = {
        "mean": lambda: x[0].mean(axis=(0, 1), keepdims=True, dtype="float64"),
        "zero": lambda: np.zeros(shape),
        "blur": lambda: blurred(x[0].astype("float64")),
    }.get(value, lambda: np.array(given))()
    hidden = np.broadcast_to(hidden if dtype == "float32" else np.round(hidden), shape)
    found = heatmap(kx.occlusion(model, patch_size=(3, 2), stride=2, target=0, baseline=given), x)[
        0
    ]
    wanted = brute_force(log_odds(model, 0), x[0], (3, 2), (2, 2), hidden.astype(dtype), (0, 1))
    np.testing.assert_allclose(found, wanted, atol=3e-6)


def test_gaps_take_the_nearest_patch():
    """Patches of 2 every 5 pixels, the last shifted inward: they cover 0-1, 5-6 and 8-9."""
    model = keras.Sequential([keras.Input((10, 1)), layers.Flatten(),
                              layers.Dense(1, use_bias=False)])
    model.set_weights([np.arange(1, 11, dtype="float32")[:, None]])
    x = np.ones((1, 10, 1), "float32")
    found = heatmap(kx.occlusion(model, patch_size=2, stride=5, baseline="zero", score="logit"), x)[
        0
    ]
    first, second, third = 1 + 2, 6 + 7, 9 + 10
    between = [(first + second) / 2], [(second + third) / 2]
    np.testing.assert_allclose(found, [first] * 3 + between[0] + [second] * 3 + between[1]
                               + [third] * 2, rtol=1e-6)


def test_channels_first_equals_channels_last():
    def build(shape):
        x = image(*shape)
        y = layers.Conv2D(4, 3, activation="relu")(x)
        y = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(y))
        return alive(keras.Model(x, layers.Dense(3, "softmax")(y)), None)

    last = build((HEIGHT, WIDTH, 3))
    with setting(keras.config.image_data_format, keras.config.set_image_data_format,
                 "channels_first"):
        first = build((3, HEIGHT, WIDTH))
    x = draw((HEIGHT, WIDTH, 3), 2)
    for value in ("mean", "blur"):
        options = {"patch_size": (5, 4), "stride": (4, 3), "baseline": value}
        np.testing.assert_allclose(
            heatmap(kx.occlusion(first, **options), np.moveaxis(x, -1, 1)),
            heatmap(kx.occlusion(last, **options), x), atol=1e-6)


def test_explains_the_log_odds_of_the_top_class_by_default():
    model, x = flat((6, 5, 1)), draw((6, 5, 1), 3)
    top = run(model, x).argmax(axis=-1)
    explained = kx.occlusion(model, patch_size=3, stride=2)
    assert explained.explainer.question.score == "log_odds"
    found = heatmap(explained, x)
    for row in range(3):
        one = heatmap(kx.occlusion(model, patch_size=3, stride=2, target=int(top[row])), x)
        np.testing.assert_allclose(found[row], one[row], atol=1e-7)


def test_constant_score_gives_zeros_and_a_warning():
    x = image(8, 8, 1)
    model = keras.Model(x, layers.Dense(3, "softmax", kernel_initializer="zeros")(
        layers.Flatten()(x)))
    with pytest.warns(kx.BlankHeatmapWarning, match="Occlusion of .*class: top"):
        found = heatmap(kx.occlusion(model, patch_size=4, stride=4), draw((8, 8, 1), 2))
    assert not found.any()


def test_several_inputs():
    kind = KINDS["inputs_dict"]
    maps = heatmap(
        kx.occlusion(kind.model, patch_size=(8, 6), input=["picture"], target=1), kind.inputs(2)
    )
    assert maps.shape == (2, HEIGHT, WIDTH)
    table = heatmap(kx.occlusion(
        kind.model, patch_size=1, input="table", target=1, baseline=0.0), kind.inputs(2))
    assert table.shape == (2, 5) and table.any()


@pytest.mark.parametrize("builder", [kx.occlusion, kx.rise])
def test_an_input_of_one_number_is_hidden_as_a_whole(builder):
    user = keras.Input((), dtype="int32")
    tokens = keras.Model(user, layers.Dense(2)(layers.Embedding(9, 3)(user)))
    age = keras.Input(())
    number = keras.Model(age, layers.Dense(2)(layers.Reshape((1,))(age)))
    for model, x in (tokens, np.array([1, 2])), (number, np.array([0.5, 2], "float32")):
        out = builder(model, target=1, score="logit", baseline=3).predict(x, verbose=0)
        wanted = keras.ops.convert_to_numpy(model(x))[:, 1] - keras.ops.convert_to_numpy(
            model(np.full_like(x, 3)))[:, 1]
        np.testing.assert_allclose(out["heatmap"], wanted, atol=1e-5)
