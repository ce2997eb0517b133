"""What rows of scores are called, and what is said of texts that were cut."""

import warnings

from keras_explain.checks import is_integer
from keras_explain.targets._target import Target


def name_rows(question, rows, answer, class_names):
    """What is explained in each row, and its name: two tuples.

    Args:
        question: that was asked.
        rows: the classes that were chosen, None for the question's own.
        answer: of the model to the one text.
        class_names: names of the classes, or None.
    """
    found = []
    for row in rows:
        if isinstance(question.target, Target):
            found.append(str(question.target))
        elif callable(question.target):
            found.append("score")
        elif row is not None or is_integer(question.target):
            found.append(question.target if row is None else row)
        elif answer.size > 1:
            found.append(int(answer.argmax()))
        else:
            found.append(int(answer.ravel()[0] > (0.5 if question.activation else 0))
                         if question.classes == 2 else 0)
    labels = [n if isinstance(n, str) else class_names[n]
              if class_names is not None and n < len(class_names) else f"class {n}" for n in found]
    return tuple(found), tuple(labels)


def warn_of_cuts(found):
    """Say which texts are longer than what the model was given of them."""
    cut = [one for one in found if one.cut]
    if cut:
        warnings.warn(
            f"The model takes fewer tokens than {len(cut)} of {len(found)} texts have: it was not"
            f" given the end of {cut[0].text[:40]!r}, from {cut[0].cut[:40]!r}. Such words have no"
            " score; `WordScores.cut` holds them.", stacklevel=4)
