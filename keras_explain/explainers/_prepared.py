"""Explaining a model that prepares its inputs in `predict`: in, and back over the raw pictures."""

import itertools

import numpy as np
from keras import tree

from keras_explain.data.laying import measure
from keras_explain.data.preparing import check_prepared, in_rows, prepare
from keras_explain.graph import targets


class Preparation:
    """What one explained model needs of `keras_explain.data.preparing`.

    Args:
        explainer: the layer that explains; its model prepares.
    """

    def __init__(self, explainer):
        self.explainer, self.question = explainer, explainer.question
        self.frames, self.checked = {}, False

    def prepare_all(self, x, steps=None):
        """The network's inputs for all of `x` (or its first `steps` batches), and raw pictures.

        Returns:
            The inputs, and for each row the `Frame` of its picture or None.
        """
        parts, frames = [], []
        for rows in itertools.islice(in_rows(x), steps):
            rows, request = targets.split_target(rows) if self.question.takes_target else (
                rows, None)
            made = prepare(self.question.model, rows)
            frames += [self.frame(rows, made)] * len(tree.flatten(made)[0])
            parts.append(made if request is None else targets.add_target(made, request))
        return tree.map_structure(lambda *a: np.concatenate(a), *parts), frames

    def check(self, x, outputs):
        """Once: warn where `model.predict` answers otherwise than the network."""
        if self.checked:
            return
        self.checked = True
        rows = tree.map_structure(lambda a: a[:2], next(in_rows(x)))
        if self.question.takes_target:
            rows, _ = targets.split_target(rows)
        check_prepared(self.question.model, rows, tree.map_structure(
            lambda a: np.asarray(a)[:2], outputs["predictions"]))

    def frame(self, rows, made):
        """The `Frame` of one batch, measured once for each size of picture."""
        key = tuple(np.shape(a)[1:] for a in tree.flatten(rows))
        if key not in self.frames:
            self.frames[key] = find_frame(self.question, rows, made)
        return self.frames[key]

    def lay_over(self, outputs, frames):
        """The outputs with heatmaps of the network's input laid over the raw pictures."""
        if all(frame is None for frame in frames):
            return outputs
        return {**outputs, "heatmap": tree.map_structure(
            lambda h: lay(np.asarray(h), frames), outputs["heatmap"])}


def find_frame(question, rows, made):
    """The `Frame` between raw pictures and what `prepare` made; None where they are the same."""
    raw, made = tree.flatten(rows), tree.flatten(made)
    if len(raw) != 1 or len(made) != 1 or np.ndim(raw[0]) != 4 or np.ndim(made[0]) != 4:
        return None
    last = question.program.data_format() == "channels_last"
    found = measure(lambda x: prepare(question.model, x), raw[0].shape[1:], last)
    return found if found.moves else None


def lay(heatmaps, frames):
    """Maps at the size of the network's input over the raw pictures; others as they are."""
    sizes = {frame.size for frame in frames if frame is not None}
    if heatmaps.ndim != 3 or heatmaps.shape[1:] not in sizes:
        return heatmaps  # at the native size of a layer
    done, start = [], 0
    for frame, group in itertools.groupby(frames):
        count = len(list(group))
        part = heatmaps[start : start + count]
        done.append(part if frame is None else frame.to_raw(part))
        start += count
    return np.concatenate(done)
