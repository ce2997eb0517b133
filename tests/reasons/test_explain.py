"""`explain`: on models whose cause is known, the method that is chosen finds it and says so."""


import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.reasons import _checking
from keras_explain.reasons._methods import Choice, choose
from keras_explain.reasons.explain import _warn_of_disagreement, ask

RNG = np.random.default_rng(0)


def picture_model():
    """Class 1 is brightness in the upper left quarter of 24 x 24 pixels, class 0 elsewhere."""
    inputs = keras.Input((24, 24, 1))
    h = layers.Conv2D(1, 3, padding="same", activation="relu", name="conv")(inputs)
    h = layers.AveragePooling2D(12)(h)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(h)))
    model.get_layer("conv").set_weights([np.full((3, 3, 1, 1), 1 / 9), np.zeros(1)])
    weights = np.array([[0.0, 12.0], [0.2, 0], [0.2, 0], [0.2, 0]])
    model.layers[-1].set_weights([weights, np.array([0.0, -1.0])])
    return model


def pictures(n=2):
    x = RNG.random((n, 24, 24, 1)).astype("float32") * 0.3
    x[:, 4:8, 4:8] = 1
    return x


def test_pictures():
    reasons = kx.explain(picture_model(), pictures(), class_names=["other", "corner"], verbose=0)
    assert reasons.kind == "image" and reasons.method == "occlusion"
    assert reasons.second == "hires_cam"  # a Flatten follows: Grad-CAM's mean loses the place
    assert reasons.heatmaps.shape == (2, 24, 24)
    where = np.abs(reasons.heatmaps[:, :12, :12]).sum() / np.abs(reasons.heatmaps).sum()
    assert where > 0.7
    assert (reasons.agreement > 0.5).all() and (reasons.beats_chance > 0.9).all()
    assert reasons.answers[0].startswith("corner ")
    assert "agree" in str(reasons) and "8 of 8" in str(reasons)


WORTH = np.array([2.0, -1.0, 0.0, 0.5])


def test_columns():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([WORTH[:, None]])
    background, x = RNG.normal(size=(50, 4)), RNG.normal(size=(3, 4))
    table = kx.lime.Table(x.astype("float32"), ["a", "b", "c", "d"], bins=None)
    reasons = kx.explain(model, table, baseline=background.astype("float32"), verbose=0)
    assert (reasons.kind, reasons.method) == ("table", "integrated_gradients")
    np.testing.assert_allclose(reasons.heatmaps, WORTH * (x - background.mean(0)), atol=1e-4)
    assert reasons.parts[0] == ("a", "b", "c", "d") and (reasons.agreement > 0.99).all()
    assert "Most by: " in reasons.sentences(0)[1]


def test_columns_need_a_baseline():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="baseline"):
        kx.explain(model, np.zeros((2, 4), "float32"), verbose=0)


def token_model():
    """Word 3 speaks for, word 4 against, all others for nothing."""
    model = keras.Sequential([
        keras.Input((6,), dtype="int32"), layers.Embedding(8, 2),
        layers.GlobalAveragePooling1D(), layers.Dense(1, activation="sigmoid")])
    table = np.zeros((8, 2))
    table[3], table[4] = [6, 0], [-6, 0]
    model.layers[0].set_weights([table])
    model.layers[-1].set_weights([np.array([[1.0], [0]]), np.zeros(1)])
    return model


def test_tokens():
    ids = np.array([[1, 3, 2, 5, 6, 1], [1, 2, 5, 6, 4, 2]], "int32")
    reasons = kx.explain(token_model(), ids, verbose=0)
    assert reasons.kind == "text"
    assert np.abs(reasons.heatmaps).argmax(-1).tolist() == [1, 4]
    assert reasons.parts[0][1] == "#3" and (reasons.agreement > 0.9).all()


