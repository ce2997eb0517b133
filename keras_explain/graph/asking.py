"""Targets that are objects, as steps of the traced model."""

import dataclasses
import functools

import keras
from keras import ops, tree

from keras_explain.graph.axes import image_like
from keras_explain.graph.endings import before_activation
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value
from keras_explain.graph.targets import log_odds_of, scores_at
from keras_explain.graph.tokens import lookups, token_ids


def append_target(program, choose, target, score):
    """The program with the columns of a `Target`.

    A mask among the inputs moves the end of a text. Ids that stand for padding do not, because
    methods that hide tokens change them: there a text has to end where its axis does.

    Args:
        choose: from the name or index of an output to its Value; None is that of the builder.
        score: "logit", "log_odds" or "probability", of classes; None: "log_odds" where a softmax
            or sigmoid ends what is read, else "logit".

    Returns:
        The program, the Value of the columns (N, columns), the Value (N,) that is False where an
        example has nothing at the place that is asked about, None where that is not known, and
        the score that was settled.

    Raises:
        ValueError: the target does not fit the model, or it counts from the end of texts and
            several inputs may tell where that is.
    """
    asked = Asked(program, choose, score or target.takes_score)
    read = target.read(asked)
    program, specs = asked.program, [r.spec for r in read]
    masks, ids = _find_padding(program, specs[0].shape[1]) if target.reads_padding else ([], [])
    if len(masks) > 1 and target.counts_from_end:
        raise ValueError(
            "Expected one input that tells which tokens are padding, so that positions can count"
            f" from the end of a text, received {[v.spec.name for v in masks]}. Count positions"
            " from the beginning.")
    batch, count = specs[0].shape[0], target.count_columns(specs)
    steps, given, there = list(program.steps), tuple(r.value for r in read), None
    if len(masks or ids) == 1:
        (told,) = masks or ids
        real = Value(keras.KerasTensor(told.spec.shape, "bool"))
        there = Value(keras.KerasTensor((batch,), "bool"))
        steps.append(Step(_IsReal(), (told,), {}, [real]))
        steps.append(Step(_IsThere(target, bool(masks)), (real,), {}, [there]))
        given = (*given, real) if masks else given
    converts = [r.convert for r in read]
    if target.missing and not target.reads_padding:
        there = Value(keras.KerasTensor((batch,), "bool"))
        steps.append(Step(_Ask(target.finds, converts), given, {}, [there]))
    columns = Value(keras.KerasTensor((batch, count), "float32"))
    ask = functools.partial(target.columns, score=score or target.takes_score) if (
        target.takes_score) else target.columns
    steps.append(Step(_Ask(ask, converts), given, {}, [columns]))
    program = Program(program.inputs, steps, program.outputs, program.calls)
    return program, columns, there, asked.score or "logit"


@dataclasses.dataclass
class Read:
    """A Value that a target reads, what is made of it first, and the symbolic outcome."""

    value: Value
    convert: object
    spec: object


class Asked:
    """A traced model, as `keras_explain.targets` see it."""

    def __init__(self, program, choose, score):
        self.program, self._choose, self.score = program, choose, score

    def logits(self):
        self.program, logits, _ = before_activation(self.program, self._choose(None))
        return Read(logits, lambda x: x, logits.spec)

    def scores(self, output=None, activation=None, score=None, likely=False):
        logits = self._find(output)
        axis = self.program.channel_axis(logits)
        self.program, logits, found = before_activation(self.program, logits)
        kind = found or activation
        self.score = self.score or ("log_odds" if kind or likely else "logit")
        score = score or self.score
        if likely and not kind and score != "probability":
            return self._read(logits, lambda x: log_odds_of(scores_at(x, None, axis=axis)))
        return self._read(logits, functools.partial(
            scores_at, activation=kind, score=score, axis=axis))

    def decode(self, decode):
        flat, structure = tree.flatten(self.program.outputs), self.program.outputs
        step = _Decode(decode, structure)
        try:
            made = step(*[v.spec for v in flat])
            values = [Value(spec) for spec in tree.flatten(made)]
        except Exception as error:
            raise ValueError(
                f"Expected `decode` to take all outputs of the model, written with `keras.ops`,"
                f" received a function that fails with {type(error).__name__}: {error}. It gets"
                " what the model returns for a batch.") from error
        if len(values) != 2:
            raise ValueError(
                f"Expected `decode` to return (boxes, scores), received {len(values)} tensors."
                " Return boxes (N, boxes, 4) and scores (N, boxes, classes).")
        self.program = Program(self.program.inputs, [*self.program.steps, Step(
            step, tuple(flat), {}, values)], structure, self.program.calls)
        return values

    def picture_size(self):
        for value in image_like(self.program):
            size = self.program.spatial_shape(value)
            if len(size) == 2:
                return size
        return None, None

    def _find(self, output):
        return output if isinstance(output, Value) else self._choose(output)

    def output(self, output=None):
        return self._read(self._find(output), _to_float)

    def layer(self, layer, node_index=None):
        call = self.program.find(layer, node_index)
        value, axis = call.outputs[0], self.program.channel_axis(call.outputs[0])
        return self._read(value, lambda x: ops.moveaxis(_to_float(x), axis, -1))

    def _read(self, value, convert):
        return Read(value, convert, convert(value.spec))


class _Ask:
    """What a target's function makes of what it reads."""

    def __init__(self, fn, converts):
        self.fn, self.converts = fn, converts

    def __call__(self, *given):
        read = [convert(x) for convert, x in zip(self.converts, given, strict=False)]
        return self.fn(read, *given[len(read) :])


class _Decode:
    """A user's function of all outputs."""

    def __init__(self, fn, structure):
        self.fn, self.structure = fn, structure

    def __call__(self, *flat):
        return self.fn(tree.pack_sequence_as(self.structure, list(flat)))


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


def _to_float(x):
    return ops.cast(x, "float32")
