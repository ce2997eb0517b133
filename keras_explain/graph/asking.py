"""Targets that are objects, as steps of the traced model."""

import keras
from keras import ops, tree

from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value
from keras_explain.graph.tokens import lookups, token_ids


def append_target(program, logits, target):
    """The program with the columns of a `Target` of its logits.

    A mask among the inputs moves the end of a text. Ids that stand for padding do not, because
    methods that hide tokens change them: there a text has to end where its axis does.

    Returns:
        The program, the Value of the columns (N, columns), and the Value (N,) that is False where
        an example has nothing at the place that is asked about, None where that is not known.

    Raises:
        ValueError: the target does not fit the logits, or it counts from the end of texts and
            several inputs may tell where that is.
    """
    target.check(logits.spec)
    masks, ids = _find_padding(program, logits.spec.shape[1])
    if len(masks) > 1 and target.counts_from_end:
        raise ValueError(
            "Expected one input that tells which tokens are padding, so that positions can count"
            f" from the end of a text, received {[v.spec.name for v in masks]}. Count positions"
            " from the beginning.")
    batch, count = logits.spec.shape[0], target.count_columns(logits.spec)
    steps, given, there = list(program.steps), (logits,), None
    if len(masks or ids) == 1:
        (told,) = masks or ids
        real = Value(keras.KerasTensor(told.spec.shape, "bool"))
        there = Value(keras.KerasTensor((batch,), "bool"))
        steps.append(Step(_IsReal(), (told,), {}, [real]))
        steps.append(Step(_IsThere(target, bool(masks)), (real,), {}, [there]))
        given = (logits, real) if masks else given
    columns = Value(keras.KerasTensor((batch, count), "float32"))
    steps.append(Step(_Ask(target), given, {}, [columns]))
    return Program(program.inputs, steps, program.outputs, program.calls), columns, there


class _Ask:
    """The columns of a target."""

    def __init__(self, target):
        self.target = target

    def __call__(self, logits, real=None):
        return self.target.columns(logits, real)


class _IsReal:
    """Which ids or numbers of a mask stand for no padding."""

    def __call__(self, x):
        return ops.not_equal(x, ops.zeros_like(x))


class _IsThere:
    """Which examples have what a target asks about."""

    def __init__(self, target, moves):
        self.target, self.moves = target, moves

    def __call__(self, real):
        return self.target.is_there(real, self.moves)


def _find_padding(program, length):
    """Values (N, T) that are 0 where a token is padding: masks, and ids.

    A mask is an input of integers beside the tokens that no row is looked up by. Ids count where
    the embedding says that 0 is padding.
    """
    looked_up = [v for v in program.inputs if lookups(program, v)]
    if not looked_up:
        return [], []

    def fits(v):
        shape = v.spec.shape
        return len(shape) == 2 and (None in (length, shape[1]) or shape[1] == length)

    masks = [v for v in program.inputs if v not in looked_up and fits(v)
             and v.spec.dtype != "string" and "float" not in v.spec.dtype]
    found = [token_ids(program, v) for v in looked_up]
    return masks, [v for p in found if p is not None for v in tree.flatten(p.outputs) if fits(v)]
