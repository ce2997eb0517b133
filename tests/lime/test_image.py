"""LIME for images, against closed forms and on every kind of image and model."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_explain.lime import LimeImageExplainer, LimeWarning, Predictor
from keras_explain.lime.sampling import Exponential

GRID = np.kron(np.arange(12).reshape(3, 4), np.ones((4, 3), int))  # 12 tiles on 12 x 12 pixels


def picture(shape=(12, 12, 3), seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype("float32")


def dense_model(shape=(12, 12, 3), units=3, activation=None, seed=0):
    """Linear in its pixels, so that what each superpixel contributes is known."""
    inputs = keras.Input(shape)
    outputs = layers.Dense(units, activation=activation, name="scores")(layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs, name="linear")
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    model.set_weights([rng.normal(size=(size, units)) / size**0.5, rng.normal(size=units)])
    return model


def conv_model(shape=(12, 12, 3), units=4, activation="softmax", seed=0):
    inputs = keras.Input(shape)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", data_format="channels_last")(inputs)
    x = layers.BatchNormalization()(layers.Dropout(0.5)(x))
    x = layers.Flatten()(x)
    model = keras.Model(inputs, layers.Dense(units, activation=activation)(x))
    rng = np.random.default_rng(seed)
    for w in model.trainable_weights:
        w.assign(rng.normal(size=w.shape) / max(w.shape[0], 1) ** 0.5)
    return model


def known_drops(model, image, fill, labels):
    """What a linear model loses when a superpixel is filled: exactly, by linearity."""
    kernel, bias = (np.asarray(w, np.float64) for w in model.get_weights())
    change = ((image.astype(np.float64) - fill).reshape(-1, 1) * kernel).reshape(*image.shape, -1)
    per_pixel = change.sum(axis=2)
    drops = np.stack([per_pixel[labels == s].sum(axis=0) for s in range(labels.max() + 1)], axis=1)
    return drops, np.asarray(fill, np.float64).ravel() @ kernel + bias


def means(image, labels):
    fill = np.empty_like(image)
    for s in range(labels.max() + 1):
        fill[labels == s] = image[labels == s].mean(axis=0)
    return fill


@pytest.mark.parametrize("surrogate", ["k_lasso", "highest_weights", "forward_selection", "ridge"])
@pytest.mark.parametrize("sampler", ["hadamard", "bernoulli", "uniform", "sobol"])
def test_linear_model_over_superpixel_means(sampler, surrogate):
    model, image = dense_model(), picture()
    drops, nothing = known_drops(model, image, means(image, GRID), GRID)
    explainer = LimeImageExplainer(model, segments=GRID, sampler=sampler, surrogate=surrogate)
    explanation = explainer.explain(image, target=[0, 2], samples=200)
    assert np.allclose(explanation.weights, drops[[0, 2]], atol=2e-3 * np.abs(drops).max())
    assert np.allclose(explanation.intercept, nothing[[0, 2]], atol=0.01)
    assert np.allclose(explanation.prediction, model.predict(image[None], verbose=0)[0, [0, 2]])
    assert np.allclose(explanation.local_prediction, explanation.prediction, atol=0.01)
    assert (explanation.fidelity > 0.9999).all() and (explanation.held_out_fidelity > 0.999).all()
    assert (explanation.stability > 0.9999).all()


@pytest.mark.parametrize("fill", [0.25, [0.1, 0.5, 0.9], "image", "blur"])
def test_fills(fill):
    model, image = dense_model(), picture()
    if isinstance(fill, str) and fill == "image":
        fill = picture(seed=1)
    explainer = LimeImageExplainer(model, segments=GRID, baseline=fill, surrogate="k_lasso")
    explanation = explainer.explain(image, target=[1], samples=100)
    if isinstance(fill, str):
        import cv2

        fill = cv2.GaussianBlur(image, (0, 0), 12 / 20)
    drops, _ = known_drops(model, image, np.broadcast_to(np.float32(fill), image.shape), GRID)
    assert np.allclose(explanation.weights[0], drops[1], atol=1e-4)


def test_graph_and_callable_agree():
    """The same perturbed images, made in the graph and in NumPy, on a network with Dropout."""
    model, image = conv_model(), picture()
    arguments = {"top": 3, "samples": 90, "seed": 3}
    in_graph = LimeImageExplainer(model, segments=GRID, batch_size=32).explain(image, **arguments)
    predict = lambda batch: model.predict(batch, verbose=0)  # noqa: E731
    on_host = LimeImageExplainer(predict, segments=GRID, batch_size=50).explain(image, **arguments)
    assert in_graph.classes == on_host.classes
    assert np.ptp(in_graph.weights) > 0.02
    assert np.allclose(in_graph.weights, on_host.weights, atol=1e-5)


def test_same_seed_same_bits_and_no_global_state():
    model, image = conv_model(), picture()
    before = [w.copy() for w in model.get_weights()]
    trainable = [layer.trainable for layer in model.layers]
    state = np.random.get_state()[1].copy()
    explainer = LimeImageExplainer(model, segments=GRID)
    first = explainer.explain(image, samples=96)
    assert explainer.explain(image, samples=96).to_json() == first.to_json()
    again = LimeImageExplainer(model, segments=GRID).explain(image, samples=96)
    assert again.to_json() == first.to_json()
    other = explainer.explain(image, samples=96, seed=1)
    assert other.to_json() != first.to_json()
    assert np.array_equal(np.random.get_state()[1], state)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert trainable == [layer.trainable for layer in model.layers]


def test_batch_size_bounds_memory_and_changes_nothing():
    sizes = []

    def spy(batch):
        sizes.append(len(batch))
        return batch.mean(axis=(1, 2, 3)).astype("float64")

    image = picture()
    kwargs = {"segments": GRID, "baseline": 0.0}
    one = LimeImageExplainer(spy, batch_size=7, **kwargs).explain(image, samples=100)
    assert max(sizes) == 7 and sum(sizes) == 100
    two = LimeImageExplainer(spy, batch_size=64, **kwargs).explain(image, samples=100)
    assert one.weights.any()
    assert np.array_equal(one.weights, two.weights)


def test_one_trace_for_many_images():
    calls = []

    def executor(batch):
        calls.append(batch.shape)
        return model(batch, training=False)

    model = dense_model()
    explainer = LimeImageExplainer(Predictor(model, executor=executor), segments=9, batch_size=32)
    for seed in range(3):
        explainer.explain(picture(seed=seed), samples=50 + seed, verbose=0)
    if keras.backend.backend() != "torch":
        assert len(calls) == 1
    assert set(map(tuple, calls)) == {(32, 12, 12, 3)}


def test_follows_later_training():
    model, image = dense_model(), picture()
    explainer = LimeImageExplainer(model, segments=GRID)
    first = explainer.explain(image, target=[1], samples=64)
    model.set_weights([2 * w for w in model.get_weights()])
    second = explainer.explain(image, target=[1], samples=64)
    assert np.allclose(second.weights, 2 * first.weights, rtol=1e-4)


@pytest.mark.parametrize("given", [(12, 12), (12, 12, 1), (1, 12, 12, 1)])
@pytest.mark.parametrize("wanted", [(12, 12), (12, 12, 1), (12, 12, 3), (3, 12, 12)])
def test_grayscale(given, wanted):
    model = dense_model(wanted)
    explainer = LimeImageExplainer(model, segments=GRID)
    if wanted == (12, 12) and given != (12, 12):
        with pytest.raises(ValueError, match=r"Expected an image of shape \(12, 12\)"):
            explainer.explain(picture(given))
        return
    explanation = explainer.explain(picture(given), samples=50)
    assert explanation.heatmap().shape == (12, 12)
    assert explanation.picture(2).shape == (12, 12, 3)


def test_channels_first_is_the_transpose_of_channels_last():
    image, seen = picture(), []

    def score(batch):
        seen.append(batch.shape)
        red = batch[:, 0] if batch.shape[1] == 3 else batch[..., 0]
        return (red * GRID).sum(axis=(1, 2))

    for segments in (GRID, "slic"):
        explainer = LimeImageExplainer(score, segments=segments, baseline=0.0)
        last = explainer.explain(image, samples=200)
        first = explainer.explain(np.moveaxis(image, -1, 0), samples=200)
        assert np.allclose(last.heatmap(), first.heatmap(), atol=1e-4)
        assert np.array_equal(last.picture(3), first.picture(3))
    assert seen[-1][1:] == (3, 12, 12)


def test_uint8_images_and_models():
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    drops, _ = known_drops(dense_model(), image, means(image.astype("float32"), GRID), GRID)
    explainer = LimeImageExplainer(dense_model(), segments=GRID)
    explained = explainer.explain(image, target=0, samples=64)
    assert np.allclose(explained.weights[0], drops[0], rtol=1e-2, atol=0.02)
    inputs = keras.Input((12, 12, 3), dtype="uint8")
    scores = dense_model()(layers.Rescaling(1.0)(inputs))
    explanation = LimeImageExplainer(keras.Model(inputs, scores), segments=GRID).explain(
        image, target=0, samples=64
    )
    assert np.allclose(explanation.weights[0], drops[0], atol=1.0)  # fills are rounded


@pytest.mark.parametrize("in_graph", [True, False])
def test_preprocess(in_graph):
    """`preprocess` runs in the graph if it can, and gives the same if it cannot."""
    model, calls = dense_model(), []

    def scale(batch):
        calls.append(isinstance(batch, np.ndarray))
        return (batch if in_graph else np.array(batch.tolist(), "float32")) / 127.5 - 1

    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype("float32")
    explanation = LimeImageExplainer(model, segments=GRID, preprocess=scale).explain(
        image, target=1, samples=64
    )
    expected, _ = known_drops(model, image / 127.5, means(image, GRID) / 127.5, GRID)
    assert np.allclose(explanation.weights[0], expected[1], atol=0.01)
    if keras.backend.backend() != "torch":
        assert (sum(calls) <= 2) == in_graph  # to try it, and to look once at the model


def test_preprocess_that_resizes():
    model = dense_model((6, 6, 3))
    explainer = LimeImageExplainer(
        model, segments=GRID, preprocess=lambda x: (x[:, ::2, ::2] + x[:, 1::2, 1::2]) / 2
    )
    explanation = explainer.explain(picture(), samples=64)
    assert explanation.heatmap().shape == (12, 12) and explanation.fidelity[0] > 0.99


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = conv_model()
    finally:
        keras.config.set_dtype_policy("float32")
    explanation = LimeImageExplainer(model, segments=GRID).explain(picture(), samples=64)
    assert np.isfinite(explanation.weights).all() and explanation.weights.any()


def test_one_superpixel():
    model, image = dense_model(activation="sigmoid", units=1), picture()
    explainer = LimeImageExplainer(model, segments=np.zeros((12, 12), int), baseline=0.0)
    explanation = explainer.explain(image, target=[1], samples=50)
    scores = model.predict(np.stack([image, 0 * image]), verbose=0)[:, 0]
    assert np.isclose(explanation.weights[0, 0], scores[0] - scores[1], atol=2e-3)
    assert explanation.samples == 2


def test_several_classes_come_from_one_set_of_samples():
    model, image = conv_model(), picture()
    explainer = LimeImageExplainer(model, segments=GRID, class_names=list("abcd"))
    both = explainer.explain(image, target=["c", 0], samples=64)
    assert both.class_names == ("c", "a")
    for row, label in enumerate((2, 0)):
        alone = explainer.explain(image, target=[label], samples=64)
        assert np.array_equal(both.weights[row], alone.weights[0])
    ranked = explainer.explain(image, top=4, samples=64)
    assert list(ranked.prediction) == sorted(ranked.prediction, reverse=True)


def test_tolerance_stops_early_and_tells_the_truth():
    model, image = conv_model(), picture()
    explainer = LimeImageExplainer(model, segments=GRID, batch_size=16)
    full = explainer.explain(image, samples=3000)
    early = explainer.explain(image, samples=3000, tolerance=0.1)
    assert early.converged and early.samples < 1500 and full.converged is None
    error = np.linalg.norm(early.weights - full.weights) / np.linalg.norm(full.weights)
    assert error < 0.2
    assert explainer.explain(image, samples=64, tolerance=1e-6).converged is False


def test_stability_is_the_correlation_between_seeds():
    """Scores of many interacting tiles: stability says how well other seeds agree."""
    rng = np.random.default_rng(0)
    segments = np.arange(36).reshape(6, 6)
    pairs = np.triu(rng.normal(size=(36, 36)), 1) * 0.3
    weights = rng.normal(size=36)

    def score(batch):
        on = batch.reshape(len(batch), 36)
        noise = np.sin(1e3 * (on @ weights))  # as good as random
        return on @ weights + np.einsum("ni,ij,nj->n", on, pairs, on) + 6 * noise

    explainer = LimeImageExplainer(
        Predictor(score, binary=False), segments=segments, baseline=0.0, sampler="bernoulli"
    )
    runs = [explainer.explain(np.ones((6, 6)), samples=400, seed=s) for s in range(12)]
    table = np.stack([run.weights[0] for run in runs])
    between = np.corrcoef(table)[np.triu_indices(12, 1)].mean()
    claimed = np.mean([run.stability[0] for run in runs])
    assert 0.5 < between < 0.95
    assert abs(claimed - between) < 0.08


def test_hadamard_needs_half_the_samples_of_independent_masks():
    rng = np.random.default_rng(1)
    segments = np.arange(49).reshape(7, 7)
    hidden = rng.normal(size=(49, 24)) * rng.exponential(1, (49, 1)) ** 1.5 / 7
    out = rng.normal(size=24) / 5

    def score(batch):
        return 1 / (1 + np.exp(-np.maximum(batch.reshape(-1, 49) @ hidden, 0) @ out))

    def correlation(sampler, samples):
        explainer = LimeImageExplainer(score, segments=segments, baseline=0.0, sampler=sampler)
        runs = [
            explainer.explain(np.ones((7, 7)), target=[1], samples=samples, seed=s).weights[0]
            for s in range(6)
        ]
        return np.mean([np.corrcoef(run, reference)[0, 1] for run in runs])

    reference = LimeImageExplainer(
        score, segments=segments, baseline=0.0, sampler="bernoulli", batch_size=4096
    ).explain(np.ones((7, 7)), target=[1], samples=40000, seed=99).weights[0]
    assert correlation("hadamard", 512) > correlation("bernoulli", 1024) - 0.003
    assert correlation("hadamard", 512) > correlation("bernoulli", 512) + 0.01


def test_constant_score_warns_and_gives_zeros():
    explainer = LimeImageExplainer(lambda batch: np.full((len(batch), 2), 0.5), segments=GRID)
    with pytest.warns(LimeWarning, match="class 1 are 0.*superpixels"):
        explanation = explainer.explain(picture(), target=[1])
    assert not explanation.weights.any() and explanation.top() == []
    assert not explanation.mask().any() and explanation.show() and explanation.to_html()


def test_low_fidelity_warns():
    explainer = LimeImageExplainer(
        lambda batch: np.sin(1e5 * batch.sum(axis=(1, 2, 3), dtype=float)) / 2 + 0.5,
        segments=GRID,
        baseline=0.0,
    )
    with pytest.warns(LimeWarning, match="of the variance of class"):
        explainer.explain(picture(), samples=400)


def test_narrow_kernel_warns():
    explainer = LimeImageExplainer(dense_model(), segments=GRID, kernel=Exponential(0.05))
    with pytest.warns(LimeWarning, match="effective samples of 300 are few for 12 superpixels"):
        explainer.explain(picture(), samples=300)


def test_progress_on_stderr(capfd):
    explainer = LimeImageExplainer(dense_model(), segments=GRID)
    explainer.explain(picture(), samples=100)
    explainer.explain(picture(), samples=100, verbose=0)
    assert capfd.readouterr() == ("", "")
    explainer.explain(picture(), samples=100, verbose=1)
    out, err = capfd.readouterr()
    assert out == "" and "12 superpixels" in err and "100/100" in err


@pytest.mark.parametrize(
    "error, arguments, words",
    [
        (ValueError, {"segments": "slick"}, "'slic'.*received 'slick'"),
        (ValueError, {"baseline": "black"}, "'mean', 'blur'.*received 'black'"),
        (ValueError, {"sampler": "halton"}, "'hadamard'.*received 'halton'"),
        (ValueError, {"kernel": "gauss"}, "'shapley'.*received 'gauss'"),
        (ValueError, {"surrogate": "svm"}, "'k_lasso'.*received 'svm'"),
        (ValueError, {"kernel": "shapley", "surrogate": "ridge"}, "prescribes both"),
        (ValueError, {"batch_size": 0}, "batch_size.*received 0"),
    ],
)
def test_constructor_errors(error, arguments, words):
    with pytest.raises(error, match=words):
        LimeImageExplainer(dense_model(), **arguments)


@pytest.mark.parametrize(
    "error, arguments, words",
    [
        (ValueError, {"x": picture((12, 9, 3))}, r"\(12, 12, 3\).*received \(12, 9, 3\)"),
        (ValueError, {"x": picture((2, 12, 12, 3))}, "Take one image of a batch"),
        (ValueError, {"x": np.full((12, 12, 3), np.nan)}, "NaN"),
        (TypeError, {"x": "panda.jpg"}, "real numbers"),
        (ValueError, {"target": [3]}, "from 0 to 2"),
        (ValueError, {"top": 4}, "at most 3"),
        (ValueError, {"target": [1, 1]}, "different"),
        (ValueError, {"target": [-1]}, "at least 0, received -1"),
        (TypeError, {"target": [1.5]}, "class index or name"),
        (ValueError, {"target": ["dog"]}, "'dog'. Nearest are"),
        (TypeError, {"target": True}, "class index or name"),
        (ValueError, {"samples": 5}, "samples.*received 5"),
        (ValueError, {"num_features": 0}, "num_features.*received 0"),
        (ValueError, {"seed": None}, "seed.*received None"),
        (ValueError, {"tolerance": 5}, "tolerance.*received 5"),
    ],
)
def test_explain_errors_before_any_call(error, arguments, words):
    def executor(batch):
        raise AssertionError("computed before checking")

    predictor = Predictor(dense_model(), executor=executor)
    explainer = LimeImageExplainer(predictor, segments=GRID, class_names=["cat", "owl", "fox"])
    with pytest.raises(error, match=words):
        explainer.explain(**{"x": picture(), **arguments})


def test_a_callable_target_is_one_score():
    """A difference of scores has the difference of their weights, in the graph and outside."""
    model, image = dense_model(), picture()
    drops, _ = known_drops(model, image, means(image, GRID), GRID)
    difference = lambda outputs: outputs[:, 2] - outputs[:, 0]  # noqa: E731
    predict = lambda batch: model.predict(batch, verbose=0)  # noqa: E731
    for given in (model, predict):
        explainer = LimeImageExplainer(given, segments=GRID, surrogate="k_lasso",
                                       class_names=["a", "b", "c"])
        found = explainer.explain(image, target=difference, samples=200)
        assert np.allclose(found.weights[0], drops[2] - drops[0], atol=1e-3)
        assert found.classes == (0,) and found.class_names == ("score",)
        again = explainer.explain(image, target=2, samples=200)
        assert np.allclose(again.weights[0], drops[2], atol=1e-3)

        def half(outputs):
            return outputs[:, 1] / 2

        found = explainer.explain(image, target=half, samples=200)
        assert np.allclose(found.weights[0], drops[1] / 2, atol=1e-3)
        assert found.class_names == ("half",)


def test_a_callable_target_chooses_among_outputs():
    inputs = keras.Input((12, 12, 3))
    flat = layers.Flatten()(inputs)
    model = keras.Model(inputs, {"a": layers.Dense(3, name="a")(flat),
                                 "b": layers.Dense(1, name="b")(flat)})
    image = picture()
    first = lambda outputs: outputs["b"][:, 0]  # noqa: E731
    found = LimeImageExplainer(Predictor(model, target=first), segments=GRID).explain(image)
    wanted = LimeImageExplainer(Predictor(model, output="b"), segments=GRID).explain(image)
    assert np.array_equal(found.weights, wanted.weights) and found.weights.any()


@pytest.mark.parametrize("given, words", [
    ({"classes": 2}, "`target`"), ({"num_samples": 50}, "`samples`"), ({"top_labels": 2}, "`top`"),
    ({"random_seed": 1}, "`seed`"), ({"target": 1, "top": 2}, "`target` or `top`"),
])
def test_unknown_and_contrary_options(given, words):
    with pytest.raises((TypeError, ValueError), match=words):
        LimeImageExplainer(dense_model(), segments=GRID).explain(picture(), **given)
    with pytest.raises(TypeError, match="options of `LimeImageExplainer` .*`baseline`"):
        LimeImageExplainer(dense_model(), hide_color=0)
