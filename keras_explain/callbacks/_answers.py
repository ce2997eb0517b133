"""What a model says of its examples, in words and for charts."""

import numpy as np

from keras_explain.graph.targets import two_columns


class Namer:
    """Names of classes, from `class_names` or their numbers."""

    def __init__(self, class_names=None):
        self.names = None if class_names is None else [str(name) for name in class_names]

    def __call__(self, index):
        """The name of a class, or the number itself."""
        if self.names is None or not float(index).is_integer():
            return f"{float(index):g}"
        return self.names[int(index)] if 0 <= index < len(self.names) else f"{int(index)}"


def read_answers(scores, labels, name, activation=None):
    """Predicted class, its score and the true class's score for each example.

    Args:
        scores: `(N, classes)` or None; NaN where a score is not known.
        labels: true classes `(N,)` or None.
        name: a `Namer`.
        activation: "sigmoid" makes one unit a question of two classes.

    Returns:
        A dict of lists "predicted", "score" (of the predicted class), "truth_score", and
        "probable", whether scores are probabilities. Empty where nothing is known.
    """
    if scores is None:
        return {}
    scores = np.asarray(scores, np.float32)
    if scores.shape[1] == 1 and activation == "sigmoid":
        scores = two_columns(scores)
    if scores.shape[1] == 1:
        return {"predicted": [None] * len(scores), "score": list(scores[:, 0])}
    blank = np.isnan(scores).all(axis=1)
    filled = np.where(np.isnan(scores), -np.inf, scores)
    best = filled.argmax(axis=1)
    known = np.nan_to_num(scores)
    found = {
        "predicted": [None if b else name(i) for i, b in zip(best, blank, strict=True)],
        "score": list(scores[np.arange(len(scores)), best]),
        "probable": [bool(row.min() >= 0 and row.sum() < 1.01) for row in known],
    }
    if labels is not None and np.asarray(labels).dtype.kind in "iufb":
        found["truth_score"] = [
            row[int(label)] if float(label).is_integer() and 0 <= label < len(row) else np.nan
            for row, label in zip(scores, labels, strict=True)
        ]
    return found


def sentence(answers, truth, i):
    """What the model says of example i: "cat 87 % (is dog)"."""
    if not answers:
        return ""
    predicted, score = answers["predicted"][i], answers["score"][i]
    if predicted is None:
        words = f"{score:.3g}"
    else:
        words = f"{predicted} {score:.0%}" if answers["probable"][i] else predicted
    if truth is not None and truth[i] != predicted:
        words += f" (is {truth[i]})"
    return words


def name_label(name, label):
    """A true class in words: a text as it is, an index by its name."""
    return str(label) if isinstance(label, (str, np.str_)) else name(label)


class Found:
    """What was explained at one step."""

    def __init__(self, inputs, truth, columns, answers, seconds):
        self.inputs, self.truth, self.columns = inputs, truth, columns
        self.answers, self.seconds = answers, seconds