def test_texts():
    vectorize = layers.TextVectorization(output_sequence_length=6, vocabulary=[
        "a", "fine", "dull", "film", "the", "and"])
    reasons = kx.explain(token_model(), ["a fine film", "the dull, dull film"],
                         tokenizer=vectorize, verbose=0)
    assert reasons.parts[0] == ("a", "fine", "film")
    assert [reasons.parts[i][np.nanargmax(np.abs(row))]
            for i, row in enumerate(reasons.heatmaps)] == ["fine", "dull"]
    page = reasons.to_html()
    assert "fine" in page and "<script" not in page
    with pytest.raises(ValueError, match=r"one text\. Put it into a list"):
        kx.explain(token_model(), "a fine film", tokenizer=vectorize, verbose=0)


def test_series():
    inputs = keras.Input((32, 2))
    h = layers.Conv1D(2, 3, padding="same", activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling1D()(h)))
    kernel = np.zeros((3, 2, 2))
    kernel[:, 1, 0] = 1.0
    model.get_layer("conv").set_weights([kernel, np.zeros(2)])
    model.layers[-1].set_weights([np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros(2)])
    x = RNG.normal(0, 0.1, (2, 32, 2)).astype("float32")
    x[:, 9:12, 1] = 3
    reasons = kx.explain(model, x, target=1, verbose=0)
    assert reasons.kind == "series" and reasons.heatmaps.shape == (2, 32, 2)
    moment, channel = np.divmod(reasons.heatmaps.reshape(2, -1).argmax(-1), 2)
    assert (channel == 1).all() and ((moment > 5) & (moment < 16)).all()
    assert reasons.show(1)._repr_png_()


def test_two_that_disagree_are_not_chosen_from_in_silence():
    model, x = picture_model(), pictures()
    choice = choose(model, None, {"target": 1})
    against = kx.integrated_gradients(model, target=lambda p: p[:, 0] - p[:, 1])
    reasons = ask(Choice("image", choice.first, against, "", {}), x, verbose=0)
    assert (reasons.agreement < 0).all() and "disagree" in str(reasons)
    with pytest.warns(kx.reasons.DisagreementWarning, match="disagree on 2 of 2 inputs"):
        _warn_of_disagreement(reasons)


def test_a_wrong_map_does_not_beat_chance():
    model, x = picture_model(), pictures(4)
    choice = choose(model, None, {"target": 1})
    right = ask(choice, x, verbose=0)
    wrong = _checking.beat_chance(choice, x, -right.heatmaps, 2, 0)
    assert right.beats_chance.min() > 0.8 and wrong.max() < 0.2


def test_what_is_missing_is_said():
    reasons = ask(Choice("image", kx.saliency(picture_model()), None, "",
                         {"occlusion": "It says no."}), pictures(), verbose=0)
    assert reasons.second is None and reasons.agreement is None
    assert "No second method could be asked." in str(reasons)
    assert "occlusion was not asked: It says no." in str(reasons)


def test_positions_need_a_target():
    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(inputs))
    with pytest.raises(ValueError, match=r"targets\.Box"):
        kx.explain(model, np.zeros((1, 16, 16, 1), "float32"), verbose=0)


def test_several_kinds_of_inputs_need_a_name():
    picture, words = keras.Input((16, 16, 1), name="picture"), keras.Input((4,), dtype="int32",
                                                                        name="words")
    joined = layers.Concatenate()([layers.Flatten()(picture), layers.Flatten()(
        layers.Embedding(5, 2)(words))])
    model = keras.Model([picture, words], layers.Dense(2)(joined))
    with pytest.raises(ValueError, match="Name one of them with `input=`"):
        kx.explain(model, [np.zeros((1, 16, 16, 1)), np.zeros((1, 4))], verbose=0)


def test_pages_escape_names(tmp_path):
    reasons = kx.explain(picture_model(), pictures(1), class_names=["<i>", "<b>"], verbose=0)
    for text in (reasons.to_html(tmp_path / "why.html"), reasons._repr_html_()):
        assert "<b>" not in text.replace("<b>occlusion</b>", "") and "&lt;b&gt;" in text
    assert (tmp_path / "why.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_models_and_random_numbers_stay_as_they_are():
    model = picture_model()
    before = [np.array(w) for w in model.get_weights()]
    np.random.seed(3)
    wanted = np.random.rand()
    np.random.seed(3)
    kx.explain(model, pictures(), verbose=0)
    assert np.random.rand() == wanted
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
