"""What an earlier comparison of the same model and data found of the baselines.

Baselines do not depend on the methods that are compared, and take as many passes as they do. A
model is the same if its variables and its answers to the data are, bit by bit. `predict` is not
asked: it goes on with a function that was compiled before a layer was changed.
"""

import hashlib
import weakref

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.preparing import as_arrays

_MOST = 256  # entries of a model, a number for each example
_found = weakref.WeakKeyDictionary()


class Known:
    """Scores that are known by all that they are made of.

    Args:
        evaluator: of the model.
        x: its inputs.
        *parts: what else the scores depend on; see `digest`.
    """

    def __init__(self, evaluator, x, *parts):
        self._entries = _found.setdefault(evaluator.model, {})
        weights = [ops.convert_to_numpy(v) for v in evaluator.model.variables]
        data = tree.flatten(as_arrays(x))
        self._made_of = digest(weights, data, _answer(evaluator, x), *parts)

    def recall(self, compute, *parts):
        """The scores, from an earlier comparison or from `compute()`."""
        key = self._made_of and digest(self._made_of, *parts)
        if key is None:
            return compute()
        if key not in self._entries:
            if len(self._entries) >= _MOST:
                self._entries.clear()
            self._entries[key] = compute()
        return self._entries[key].copy()


def _answer(evaluator, x):
    """What the network answers, in batches."""
    values, size = evaluator.values(x), evaluator.batch_size
    program = evaluator.subject("probability").question.program
    found = []
    with backend.no_gradient(), keras.StatelessScope():
        for start in range(0, len(values[0]), size):
            batch = [ops.convert_to_tensor(v[start : start + size]) for v in values]
            found.append([ops.convert_to_numpy(a) for a in tree.flatten(program(batch))])
    return found


def digest(*parts):
    """A text that is another for other parts; `None` of parts that are no plain data."""
    found = hashlib.blake2b(digest_size=16)
    return found.hexdigest() if all(_feed(found, part) for part in parts) else None


def _feed(found, part):
    """Whether a part could be added."""
    if isinstance(part, (list, tuple, dict)):
        items = list(part.items()) if isinstance(part, dict) else part
        found.update(f"{type(part).__name__} {len(items)} ".encode())
        return all([_feed(found, item) for item in items])
    if isinstance(part, np.ndarray) and part.dtype != object:
        found.update(f"{part.dtype} {part.shape} ".encode())
        found.update(np.ascontiguousarray(part).tobytes())
        return True
    if isinstance(part, np.ndarray):
        return _feed(found, [part.shape, part.ravel().tolist()])
    found.update(f"{type(part).__name__} {part!r} ".encode())
    return part is None or isinstance(part, (bool, int, float, str, bytes, np.generic))
