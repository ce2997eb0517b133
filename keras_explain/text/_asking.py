"""The score of many texts, as `model.predict` would answer each of them."""

import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.checks import is_integer
from keras_explain.data.batches import to_numpy
from keras_explain.data.preparing import check_prepared, prepares
from keras_explain.explainers._given import check_array, check_ids, find_tables
from keras_explain.graph.question import Question
from keras_explain.graph.tokens import explainable_inputs
from keras_explain.lime._inputs import pad
from keras_explain.text._pieces import make_arrays


class Asked:
    """What is asked of a model about texts.

    Args:
        model: a `keras.Model`.
        tokenizer: as for `keras_explain.text.show`.
        batch_size: texts that the model sees at a time.
        **asked: see `Question`.
    """

    def __init__(self, model, tokenizer, batch_size, **asked):
        self.question = Question(model, **asked)
        self.question.choose_one_input(
            explainable_inputs(self.question.program), "its words are left out")
        self.tokenizer, self.batch_size, self._is_checked = tokenizer, batch_size, False
        self.scores_of, self._tables = scorer(self.question), find_tables(self.question.program)

    def __call__(self, texts, progress):
        """The scores (N, classes) and the explained answers (N, ...) of a list of texts."""
        groups = {}
        for i, text in enumerate(texts):  # padding is no matter of the other texts
            groups.setdefault(self._length(text), []).append(i)
        scores, answers = [None] * len(texts), [None] * len(texts)
        for rows in groups.values():
            for start in range(0, len(rows), self.batch_size):
                part = rows[start : start + self.batch_size]
                found = self._ask([texts[i] for i in part])
                for i, score, answer in zip(part, *found, strict=True):
                    scores[i], answers[i] = score, answer
                progress.advance(len(part))
        return np.array(scores), np.array(answers)

    def _ask(self, texts):
        made = make_arrays(self.question, texts, self.tokenizer)
        for value, array in zip(self.question.program.inputs, made, strict=False):
            check_array(value.spec, array)
        check_ids(*self._tables, made)
        size = self.batch_size if len(texts) > self.batch_size // 2 else None
        columns, answers = (a[: len(texts)] for a in self.scores_of(
            [pad(a, size) for a in made]))
        if not self._is_checked and prepares(self.question.model) and self.tokenizer is None:
            self._is_checked = True
            check_prepared(self.question.model, np.array(texts[:1], object), answers[:1])
        return columns, answers

    def _length(self, text):
        """What texts have in common that are padded alike."""
        (value,) = self.question.explained
        if value.spec.dtype == "string":
            return len(text.split())
        if None not in value.spec.shape[1:]:
            return 0
        made = make_arrays(self.question, [text], self.tokenizer)
        return made[self.question.index(value)].shape[1]


def find_column(question, row, scores):
    """The column of a text's scores that is explained: the class `row`, or that of the question."""
    if row is not None:
        return row
    if is_integer(question.target):
        return int(question.target)
    return int(np.nan_to_num(scores, nan=-np.inf).argmax())


def scorer(question):
    """A function from a model's flat inputs to its scores (N, classes) and explained answers.

    Scores are NaN where an example has nothing to ask about.
    """
    there = [] if question.there is None else [question.there]
    flat = tree.flatten(question.program.outputs[1])
    answer = question.answer if question.answer in flat else flat[0]
    program = question.whole.with_outputs([*question.program.outputs[:1], *flat, *there])

    def run(*given):
        raw, *rest = program([
            x if v.spec.dtype == "string" else ops.cast(x, v.spec.dtype)
            for x, v in zip(given, program.inputs, strict=True)])
        outputs = rest[: len(flat)]
        scores = question.scores(raw, tree.pack_sequence_as(question.program.outputs[1], outputs))
        if there:
            scores = ops.where(ops.expand_dims(rest[-1], -1), scores, np.nan)
        return scores, outputs[flat.index(answer)]

    compiled = backend.compile_function(run, question.model.variables)

    def ask(arrays):
        given = [a.tolist() if a.dtype.kind in "OU" else a for a in arrays]
        return [to_numpy(x) for x in compiled(*[ops.convert_to_tensor(a) for a in given])]

    return ask
