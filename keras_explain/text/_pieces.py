"""Texts to what a model takes, and to the pieces that its tokens stand for."""

import keras
import numpy as np
from keras import tree

from keras_explain.data.batches import to_numpy
from keras_explain.data.preparing import prepare, prepares
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.graph.vectorizer import cuts, find, words_of
from keras_explain.text._alignment import align


def find_pieces(question, texts, tokenizer):
    """What the explained model takes for some texts, and the pieces behind each of its scores.

    Args:
        question: of the explained model.
        texts: a list of strings.
        tokenizer: as for `keras_explain.text.show`.

    Returns:
        The inputs; for each text its pieces as `_alignment.align` takes them; and for each text
        whether its end was cut off.

    Raises:
        ValueError: nothing makes tokens of texts.
    """
    value, model = question.explained[0], question.model
    if prepares(model) and tokenizer is None:
        inputs = np.array(texts, object)
        ids = tree.flatten(prepare(model, inputs))[question.index(value)]
        return inputs, *_name_pieces(_tokenizer_of(model.preprocessor, model), texts, ids)
    if hasattr(tokenizer, "tokenizer"):
        inputs = _preprocess(tokenizer, texts)
        ids = tree.flatten(inputs)[question.index(value)]
        return inputs, *_name_pieces(_tokenizer_of(tokenizer, model), texts, ids)
    if value.spec.dtype == "string":
        inputs = _as_column(texts, value)
        words, cut = find_words(question.program, value, texts, inputs, len(texts))
    else:
        words, inputs, cut = tokenize(texts, tokenizer, value.spec)
    return inputs, [[(word,) for word in row] for row in words], cut


def make_arrays(question, texts, tokenizer):
    """What the network takes for texts: its flat inputs, NumPy arrays. See `find_pieces`."""
    value, model = question.explained[0], question.model
    if prepares(model) and tokenizer is None:
        return tree.flatten(prepare(model, np.array(texts, object)))
    if hasattr(tokenizer, "tokenizer"):
        return tree.flatten(_preprocess(tokenizer, texts))
    if value.spec.dtype == "string":
        return [_as_column(texts, value)]
    return [tokenize(texts, tokenizer, value.spec)[1]]


def find_ends(question, texts, tokenizer):
    """How much of each text the model is given, as far as what makes its tokens tells."""
    (value,), model = question.explained, question.model
    preprocessor = model.preprocessor if prepares(model) and tokenizer is None and hasattr(
        model, "preprocessor") else tokenizer
    ends = [len(text) for text in texts]
    if hasattr(preprocessor, "tokenizer") and not hasattr(preprocessor.tokenizer, "id_to_token"):
        return ends
    if value.spec.dtype == "string":
        step = find(question.program, value)[1]
        if step is None or "int" not in step.outputs[0].spec.dtype:
            return ends
    if not texts or prepares(model) and preprocessor is None:
        return ends
    _, pieces, cut = find_pieces(question, texts, tokenizer)
    for k, text in enumerate(texts):
        if cut[k]:
            spans = [span for span in align(text, pieces[k]) if span is not None]
            ends[k] = spans[-1][1] if spans else 0
    return ends


def _preprocess(preprocessor, texts):
    inputs = tree.map_structure(to_numpy, preprocessor(texts))
    return inputs[0] if isinstance(inputs, tuple) else inputs


def _as_column(texts, value):
    inputs = np.array(texts, dtype=object)
    return inputs[:, None] if len(value.spec.shape) == 2 else inputs


def _tokenizer_of(preprocessor, model):
    found = getattr(preprocessor, "tokenizer", None)
    if not hasattr(found, "id_to_token"):
        raise ValueError(
            f"Expected a tokenizer that names its ids (`id_to_token`) in the preprocessor of"
            f" {model.name!r}, received {type(found).__name__}. Give the function that makes its"
            " words and ids as `tokenizer=`, and explain the network behind it.")
    return found


def _name_pieces(tokenizer, texts, ids):
    """The pieces that the rows of `ids` stand for; what the text alone does not give is None."""
    names, pieces, cut = {}, [], []
    for text, row in zip(texts, ids, strict=True):
        wanted, at, found = to_numpy(tokenizer(text)).ravel(), 0, []
        for number in row:
            if at < len(wanted) and number == wanted[at]:
                at += 1
                number = int(number)
                if number not in names:
                    names[number] = _spell(tokenizer, number)
                found.append(names[number])
            else:
                found.append(None)
        pieces.append(found)
        cut.append(at < len(wanted))
    return pieces, cut


