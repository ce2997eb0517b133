"""Classifiers of five families of keras-hub, explained on texts as they are."""

import io

import keras
import numpy as np
import pytest

import keras_explain as kx

pytestmark = pytest.mark.slow
hub = pytest.importorskip("keras_hub")
TEXTS = ["a good movie, really!", "the film is boring"]
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
LENGTH = 28
PIECES = ("[PAD] [UNK] [CLS] [SEP] [MASK] a good bad film the is very bor ##ing movie , ! really"
          ).split()
LETTERS = ["<s>", "<pad>", "</s>", "<mask>", *"abcdefghijklmnopqrstuvwxyz!,.\u0120", "go", "od",
           "good", "\u0120f"]


def sentence_pieces(padding, unknown):
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    made = io.BytesIO()
    trainer.train(
        sentence_iterator=iter(TEXTS * 20), model_writer=made, vocab_size=40, pad_id=0, unk_id=1,
        bos_id=2, eos_id=3, pad_piece=padding, unk_piece=unknown, bos_piece="[CLS]",
        eos_piece="[SEP]", user_defined_symbols=["[MASK]"], hard_vocab_limit=False,
        minloglevel=2)
    return made.getvalue()


def tokenizer_of(family):
    made = vars(hub.models)[f"{family}Tokenizer"]
    if family == "Roberta":
        return made(vocabulary={t: i for i, t in enumerate(LETTERS)},
                    merges=["g o", "o d", "go od", "\u0120 f"])
    if family in ("DebertaV3", "Albert"):
        names = ("[PAD]", "[UNK]") if family == "DebertaV3" else ("<pad>", "<unk>")
        return made(proto=sentence_pieces(*names))
    return made(vocabulary=PIECES, lowercase=True)


FAMILIES = {"Bert": {}, "DistilBert": {}, "Roberta": {}, "DebertaV3": {"bucket_size": 8},
            "Albert": {"embedding_dim": 8}}


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_as_they_are(family):
    models = vars(hub.models)
    preprocessor = models[f"{family}TextClassifierPreprocessor"](
        tokenizer_of(family), sequence_length=LENGTH)
    task = models[f"{family}TextClassifier"](
        models[f"{family}Backbone"](vocabulary_size=60, max_sequence_length=LENGTH, **SIZES,
                                    **FAMILIES[family]),
        2, preprocessor=preprocessor)
    for i, v in enumerate(task.trainable_variables):
        v.assign(v + keras.random.normal(v.shape, stddev=0.3, seed=i))
    want = task.predict(TEXTS, verbose=0)
    for builder in (kx.local_linear, kx.saliency, kx.occlusion, kx.integrated_gradients):
        explained = builder(task, target=1)
        out = explained.predict(TEXTS, verbose=0)
        np.testing.assert_allclose(out["predictions"], want, atol=1e-5)
        assert out["heatmap"].shape == (2, LENGTH) and out["heatmap"].any(axis=1).all()
        assert not out["heatmap"][:, -1].any()  # padding
        shown = kx.text.show(explained, TEXTS, verbose=0)
        assert shown[0].words == ("a", "good", "movie", ",", "really", "!")
        assert shown[1].words == ("the", "film", "is", "boring")
        if builder is kx.local_linear:
            total = out["heatmap"].sum(axis=1) + out["remainder"]
            np.testing.assert_allclose(total, want[:, 1], atol=1e-4 * np.ptp(want))
    (found,) = kx.text.leave_one_out(task, TEXTS[1:], target=1, verbose=0)
    logits = task.predict([TEXTS[1], "film is boring", "the is boring", "the film boring",
                           "the film is"], verbose=0)[:, 1]
    np.testing.assert_allclose(found.scores[0], logits[0] - logits[1:], atol=1e-5)
