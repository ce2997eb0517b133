"""The executor of image LIME: BatchNormalization folded, bfloat16 where it can be trusted."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_image import GRID, dense_model, picture

from keras_explain.lime import LimeImageExplainer, LimeTextExplainer, Predictor, _local, image
from keras_explain.lime import predictor as predictors


def normalized(seed=0):
    """Convolutions with BatchNormalization, whose statistics are not the initial ones."""
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input((12, 12, 3))
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, use_bias=False, data_format="channels_last")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D(data_format="channels_last")(x)
    model = keras.Model(inputs, layers.Dense(4)(layers.Dropout(0.5)(x)))
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 2, weight.shape))
    return model


def narrow():
    """A network that sees the last digits of its pictures only: each rounding shows."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, use_bias=False, data_format="channels_last")(inputs)
    norm = layers.BatchNormalization(epsilon=1e-8)
    x = layers.GlobalAveragePooling2D(data_format="channels_last")(norm(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    kernel = ops.convert_to_numpy(model.layers[1].kernel)
    norm.moving_mean.assign(1000 * kernel.sum(axis=(0, 1, 2)))
    norm.moving_variance.assign(np.full(4, 1e-7))
    return model


def test_what_folding_rounds_away_is_computed_by_the_model(monkeypatch):
    batch = 1000 + np.random.default_rng(0).normal(0, 1e-3, (4, 6, 6, 1)).astype("float32")
    wanted = ops.convert_to_numpy(narrow()(batch, training=False))
    assert np.allclose(Predictor(narrow())(batch), wanted, atol=1e-5)
    monkeypatch.setattr(predictors, "agrees", lambda *arguments: True)
    assert not np.allclose(Predictor(narrow())(batch), wanted, atol=1e-3)  # what it is about


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setattr(image, "is_native", lambda: True)


def test_folded_scores_are_the_models_and_follow_training(monkeypatch):
    model, batch = normalized(), picture((5, 12, 12, 3))
    predictor = Predictor(model)
    monkeypatch.setattr(predictors, "refuse_state", lambda *arguments: None)  # it runs the model
    monkeypatch.setattr(predictors, "agrees", lambda *arguments: True)  # and so does this
    calls = []
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            monkeypatch.setattr(layer, "call", lambda *a, **k: calls.append(1))
    scores = predictor(batch)
    assert not calls  # none is run: they are folded
    monkeypatch.undo()
    assert np.allclose(scores, model.predict(batch, verbose=0), atol=1e-5)
    model.set_weights([w * 1.1 for w in model.get_weights()])
    assert np.allclose(predictor(batch), model.predict(batch, verbose=0), atol=1e-5)
    assert np.abs(predictor(batch) - scores).max() > 0.01


def test_gray_batches_without_a_channel_axis_run_the_model():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, data_format="channels_last")(inputs)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    batch = picture((3, 8, 8))
    assert np.allclose(Predictor(model)(batch), model.predict(batch, verbose=0), atol=1e-5)


def test_integer_images():
    batch = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    model = normalized()
    expected = model.predict(batch.astype("float32"), verbose=0)
    assert np.allclose(Predictor(model)(batch), expected, rtol=1e-4, atol=1e-3)


def test_bfloat16_is_close_and_repeatable(native):
    model, arguments = normalized(), {"top": 2, "samples": 200}
    exact = LimeImageExplainer(model, segments=GRID).explain(picture(), **arguments)
    explainer = LimeImageExplainer(model, segments=GRID, precision="bfloat16")
    rough = explainer.explain(picture(), **arguments)
    assert rough.classes == exact.classes
    assert np.allclose(rough.prediction, exact.prediction, atol=1e-6)  # the first batch is exact
    for ours, theirs in zip(rough.weights, exact.weights, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.99 and not np.array_equal(ours, theirs)
    assert explainer.explain(picture(), **arguments).to_json() == rough.to_json()


def test_bfloat16_gives_way_where_it_differs(native, monkeypatch):
    monkeypatch.setattr(_local, "TRUSTED", 0.0)
    model = normalized()
    exact = LimeImageExplainer(model, segments=GRID).explain(picture(), samples=100)
    with pytest.warns(UserWarning, match="bfloat16 differ too much"):
        explainer = LimeImageExplainer(model, segments=GRID, precision="bfloat16")
        assert np.array_equal(explainer.explain(picture(), samples=100).weights, exact.weights)


def test_bfloat16_without_instructions_warns(monkeypatch):
    monkeypatch.setattr(image, "is_native", lambda: False)
    with pytest.warns(UserWarning, match="no instructions for bfloat16"):
        explainer = LimeImageExplainer(normalized(), segments=GRID, precision="bfloat16")
    exact = LimeImageExplainer(normalized(), segments=GRID).explain(picture(), samples=100)
    assert explainer.explain(picture(), samples=100).to_json() == exact.to_json()


@pytest.mark.parametrize(
    "make, precision, words",
    [
        (normalized, "float16", "'float32', 'bfloat16'.*received 'float16'"),
        (dense_model, "bfloat16", "with convolutions.*received 'linear'"),
        (lambda: lambda batch: batch.mean(axis=(1, 2)), "bfloat16", "with convolutions"),
        (lambda: Predictor(normalized(), executor=len), "bfloat16", "with convolutions"),
    ],
)
def test_precision_errors(make, precision, words):
    with pytest.raises(ValueError, match=words):
        LimeImageExplainer(make(), precision=precision)


def test_bfloat16_needs_a_batch_to_be_checked_on():
    with pytest.raises(ValueError, match="`batch_size` of 16 or more.*received 8"):
        LimeImageExplainer(normalized(), precision="bfloat16", batch_size=8)


def test_text_models_with_normalization():
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(3)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    encode = lambda texts: np.array([[len(t), t.count("a"), 1, 0] for t in texts], "float32")  # noqa: E731
    explanation = LimeTextExplainer(model, tokenizer=encode).explain("a banana is a", samples=50)
    expected = ops.convert_to_numpy(model(encode(["a banana is a"])))[0]
    assert np.isclose(explanation.prediction[0], expected.max(), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings need TensorFlow")
def test_normalization_behind_strings():
    texts = ["a fine day", "a dull day"]
    vectorizer = layers.TextVectorization(output_mode="multi_hot")
    vectorizer.adapt(texts)
    inputs = keras.Input((), dtype="string")
    x = layers.BatchNormalization()(layers.Dense(3)(vectorizer(inputs)))
    model = keras.Model(inputs, layers.Dense(2)(x))
    scores = Predictor(model)(texts)
    expected = model.predict(np.array(texts, dtype=object), verbose=0)
    assert np.allclose(scores, expected, atol=1e-5) and np.ptp(scores, axis=0).max() > 0.01