def _spell(tokenizer, number):
    """The forms in which a token may stand in a text."""
    forms = [_to_text(tokenizer.id_to_token(number))]
    try:
        forms.insert(0, _to_text(tokenizer.detokenize([number])))
    except Exception:  # it detokenizes whole texts only
        pass
    return tuple(form for form in forms if form)


def _to_text(token):
    while isinstance(token, (list, tuple)):
        token = token[0] if token else ""
    token = token if isinstance(token, (str, bytes)) else to_numpy(token).ravel()[0]
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else str(token)


def check_explained(explained):
    if not isinstance(explained, ExplainedModel):
        raise TypeError(
            f"Expected an explained model, received {type(explained).__name__}. Build one with"
            " `keras_explain.local_linear(model)`."
        )


def check_texts(texts):
    if isinstance(texts, str):
        raise TypeError("Expected a list of texts, received one string. Write [text].")
    other = next((text for text in texts if not isinstance(text, str)), None)
    if other is not None:
        raise TypeError(
            f"Expected a list of texts, received {type(other).__name__} in it. Decode bytes first;"
            " of ids call `predict` of the explained model.")
    return list(map(str, texts))


def tokenize(texts, tokenizer, spec):
    """Words, ids padded with 0 to the model's length, and which texts are longer than that."""
    if tokenizer is None:
        raise ValueError(
            "Expected `tokenizer`, because the model takes integers, received none. Give the"
            " TextVectorization layer that makes them, or a function from a text to its words and"
            " their ids."
        )
    if isinstance(tokenizer, keras.layers.TextVectorization):
        rows = keras.ops.convert_to_numpy(tokenizer(texts))
        rows = [_trim(row) for row in rows]
        cut = [cuts(tokenizer, *pair) for pair in zip(texts, rows, strict=True)]
        pairs = [(words_of(tokenizer, *pair), pair[1]) for pair in zip(texts, rows, strict=True)]
    else:
        pairs, cut = [tokenizer(text) for text in texts], [False] * len(texts)
    length = spec.shape[1] or max(1, *(len(ids) for _, ids in pairs))
    inputs = np.zeros((len(texts), length), spec.dtype)
    for row, (words, ids) in zip(inputs, pairs, strict=True):
        if len(words) != len(ids):
            raise ValueError(
                f"Expected as many words as ids from `tokenizer`, received {len(words)} words and"
                f" {len(ids)} ids. Leave padding out of the ids."
            )
        row[: len(ids)] = ids[:length]
    return [list(words)[:length] for words, _ in pairs], inputs, [
        already or len(ids) > length for already, (_, ids) in zip(cut, pairs, strict=True)]


def _trim(ids):
    """Without the padding at the end."""
    return ids[: np.flatnonzero(ids).max(initial=-1) + 1]


def find_words(program, value, texts, inputs, batch_size):
    """Words of texts by the TextVectorization inside the model, and which it cuts."""
    layer, step = find(program, value)
    mode = layer.get_config()["output_mode"]
    if mode != "int":
        raise ValueError(
            'Expected a TextVectorization with output_mode="int", whose numbers are words at places'
            f" of the text, received {mode!r}, which counts them. Use"
            " `keras_explain.text.leave_one_out` or `LimeTextExplainer`, or read the heatmap beside"
            " the layer's `get_vocabulary()`."
        )
    to_ids, words, cut = program.with_outputs([step.outputs[0]]), [], []
    for start in range(0, len(texts), batch_size):
        rows = slice(start, start + batch_size)
        ids = to_numpy(to_ids([keras.ops.convert_to_tensor(inputs[rows].tolist())])[0])
        pairs = [(text, _trim(row)) for text, row in zip(texts[rows], ids, strict=True)]
        words += [words_of(layer, *pair) for pair in pairs]
        cut += [cuts(layer, *pair) for pair in pairs]
    return words, cut


def to_rows(output):
    if not hasattr(output, "shape"):
        raise ValueError(
            f"Expected a model with one input and output, received a {type(output).__name__} of"
            " them. Name them when building: `saliency(model, input=..., output=...)`."
        )
    return to_numpy(output)
