import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx


def shares(image, baseline, steps):
    """The midpoint sum of central differences, times the way."""
    _, twin = by_hand.network()
    index, total = twin.top_class(image), 0
    for k in range(steps):
        point = baseline + (k + 0.5) / steps * (image - baseline)
        total = total + by_hand.gradient(lambda x: twin.logits(x)[index], point)
    shares = ((image - baseline) * total / steps).sum(axis=-1)
    gap = shares.sum() - twin.logits(image)[index] + twin.logits(baseline)[index]
    return shares, gap


COLOR = np.array([0.2, 0.9, 0.4], "float32")
ARRAY = by_hand.images(1, seed=5)[0]
BASELINES = {
    "zero": lambda image: [np.zeros_like(image)],
    "mean": lambda image: [np.zeros_like(image) + image.mean(axis=(0, 1))],
    "number": lambda image: [np.full_like(image, 0.5)],
    "color": lambda image: [np.zeros_like(image) + COLOR],
    "array": lambda image: [ARRAY],
    "several": lambda image: [ARRAY, 0 * ARRAY, 1 - ARRAY],
}
GIVEN = {"number": 0.5, "color": COLOR, "array": ARRAY,
         "several": np.stack([ARRAY, 0 * ARRAY, 1 - ARRAY])}


@pytest.mark.parametrize("name", BASELINES)
def test_is_the_sum_along_the_way_and_tells_its_gap(name):
    batch, steps = by_hand.images(3), 3
    model, _ = by_hand.network()
    out = kx.integrated_gradients(
        model, baseline=GIVEN.get(name, name), steps=steps, method="midpoint", batch_size=4,
    ).predict(batch, verbose=0)
    wanted, gaps = [], []
    for image in batch:
        each = [shares(image, base, steps) for base in BASELINES[name](image)]
        wanted.append(np.mean([heat for heat, _ in each], axis=0))
        gaps.append(np.mean([gap for _, gap in each]))
    by_hand.close(out["heatmap"], np.stack(wanted))
    np.testing.assert_allclose(out["completeness_gap"], gaps, atol=1e-4)


def test_gauss_legendre_is_exact_for_polynomials():
    """Two nodes integrate the gradient of x^4, a cubic, exactly: each share is x^4."""
    inputs = keras.Input((5,))
    model = keras.Model(inputs, ops.sum(inputs**4, axis=-1, keepdims=True))
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    out = kx.integrated_gradients(model, steps=2, baseline=0.0)(x)
    np.testing.assert_allclose(ops.convert_to_numpy(out["heatmap"]), x**4, rtol=1e-4, atol=1e-6)
    assert np.abs(ops.convert_to_numpy(out["completeness_gap"])).max() < 1e-4
    rough = kx.integrated_gradients(model, steps=2, baseline=0.0, method="midpoint")(x)
    assert np.abs(ops.convert_to_numpy(rough["completeness_gap"])).max() > 1e-2


def test_more_steps_close_the_gap():
    model, _ = by_hand.network()
    batch = by_hand.images(4)
    gaps = [np.abs(kx.integrated_gradients(model, steps=steps).predict(batch, verbose=0)[
        "completeness_gap"]).max() for steps in (2, 64)]
    assert gaps[1] < 0.1 * gaps[0]


def sentences():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True, name="embedding")(inputs)
    x = layers.GlobalAveragePooling1D()(layers.Dense(5, activation="tanh")(x))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape))
    return model, np.array([[1, 2, 3, 4, 5, 6], [9, 8, 3, 2, 0, 0]], "int32")


@pytest.mark.parametrize("baseline", ["zero", "mean", 7, [7, 1, 1, 1, 1, 1]])
def test_tokens_go_through_the_embedding(baseline):
    model, tokens = sentences()
    explained = kx.integrated_gradients(model, target=1, baseline=baseline, steps=24)
    out = {k: ops.convert_to_numpy(v) for k, v in explained(tokens).items()}
    assert out["heatmap"].shape == (2, 6) and np.abs(out["completeness_gap"]).max() < 1e-3
    assert not out["heatmap"][1, 4:].any() and out["heatmap"][1, :4].all()  # padding gets nothing
    if isinstance(baseline, list):  # the token that is the baseline's own
        same = ops.convert_to_numpy(explained(np.array([[7, 2, 3, 4, 5, 6]], "int32"))["heatmap"])
        assert same[0, 0] == 0 and same[0, 1:].all()


def two_inputs():
    picture, table = keras.Input((5, 4, 2), name="picture"), keras.Input((3,), name="table")
    x = layers.Flatten()(layers.Conv2D(3, 2, activation="tanh")(picture))
    x = layers.Dense(4, activation="tanh")(layers.Concatenate()([x, table]))
    model = keras.Model({"picture": picture, "table": table}, layers.Dense(2)(x))
    rng = np.random.default_rng(0)
    return model, {"picture": rng.normal(size=(3, 5, 4, 2)).astype("float32"),
                   "table": rng.normal(size=(3, 3)).astype("float32")}


def test_several_inputs_share_the_score_out_among_them():
    model, data = two_inputs()
    baseline = {"picture": "mean", "table": np.array([1.0, 0.5, -1.0])}
    out = kx.integrated_gradients(model, target=0, baseline=baseline)(data)
    assert set(out["heatmap"]) == {"picture", "table"}
    total = sum(ops.convert_to_numpy(h).reshape(3, -1).sum(1) for h in out["heatmap"].values())
    start = {"picture": np.broadcast_to(data["picture"].mean(axis=(1, 2), keepdims=True),
                                        data["picture"].shape),
             "table": np.tile(np.float32(baseline["table"]), (3, 1))}
    change = ops.convert_to_numpy(model(data) - model(start))[:, 0]
    np.testing.assert_allclose(total, change, atol=1e-4)
    assert np.abs(ops.convert_to_numpy(out["completeness_gap"])).max() < 1e-4


def test_one_of_several_inputs_moves_alone():
    model, data = two_inputs()
    out = kx.integrated_gradients(model, target=0, input="table")(data)
    change = model(data) - model({**data, "table": 0 * data["table"]})
    np.testing.assert_allclose(ops.convert_to_numpy(out["heatmap"]).sum(axis=1),
                               ops.convert_to_numpy(change)[:, 0], atol=1e-4)


def test_baselines_are_saved_as_they_are(tmp_path):
    model, _ = by_hand.network()
    batch = by_hand.images(2)
    for baseline in (GIVEN["several"], COLOR):
        explained = kx.integrated_gradients(model, baseline=baseline, steps=2)
        explained.save(tmp_path / "ig.keras")
        again = keras.models.load_model(tmp_path / "ig.keras")
        np.testing.assert_allclose(again.predict(batch, verbose=0)["heatmap"],
                                   explained.predict(batch, verbose=0)["heatmap"], atol=1e-5)


@pytest.mark.parametrize("options, words", [
    ({"baseline": "gray"}, "Expected `baseline` to be one of"),
    ({"baseline": np.zeros((7, 5, 3))}, "array of shape"),
    ({"baseline": np.zeros((2, 7, 5, 3))}, "array of shape"),
    ({"baseline": {"x": 0}}, "Expected one `baseline` for each of the inputs"),
    ({"method": "trapezoid"}, "Expected `method` to be one of"),
    ({"steps": 0}, "Expected `steps` to be an integer of at least 1"),
])
def test_errors(options, words):
    with pytest.raises(ValueError, match=words):
        kx.integrated_gradients(by_hand.network()[0], **options)
