"""TextVectorization layers: found in a program, and read for their words."""

import re
import string

import keras

_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


def find(program, value):
    """The first TextVectorization that `value` reaches and its step; (None, None) without."""
    reached = {value}
    for step in program.steps:
        if reached.intersection(step.reads):
            if isinstance(step.fn, keras.layers.TextVectorization):
                return step.fn, step
            reached.update(step.outputs)
    return None, None


def feature_names(program, cut):
    """The vocabulary of the TextVectorization that gives the Value `cut`; None for others."""
    step = program.producer(cut)
    if step is None or not isinstance(step.fn, keras.layers.TextVectorization):
        return None
    names = [str(word) for word in step.fn.get_vocabulary()]
    return names + ["[unused]"] * (cut.spec.shape[-1] - len(names))


def words_of(layer, text, ids):
    """The words behind the ids of one text, as the text has them.

    The layer itself tells ids only. Its two usual ways of splitting are done again here, so that
    words that it does not know can be shown; with a way of the user's own, or n-grams, words come
    from the vocabulary.

    Args:
        layer: a TextVectorization with output_mode "int".
        text: a string.
        ids: its ids without padding.
    """
    words = _split(layer, text)
    if words is not None and len(words) >= len(ids):
        return words[: len(ids)]
    vocabulary = layer.get_vocabulary()
    return [str(vocabulary[i]) for i in ids]


def cuts(layer, text, ids):
    """Whether the layer left out words at the end of a text; False where it cannot be told."""
    words = _split(layer, text)
    return words is not None and len(words) > len(ids)


def _split(layer, text):
    config = layer.get_config()
    if config.get("ngrams") or config.get("split") not in ("whitespace", "character"):
        return None
    how = config.get("standardize")
    if how not in (None, "lower", "strip_punctuation", "lower_and_strip_punctuation"):
        return None
    if how in ("lower", "lower_and_strip_punctuation"):
        text = text.lower()
    if how in ("strip_punctuation", "lower_and_strip_punctuation"):
        text = _PUNCTUATION.sub("", text)
    return text.split() if config["split"] == "whitespace" else list(text)
