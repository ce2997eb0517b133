"""Whole words hidden in their place: the pieces of a word together, by the fill of occlusion."""

import dataclasses

import numpy as np
from keras import ops, tree

from keras_explain.data.batches import to_numpy
from keras_explain.data.preparing import prepare, prepares
from keras_explain.engine import hiding
from keras_explain.explainers.occlusion import Occlusion
from keras_explain.lime._inputs import pad
from keras_explain.text._alignment import align, merge
from keras_explain.text._asking import find_column, scorer


def hides_words(explainer):
    """Whether an explainer hides one token at a time, so that words can be hidden instead."""
    return isinstance(explainer, Occlusion) and explainer.stem is None and (
        explainer.grids == (((1, 1),),))


class WordHider:
    """From the scores of pieces, added up, to those of words.

    Args:
        explainer: of occlusion; its fills stand in for the pieces.
        batch_size: texts that the model sees at a time.
    """

    def __init__(self, explainer, batch_size):
        self.explainer, self.question = explainer, explainer.question
        self.batch_size, self.scores_of = batch_size, scorer(explainer.question)

    def __call__(self, found, inputs, pieces, rows):
        """`WordScores` in which words of several pieces have the drop without all of them.

        Args:
            found: `WordScores`, one a text.
            inputs: of the explained model for these texts.
            pieces: of each text.
            rows: the classes that were chosen, None for the question's own.
        """
        model = self.question.model
        arrays = tree.flatten(prepare(model, inputs) if prepares(model) else inputs)
        several = [(k, word, np.flatnonzero(places == word)) for k, places in enumerate(
            np.array(merge(one.text, align(one.text, row))[1])
            for one, row in zip(found, pieces, strict=True))
            for word in range(len(found[k].words)) if np.sum(places == word) > 1]
        if not several:
            return found
        texts = np.array([k for k, _, _ in several])
        hidden = np.zeros((len(several), arrays[0].shape[1]), bool)
        for row, (_, _, places) in zip(hidden, several, strict=True):
            row[places] = True
        drops = self._drops(arrays, texts, hidden, rows)
        scores = [one.scores.copy() for one in found]
        for (k, word, _), drop in zip(several, drops, strict=True):
            scores[k][:, word] = drop
        return [dataclasses.replace(one, scores=new) for one, new in zip(
            found, scores, strict=True)]

    def _drops(self, arrays, texts, hidden, rows):
        """What each text loses where it is hidden, the mean over the fills: (words, rows)."""
        at = self.question.index(self.question.explained[0])
        image = ops.convert_to_tensor(arrays[at])
        (fills,) = self.explainer.fills
        fills = hiding.Fills(image, (1,), fills)
        clean, lost = self._ask(arrays), 0.0
        columns = np.array([[find_column(self.question, row, one) for row in rows]
                            for one in clean])
        clean = clean[texts]
        for k in range(fills.count):
            other = to_numpy(fills.take(ops.convert_to_tensor(texts * fills.count + k),
                                        ops.convert_to_tensor(~hidden)))
            given = [a[texts] for a in arrays]
            given[at] = np.where(hidden, other, given[at])
            lost = lost + (clean - self._ask(given)) / fills.count
        return np.take_along_axis(lost, columns[texts], axis=1)

    def _ask(self, arrays):
        size, found = self.batch_size, []
        for start in range(0, len(arrays[0]), size):
            part = [a[start : start + size] for a in arrays]
            found.append(self.scores_of([pad(a, size) for a in part])[0][: len(part[0])])
        return np.concatenate(found)
