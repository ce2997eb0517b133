"""Tables with columns of categories: explained on the columns that users have.

The networks are linear in one-hot rows, so that each column's contribution is known.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx

TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow computes with texts")
JOBS, WORTH = ["nurse", "smith", "teacher"], np.array([0.0, 2.0, -1.0])
CODES = np.array([0.5, 0.0, 3.0, 1.0])
BACKGROUND = {"age": np.array([20.0, 40.0, 60.0, 40.0]), "bmi": np.array([1.0, 2.0, 5.0, 8.0]),
              "job": np.array(["nurse", "smith", "nurse", "teacher"], object),
              "code": np.array([0, 1, 2, 2])}
BINS = np.array([0.0, 1.5, 4.0])


def make_model(texts, squash=False):
    """age / 10 + worth of the job + bins of the bmi + what the code counts for."""
    inputs = {"age": keras.Input((1,), name="age"), "bmi": keras.Input((1,), name="bmi"),
              "code": keras.Input((1,), name="code", dtype="int32")}
    one_hot = [layers.Discretization([2.0, 6.0], output_mode="one_hot")(inputs["bmi"]),
               layers.CategoryEncoding(4, output_mode="one_hot")(inputs["code"])]
    weights = [BINS, CODES]
    if texts:
        inputs["job"] = keras.Input((1,), name="job", dtype="string")
        found = layers.StringLookup(vocabulary=JOBS, num_oov_indices=0)(inputs["job"])
        one_hot.append(layers.CategoryEncoding(3, output_mode="one_hot")(found))
        weights.append(WORTH)
    joined = layers.Concatenate()([inputs["age"], *one_hot])
    score = layers.Dense(1, activation="sigmoid" if squash else None)(joined)
    model = keras.Model(inputs, score)
    model.layers[-1].set_weights([np.concatenate([[0.1], *weights])[:, None], np.array([0.2])])
    return model


def take(rows, model):
    return {k: rows[k][:, None] for k in model.input}


def worth_of(rows):
    return {"age": rows["age"] / 10, "bmi": BINS[np.digitize(rows["bmi"], [2.0, 6.0])],
            "code": CODES[rows["code"]],
            "job": np.array([WORTH[JOBS.index(j)] for j in rows["job"]])}


@pytest.fixture(params=[pytest.param(True, marks=TENSORFLOW), False], ids=["texts", "numbers"])
def model(request):
    return make_model(request.param)


ROWS = {"age": np.array([30.0, 70.0]), "bmi": np.array([7.0, 1.0]),
        "job": np.array(["smith", "teacher"], object), "code": np.array([2, 3])}


@pytest.mark.parametrize("builder", [kx.integrated_gradients, kx.occlusion])
@pytest.mark.parametrize("rows", [True, False], ids=["background", "one"])
def test_a_column_has_what_it_differs_from_the_baseline_by(builder, rows, model):
    given = BACKGROUND if rows else {k: v[0] for k, v in BACKGROUND.items()}
    base = {k: given[k] for k in model.input}
    explained = builder(model, baseline=base)
    found = explained.predict(take(ROWS, model), verbose=0)["heatmap"]
    mean = {k: v.mean() if rows else v[0] for k, v in worth_of(BACKGROUND).items()}
    for name, heatmap in found.items():
        assert heatmap.shape == (2, 1)
        wanted = worth_of(ROWS)[name] - mean[name]
        np.testing.assert_allclose(heatmap[:, 0], wanted, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("builder", [kx.gradient_x_input, kx.local_linear])
def test_a_column_has_what_it_counts_for(builder, model):
    found = builder(model).predict(take(ROWS, model), verbose=0)["heatmap"]
    for name, heatmap in found.items():
        np.testing.assert_allclose(heatmap[:, 0], worth_of(ROWS)[name], atol=1e-5, err_msg=name)


def test_saliency_of_one_hot_rows(model):
    found = kx.saliency(model).predict(take(ROWS, model), verbose=0)["heatmap"]
    np.testing.assert_allclose(found["code"], np.linalg.norm(CODES) * np.ones((2, 1)), rtol=1e-5)
    np.testing.assert_allclose(found["bmi"], np.linalg.norm(BINS) * np.ones((2, 1)), rtol=1e-5)


@pytest.mark.parametrize("builder", [kx.integrated_gradients, kx.occlusion])
def test_saved_and_loaded(builder, model, tmp_path):
    explained = builder(model, baseline={k: BACKGROUND[k] for k in model.input})
    wanted = explained.predict(take(ROWS, model), verbose=0)["heatmap"]
    explained.save(tmp_path / "explained.keras")
    found = keras.models.load_model(tmp_path / "explained.keras").predict(
        take(ROWS, model), verbose=0)["heatmap"]
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)


def test_a_crossing_is_shared_by_its_columns():
    inputs = [keras.Input((1,), name=n, dtype="int32") for n in "ab"]
    crossed = layers.HashedCrossing(8, output_mode="one_hot")(tuple(inputs))
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(crossed))
    model.layers[-1].set_weights([np.arange(8.0)[:, None]])
    x = [np.array([[0], [1]]), np.array([[3], [5]])]
    base = [np.array([[2]]), np.array([[2]])]
    drop = model.predict(x, verbose=0) - model.predict(base, verbose=0)
    out = kx.integrated_gradients(model, baseline={0: 2, 1: 2}).predict(x, verbose=0)
    for heatmap in out["heatmap"]:
        np.testing.assert_allclose(heatmap, drop / 2, atol=1e-5)
    np.testing.assert_allclose(out["completeness_gap"], 0, atol=1e-5)


def test_whole_numbers_beside_categories_are_explained():
    """They were taken for the masks that go with tokens, and left out without a word."""
    a, b = keras.Input((1,), name="age", dtype="int32"), keras.Input((1,), name="code")
    score = layers.Dense(1)(layers.Concatenate()([
        keras.ops.cast(a, "float32"), layers.Flatten()(layers.Embedding(3, 2)(b))]))
    model = keras.Model({"age": a, "code": b}, score)
    x = {"age": np.array([[30]]), "code": np.array([[2]])}
    assert set(kx.saliency(model).predict(x, verbose=0)["heatmap"]) == {"age", "code"}


@pytest.mark.parametrize("builder", [kx.integrated_gradients, kx.occlusion])
def test_a_column_of_categories_needs_a_baseline(builder, model):
    name = "job" if "job" in model.input else "code"
    base = {k: BACKGROUND[k] for k in model.input if k != name}
    with pytest.raises(ValueError, match=f"`baseline` of the input '{name}'.*received None"):
        builder(model, baseline=base)


@TENSORFLOW
@pytest.mark.parametrize("given", [3.0, np.array(["a", None], object), np.zeros((2, 2))])
def test_what_is_no_category(given):
    model = make_model(True)
    base = {k: given if k == "job" else BACKGROUND[k] for k in model.input}
    with pytest.raises(ValueError, match="'job' to be one of its categories"):
        kx.integrated_gradients(model, baseline=base)


@TENSORFLOW
def test_a_feature_space():
    """A model of raw columns that `FeatureSpace` made, with every kind of column."""
    import tensorflow as tf

    space = keras.utils.FeatureSpace({
        "age": "float_normalized", "bmi": keras.utils.FeatureSpace.float_discretized(num_bins=3),
        "job": "string_categorical", "code": "integer_hashed"},
        crosses=[("job", "code")], crossing_dim=8)
    space.adapt(tf.data.Dataset.from_tensor_slices(
        {k: v.tolist() for k, v in BACKGROUND.items()}))
    score = layers.Dense(1)(space.get_encoded_features())
    model = keras.Model(space.get_inputs(), score)
    explained = kx.integrated_gradients(model, baseline=BACKGROUND)
    x = {k: np.asarray(v)[:, None] for k, v in ROWS.items()}
    out = explained.predict(x, verbose=0)
    base = model.predict({k: keras.ops.convert_to_tensor(v.tolist())[:, None]
                          for k, v in BACKGROUND.items()}, verbose=0).mean()
    total = sum(h[:, 0] for h in out["heatmap"].values())
    np.testing.assert_allclose(total, out["predictions"][:, 0] - base, atol=1e-4)
    for builder in (kx.saliency, kx.local_linear, kx.gradient_x_input):
        assert set(builder(model).predict(x, verbose=0)["heatmap"]) == set(BACKGROUND)
