"""What the answer loses without a word: each text is asked again without each of its words."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_explain.checks import check_positive, is_integer
from keras_explain.lime.words import split_words
from keras_explain.progress import Progress, Verbose
from keras_explain.targets._target import Target
from keras_explain.text._asking import Asked, find_column
from keras_explain.text._naming import name_rows, warn_of_cuts
from keras_explain.text._pieces import check_texts, find_ends
from keras_explain.text.words import WordScores


def leave_one_out(
    model: keras.Model,
    texts: Sequence[str],
    *,
    baseline: str = "",
    target: Any = None,
    output: int | str | None = None,
    score: str | None = None,
    tokenizer: Callable[..., Any] | None = None,
    class_names: Sequence[str] | None = None,
    batch_size: int = 64,
    verbose: Verbose = "auto",
) -> list[WordScores]:
    """Leave out one word of a text after the other, and tell what the answer loses.

    The text itself is changed, so that whatever makes tokens of it makes those of the changed
    text: pieces, positions and the mask are those that the model would get for it. Each score is
    that of the text minus that of the text without the word, as a loop over `model.predict` gives
    it. To mask a word in its place, with the ids of the others where they are, explain with
    `keras_explain.occlusion(model, baseline=id)` and `keras_explain.text.show`.

    Args:
        model: a `keras.Model` that takes strings, a task of keras-hub with its preprocessor, or a
            model of integers with `tokenizer`.
        texts: a list of strings.
        baseline: the text that stands in for a word, as "[UNK]"; "" removes the word and the
            space beside it.
        target: a class or a list of classes, one row each; an object of `keras_explain.targets`
            or a callable from the predictions to a score per text; None shows each text's own top
            class.
        output: name or index of the output to explain, for models with several.
        score: "logit", "log_odds" or "probability"; None: the log-odds of the class where a
            softmax or sigmoid ends the model, else the answer itself.
        tokenizer: as for `keras_explain.text.show`.
        class_names: names of the classes.
        batch_size: texts that the model sees at a time.
        verbose: progress on stderr: "auto" where it is a terminal, 0 never, 1 always.

    Returns:
        A list with one `WordScores` per text. Its words are those of `split_words`, without
        punctuation; what stands for no text has no score.

    Raises:
        TypeError: `model` is no Keras model, `texts` is one string, `baseline` is no string.
        ValueError: the model takes integers and there is no `tokenizer`; a class out of range.

    Example:
        >>> import keras
        >>> import keras_explain as kx
        >>> vectorize = keras.layers.TextVectorization(output_sequence_length=4)
        >>> vectorize.adapt(["a fine film", "a dull film"])
        >>> model = keras.Sequential([
        ...     keras.Input((4,), dtype="int32"), keras.layers.Embedding(6, 2),
        ...     keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)])
        >>> (scores,) = kx.text.leave_one_out(model, ["A fine film."], tokenizer=vectorize)
        >>> scores.words
        ('A', 'fine', 'film')
    """
    check_positive("batch_size", batch_size)
    if not isinstance(baseline, str):
        raise TypeError(
            f"Expected `baseline` to be a text that stands in for a word, received {baseline!r}."
            ' Leave it out to remove words, or give the word for unknown words, as "[UNK]".')
    texts = check_texts(texts)
    _check_target(target)
    rows = list(target) if isinstance(target, (list, tuple, np.ndarray)) else None
    asked = Asked(model, tokenizer, batch_size, target=None if rows else target, output=output,
                  score=score)
    rows = [_check_class(row, asked.question) for row in rows] if rows else [None]
    ends = find_ends(asked.question, texts, tokenizer)
    spans = [[span for span in split_words(text) if span[0] < end]
             for text, end in zip(texts, ends, strict=True)]
    changed = [without for text, words in zip(texts, spans, strict=True)
               for without in (text, *(_without(text, word, baseline) for word in words))]
    progress = Progress(len(changed), "leaving words out", verbose)
    scores, answers = asked(changed, progress)
    progress.close()
    found, first = [], 0
    for text, words, end in zip(texts, spans, ends, strict=True):
        last, answer = first + 1 + len(words), answers[first]
        columns = [find_column(asked.question, row, scores[first]) for row in rows]
        drops = (scores[first] - scores[first + 1 : last])[:, columns].T
        targets, labels = name_rows(asked.question, rows, answer, class_names)
        found.append(WordScores(text, tuple(words), drops, np.zeros(len(rows), "float32"), targets,
                                answer, labels, text[end:].strip()))
        first = last
    _warn_of_undefined(found)
    warn_of_cuts(found)
    return found


def _check_target(target):
    if isinstance(target, Target) and target.reads_padding and not target.counts_from_end:
        raise ValueError(
            "Expected a position that is the same without words in front of it, received"
            f" {target!r}. Count from the end, as Token(-1) does, or use `occlusion`.")
    if isinstance(target, (list, tuple, np.ndarray)) and not len(target):
        raise ValueError(
            f"Expected `target` to be a class or a list of classes, received {target!r}. Leave it"
            " out for the top class.")


def _check_class(row, question):
    if not is_integer(row) or not 0 <= row < question.classes:
        raise ValueError(
            f"Expected every class in `target` from 0 to {question.classes - 1}, received {row!r}."
            " Count classes from 0.")
    return int(row)


def _without(text, span, baseline):
    """The text with `baseline` in the place of a word; without any, one space goes too."""
    start, end = span
    if not baseline:
        if start and text[start - 1].isspace():
            start -= 1
        elif not start and text[end : end + 1].isspace():
            end += 1
    return text[:start] + baseline + text[end:]


def _warn_of_undefined(found):
    some = next((one for one in found if not np.isfinite(one.scores).all()), None)
    if some is not None:
        word = some.words[int(np.flatnonzero(~np.isfinite(some.scores).all(axis=0))[0])]
        warnings.warn(
            f"The model has no finite answer for {some.text[:40]!r} without {word!r}, so that the"
            " score of this word is NaN: a mean over words has no value where none is left.",
            stacklevel=3)
