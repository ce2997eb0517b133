"""Inputs of each kind as the model takes them, and heatmaps as what people read."""

import dataclasses

import numpy as np

from keras_explain.data.batches import to_numpy
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.graph.table_inputs import TableInputs
from keras_explain.lime.table import Table
from keras_explain.tables.contributions import contributions
from keras_explain.text._pieces import find_pieces
from keras_explain.text.words import show


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one method says.

    Args:
        maps: (N, ...), as the model's inputs lie: pixels, moments, tokens, columns.
        words: the same as an array for each input, over what people read.
        names: of the words of each text, or of the columns; None otherwise.
    """

    maps: np.ndarray
    words: list[np.ndarray]
    names: tuple[tuple[str, ...], ...] | None = None

    def stack(self):
        """`words` as one array, where rows are shorter NaN at their end."""
        longest = max(len(row) for row in self.words)
        if all(row.shape == self.words[0].shape for row in self.words):
            return np.stack(self.words)
        return np.stack([np.pad(row, (0, longest - len(row)), constant_values=np.nan)
                         for row in self.words])


class Rows:
    """A few inputs.

    Args:
        kind: of input.
        question: of an explained model.
        x: as the user gave them.
        tokenizer: of texts.
    """

    def __init__(self, kind, question, x, tokenizer):
        self.kind, self.tokenizer = kind, tokenizer
        self.texts = self.table = None
        if kind == "table":
            self.table = x if isinstance(x, Table) else Table(x, bins=None)
            inputs = TableInputs(question.model, self.table.names)
            self.inputs = inputs(self.table.columns)
        elif kind == "text" and _are_texts(x):
            self.texts = [str(text) for text in np.ravel(np.asarray(x, object))]
            self.inputs, *_ = find_pieces(question, self.texts, tokenizer)
        else:
            self.inputs = x

    def ask(self, explained: ExplainedModel, batch_size: int):
        """The `Answer` of one method, and the model's predictions."""
        out = explained.predict(self.inputs, batch_size=batch_size, verbose=0)
        heatmap, predictions = out["heatmap"], out["predictions"]
        if self.kind == "table":
            found = contributions(explained, self.table, batch_size=batch_size, verbose=0)
            maps = heatmap if isinstance(heatmap, np.ndarray) else found.weights
            return Answer(maps, list(found.weights), (found.names,) * len(found)), predictions
        maps = np.asarray(heatmap if isinstance(heatmap, np.ndarray) else next(iter(
            heatmap.values() if isinstance(heatmap, dict) else heatmap)))
        if self.texts is None:
            names = None
            if self.kind == "text":
                ids = [np.ravel(row) for row in self._ids(explained)]
                names = tuple(tuple(f"#{k}" for k in row) for row in ids)
                return Answer(maps, [m.ravel() for m in maps], names), predictions
            return Answer(maps, list(maps)), predictions
        shown = show(explained, self.texts, tokenizer=self.tokenizer, batch_size=batch_size,
                     verbose=0)
        return Answer(maps, [s.scores[0] for s in shown],
                      tuple(s.words for s in shown)), predictions

    def _ids(self, explained):
        question = explained.explainer.question
        given = self.inputs
        if isinstance(given, dict):
            return to_numpy(given[question.explained[0].spec.name])
        if isinstance(given, (list, tuple)):
            return to_numpy(given[question.index(question.explained[0])])
        return to_numpy(given)


def _are_texts(x):
    if isinstance(x, str):
        raise ValueError(
            "Expected a list of texts, received one text. Put it into a list: [text].")
    array = np.asarray(x, object) if isinstance(x, (list, tuple)) else x
    return getattr(array, "dtype", None) is not None and np.asarray(
        array).dtype.kind in "OUS" and isinstance(np.ravel(np.asarray(array, object))[0], str)
