"""Inside a graph nobody can be told of NaN and infinity: there the heatmap is NaN, for that row."""

import keras
import numpy as np
import pytest
from keras import layers
from models import head, image

import keras_explain as kx
from keras_explain import backend

BUILDERS = {
    "saliency": kx.saliency,
    "grad_cam": kx.grad_cam,
    "occlusion": lambda model: kx.occlusion(model, patch_size=4, stride=4),
    "rise": lambda model: kx.rise(model, samples=8, grid=3),
    "normalized": lambda model: kx.saliency(model, normalize="range"),
    "several fills": lambda model: kx.occlusion(model, patch_size=4, baseline="several"),
}
WORST = np.array([0, np.inf, -np.inf, np.nan, 0], "float32")


def saturating():
    """A model whose answer is finite whatever the input, as many are."""
    x = image()
    y = layers.Activation("tanh")(layers.Conv2D(4, 3, padding="same")(x))
    return keras.Model(x, head(layers.Activation("tanh")(y)))


def rows(model):
    x = np.random.default_rng(0).normal(size=(len(WORST), *model.input.shape[1:]))
    x[:, 2, 3, 1] += WORST
    return x.astype("float32")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_row_that_is_not_finite_has_no_heatmap(name):
    explained = BUILDERS[name](saturating())
    x = rows(explained)
    run = backend.compile_function(explained.explainer, explained.variables)
    answer = {k: keras.ops.convert_to_numpy(v) for k, v in run(x).items()}
    good = np.isfinite(x).all(axis=(1, 2, 3))
    alone = keras.ops.convert_to_numpy(explained(x[good])["heatmap"])
    np.testing.assert_allclose(answer["heatmap"][good], alone, atol=1e-5)
    assert np.any(alone) and np.isnan(answer["heatmap"][~good]).all()
    for further in explained.explainer.further_maps:
        assert np.isnan(answer[further][~good]).all() and np.isfinite(answer[further][good]).all()


def test_any_input_counts():
    a, b = layers.Input((8, 8, 3)), layers.Input((2,))
    y = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(a)), b])
    explained = kx.saliency(keras.Model([a, b], layers.Dense(3)(y)))
    given = [np.ones((2, 8, 8, 3)), np.array([[0, 1], [np.inf, 1]])]
    given = [keras.ops.convert_to_tensor(x, "float32") for x in given]
    for heatmap in explained.explainer(given)["heatmap"]:
        heatmap = keras.ops.convert_to_numpy(heatmap)
        assert heatmap[0].any() and np.isnan(heatmap[1]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floats(dtype):
    x = layers.Input((6,), dtype=dtype)
    explained = kx.saliency(keras.Model(x, layers.Dense(3)(x)))
    given = keras.ops.convert_to_tensor(np.array([[1.0] * 6, [np.inf] * 6]), dtype)
    with pytest.raises(ValueError, match="without infinity, received 6 infinite"):
        explained(given)
    heatmap = keras.ops.convert_to_numpy(explained.explainer(given)["heatmap"])
    assert heatmap[0].any() and np.isnan(heatmap[1]).all()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads tf.data")
def test_predict_over_a_dataset_warns():
    import tensorflow as tf

    explained = kx.saliency(saturating())
    data = tf.data.Dataset.from_tensor_slices(rows(explained)).batch(2)
    with pytest.warns(kx.BlankHeatmapWarning, match="heatmaps are not finite"):
        heatmap = explained.predict(data, verbose=0)["heatmap"]
    assert np.isnan(heatmap).any(axis=(1, 2)).tolist() == [False, True, True, True, False]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras exports no SavedModel there")
def test_a_raw_signature_says_so(tmp_path):
    import tensorflow as tf

    explained = kx.grad_cam(saturating())
    x = rows(explained)
    served = tf.saved_model.load(str(kx.export(explained, tmp_path / "served")))
    answer = served.signatures["explain"](**{explained.inputs[0].name: tf.constant(x)})
    bad = np.isnan(answer["heatmap"].numpy()).all(axis=(1, 2))
    assert bad.tolist() == [False, True, True, True, False]
    answer = kx.SavedExplainer(tmp_path / "served", "explain")({explained.inputs[0].name: x})
    assert [bool(error) for error in answer["error"]] == bad.tolist()
