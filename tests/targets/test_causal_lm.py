"""A language model of keras-hub, on prompts as they are."""

import keras
import numpy as np
import pytest

import keras_explain as kx
from keras_explain.targets import Token

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
hub = pytest.importorskip("keras_hub")
PROMPTS = ["a cat sat", "dog ran"]


@pytest.fixture(scope="module")
def language_model():
    vocabulary = {c: i for i, c in enumerate(
        ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyzĠ", "th"])}
    preprocessor = hub.models.GPT2CausalLMPreprocessor(
        hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=["t h"]), sequence_length=12)
    backbone = hub.models.GPT2Backbone(
        vocabulary_size=len(vocabulary), num_layers=2, num_heads=2, hidden_dim=8,
        intermediate_dim=16, max_sequence_length=12)
    model = hub.models.GPT2CausalLM(backbone, preprocessor=preprocessor)
    for i, v in enumerate(model.trainable_variables):
        v.assign(v + keras.random.normal(v.shape, stddev=0.2, seed=i))
    return model


@pytest.mark.parametrize("builder", [kx.saliency, kx.integrated_gradients, kx.occlusion])
def test_raw_prompts(language_model, builder):
    """Prompts of 9 and 7 letters between a start and an end token: -2 is after the prompt."""
    logits = language_model.predict(PROMPTS, verbose=0)
    explained = builder(language_model, target=Token(-2))
    out = explained.predict(PROMPTS, verbose=0)
    np.testing.assert_allclose(out["predictions"], logits, atol=1e-5)
    assert out["heatmap"].any(axis=1).all()
    for row, last in enumerate((9, 7)):
        assert not out["heatmap"][row, last + 1 :].any()
        at = builder(language_model, target=Token(last, int(logits[row, last].argmax())))
        np.testing.assert_allclose(at.predict([PROMPTS[row]], verbose=0)["heatmap"][0],
                                   out["heatmap"][row], atol=1e-5)
    shown = kx.text.show(explained, PROMPTS, verbose=0)
    assert [one.words for one in shown] == [("a", "cat", "sat"), ("dog", "ran")]
    assert shown[0].labels == ("top token at position -2",)


def test_occlusion_is_brute_force(language_model):
    given = {k: keras.ops.convert_to_numpy(v).astype("int32")
             for k, v in language_model.preprocessor(PROMPTS[:1])[0].items()}
    found = kx.occlusion(language_model, target=Token(9, 5), baseline=3).predict(
        PROMPTS[:1], verbose=0)["heatmap"][0]

    def score(ids):
        return keras.ops.convert_to_numpy(
            language_model({**given, "token_ids": ids}))[0, 9, 5]

    ids = given["token_ids"]
    drops = [score(ids) - score(np.where(np.arange(12) == i, 3, ids)) for i in range(12)]
    np.testing.assert_allclose(found, drops, atol=1e-5)


def test_contributions_add_up_to_the_logit(language_model):
    out = kx.local_linear(language_model, target=Token(-2)).predict(PROMPTS, verbose=0)
    top = [out["predictions"][row, last].max() for row, last in enumerate((9, 7))]
    np.testing.assert_allclose(out["heatmap"].sum(axis=1) + out["remainder"], top, atol=1e-4)
    assert out["heatmap"].any(axis=1).all()


def test_lime_of_raw_prompts(language_model):
    """The likeliest token after the whole prompt, its logit when words are out."""
    explainer = kx.LimeTextExplainer(language_model, surrogate="ridge")
    found = explainer.explain(PROMPTS[0], target=Token(-2), verbose=0)
    logits = language_model.predict(PROMPTS[:1], verbose=0)[0, 9]
    np.testing.assert_allclose(found.prediction, [logits.max()], rtol=1e-5)
    assert found.words == ("a", "cat", "sat") and found.classes == (logits.argmax(),)
    assert found.weights.all()
