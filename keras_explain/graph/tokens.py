"""Token models: where integers and strings become numbers that can be differentiated.

Tokens are what a table is looked up by (an `Embedding`, `ops.take` of weights, `one_hot`), whatever
their dtype: Keras gives a Sequential without Input floats.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_explain.graph import steps as kinds
from keras_explain.graph.masks import CARRIERS
from keras_explain.graph.vectorizer import find as find_vectorizer

# Steps that move numbers without computing with them, by the beginning of their name.
MOVES = (*CARRIERS, "Cast", "InputCast", "Identity", "Reshape", "Flatten", "Squeeze", "ExpandDims",
         "GetItem", "Transpose", "Permute", "Moveaxis", "Swapaxes", "Concatenate", "Stack",
         "Split", "RepeatVector", "Pad", "ZeroPadding", "Cropping", "Dropout", "Ravel")
UNKNOWN = 7  # stands for a length that is not known
# Layers that answer with a one-hot row for a category, where they are asked for it.
ENCODERS = (keras.layers.CategoryEncoding, keras.layers.Discretization, keras.layers.Hashing,
            keras.layers.HashedCrossing, keras.layers.IntegerLookup, keras.layers.StringLookup)


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """One of the Values at which is differentiated for an input.

    Args:
        value: the input.
        cut: where to differentiate: the input itself, or rows that it looks up.
        read: the Value that the rows are looked up by; None without lookup.
        source: for each number of `read` which number of the input it is, -1 for none, int of
            shape (R,); None where `read` is the input in its own order.
    """

    value: object
    cut: object
    read: object = None
    source: object = None

    @property
    def shown(self):
        """The Value that has a place for each number of a map."""
        return self.cut if self.read is None else self.read

    def onto_input(self, found):
        """A map (N, ...) over `read` as a map over the input; what has one place is added up."""
        if self.source is None:
            return found
        shape = self.value.spec.shape[1:]
        places = np.arange(int(np.prod(shape)))
        matrix = (self.source[:, None] == places).astype("float32")
        found = ops.reshape(found, (-1, len(self.source)))
        return ops.reshape(ops.matmul(found, ops.convert_to_tensor(matrix)), (-1, *shape))


def places(program, value):
    """Where to differentiate for an input: itself, the rows it looks up or its word counts.

    Args:
        program: the traced model.
        value: one of its inputs.

    Raises:
        ValueError: strings on a backend that has none, or strings that nothing turns into
            numbers; tokens that are moved in a way that cannot be followed.
    """
    text = value.spec.dtype == "string"
    if text and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected numbers going into the model, received a model that takes strings, which"
            f" Keras cannot compute with on {keras.backend.backend()!r}. Run on TensorFlow"
            " (KERAS_BACKEND=tensorflow), or take the model behind its TextVectorization layer"
            " and vectorize the texts first."
        )
    found = [Place(value, step.outputs[0], read, None if text else _source(program, value, read))
             for step, read in lookups(program, value)]
    own = [p for p in found if p.source is None or (p.source >= 0).any()]
    found = own or found  # positions say nothing of the tokens
    if found:
        return [Place(value, value), *found] if _is_number(program, value) else found
    if "float" not in value.spec.dtype and len(value.spec.shape) <= 2:
        layer, step = find_vectorizer(program, value)
        if layer is not None and "int" not in step.outputs[0].spec.dtype:
            return [Place(value, step.outputs[0])]
    if text:
        raise ValueError(
            f"Expected the texts of input {value.spec.name!r} to go through TextVectorization, an"
            " Embedding behind StringLookup or, one text each, through StringLookup, received a"
            " model in which none of them gives a number for each word. Explain the model behind"
            " what turns strings into numbers."
        )
    return [Place(value, value)]


def lookups(program, value, only_moved=False):
    """The steps that look up rows by an input, each with the Value that it looks them up by.

    Args:
        program: the traced model.
        value: one of its inputs.
        only_moved: whether the numbers must come there as they are: not hashed or cut into bins.
    """
    found, reached = [], {value}
    for step in program.steps:
        if not reached.intersection(step.reads):
            continue
        read = _find_lookup(step, reached)
        if read in reached:
            found.append((step, read))
        elif kinds.kind(step.fn).startswith(MOVES) or (
                step.outputs and not only_moved and all(_is_index(v) for v in step.outputs)):
            reached.update(v for v in step.outputs if v.spec.dtype != "bool")
    return found


def table_reads(program, value):
    """The Values by which an input looks up rows of tables, with the lowest and highest index."""
    found = []
    for step, read in lookups(program, value):
        kind = kinds.kind(step.fn)
        if isinstance(step.fn, keras.layers.Embedding):
            found.append((read, 0, step.fn.input_dim - 1))
        elif kind == "Take" and len(step.args) > 1 and not isinstance(step.args[0], kinds.Value):
            axis = step.kwargs.get("axis", step.args[2] if len(step.args) > 2 else None)
            shape = getattr(step.args[0], "shape", ())
            if axis == 0 and shape:
                found.append((read, -shape[0], shape[0] - 1))
    return found


def is_tokens(program, value):
    """Whether an input is looked up by, and nothing is computed with its numbers."""
    return bool(lookups(program, value)) and not _is_number(program, value)


def is_one_number(value):
    """Whether an input has one number or text for each example."""
    return tuple(value.spec.shape[1:]) in ((), (1,))


def explainable_inputs(program):
    """The inputs that say something: not the masks and segments that go with tokens."""
    found = {v: lookups(program, v) for v in program.inputs}
    if not any(found.values()):
        return list(program.inputs)
    beside = _segments(program, found)
    return [v for v in program.inputs if v not in beside and (
        found[v] or "float" in v.spec.dtype or v.spec.dtype == "string" or len(v.spec.shape) > 2
        or is_one_number(v) and _is_number(program, v))]


def type_tokens(program):
    """Give inputs that are tokens an integer dtype: an Embedding would cast them itself."""
    for value in program.inputs:
        if "float" in value.spec.dtype and lookups(program, value, only_moved=True) and (
                is_tokens(program, value)):
            spec = value.spec
            value.spec = keras.KerasTensor(spec.shape, "int32", name=spec.name)


def shape_counts(program):
    """Give counts of words the shape that they have: of texts (N, 1) Keras declares (N, 1, words).
    """
    for step in program.steps:
        spec = step.outputs[0].spec if step.outputs else None
        if isinstance(step.fn, keras.layers.TextVectorization) and len(spec.shape) == 3 and (
                "int" not in spec.dtype and spec.shape[1] == 1):
            step.outputs[0].spec = keras.KerasTensor((spec.shape[0], spec.shape[2]), spec.dtype)


def token_ids(program, value):
    """A program from the inputs to token ids (N, ...) in which 0 is padding; None without padding.

    Zero is padding where the embedding says so (`mask_zero=True`) and behind a TextVectorization
    layer, which pads with it.
    """
    if not is_tokens(program, value):
        return None
    text, shape = value.spec.dtype == "string", value.spec.shape
    for step, read in lookups(program, value):
        masked = getattr(step.fn, "mask_zero", False) or find_vectorizer(program, value)[0]
        if masked and (text and len(read.spec.shape) == 2 or not text and read.spec.shape == shape):
            return program.with_outputs([read])
    return None


def without_padding(heatmap, ids):
    """The heatmap (N, ...) with zero where the token is padding."""
    return ops.where(ops.equal(ids, 0), ops.zeros_like(heatmap), heatmap)


def _find_lookup(step, reached):
    """The Value by which a step looks up rows of a table; None for other steps.

    Of several, as columns that are crossed, the first that is `reached`.
    """
    fn, kind = step.fn, kinds.kind(step.fn)
    if isinstance(fn, keras.layers.Embedding) or kind == "OneHot":
        return step.reads[0]
    if isinstance(fn, ENCODERS) and fn.output_mode != "int":
        read = [v for v in step.reads if v in reached]
        return read[0] if read and all(map(is_one_number, step.reads)) else None
    if kind == "Take":
        table, index = (*step.args, *step.kwargs.values())[:2]
        return index if isinstance(index, kinds.Value) and table is not index else None
    if kinds.has_weights(fn) and not kinds.is_built_in(fn) and len(step.reads) == 1:
        read, row = step.reads[0].spec, step.outputs[0].spec
        if "int" in read.dtype and "float" in row.dtype and len(row.shape) == len(read.shape) + 1:
            return step.reads[0]
    return None


def _is_index(value):
    return "int" in value.spec.dtype or value.spec.dtype == "string"


def _is_number(program, value):
    """Whether the outputs depend on an input by more than what is looked up by it.

    Integers count as long as they are only moved: what they are compared with or counted for,
    as masks and positions are, says where tokens are.
    """
    reached, whole = {value}, "int" in value.spec.dtype
    for step in program.steps:
        reads, kind = reached.intersection(step.reads), kinds.kind(step.fn)
        if not reads or _find_lookup(step, reads) in reads or kind in ("ZerosLike", "OnesLike"):
            continue
        reached.update(v for v in step.outputs if "float" in v.spec.dtype
                       or whole and "int" in v.spec.dtype and kind.startswith(MOVES))
    return bool(reached.intersection(keras.tree.flatten(program.outputs)))


def _segments(program, found):
    """Inputs whose rows are added to those of another with a larger table, as segments are."""
    rows = {step.outputs[0]: (value, step) for value, steps in found.items() for step, _ in steps}
    beside = set()
    for step in program.steps:
        if kinds.kind(step.fn) in CARRIERS and step.reads and step.reads[0] in rows:
            rows[step.outputs[0]] = rows[step.reads[0]]
        together = [rows[v] for v in step.reads if v in rows]
        if kinds.kind(step.fn) != "Add" or len(together) < 2:
            continue
        if len({s.outputs[0].spec.shape for _, s in together}) == 1 and (
                len(together[0][1].outputs[0].spec.shape) == 3):
            largest = max(together, key=lambda pair: _table_size(pair[1]))[0]
            beside.update(v for v, s in together if v is not largest and
                          all(step is s for step, _ in found[v]))
            rows[step.outputs[0]] = max(together, key=lambda pair: _table_size(pair[1]))
    return beside


def _table_size(step):
    return max([w.shape[0] for w in getattr(step.fn, "weights", [])], default=0)


def _source(program, value, read):
    """`Place.source` of what is looked up by `read`."""
    if read is value:
        return None
    sizes = [tuple(UNKNOWN if n is None else n for n in v.spec.shape[1:]) for v in program.inputs]
    at, move = program.inputs.index(value), program.with_outputs([read])
    count = int(np.prod(sizes[at]))

    def moved(numbers):
        given = [np.zeros((1, *size), "int32") for size in sizes]
        given[at] = np.reshape(numbers, given[at].shape)
        given = [ops.convert_to_tensor(g.astype(v.spec.dtype))
                 for g, v in zip(given, program.inputs, strict=True)]
        return ops.convert_to_numpy(move(given)[0]).ravel().astype(int)

    labels = np.stack([np.arange(count) + 1, np.arange(count)[::-1] + 1])
    try:
        start, first, second = (moved(x) for x in (np.zeros(count), *labels))
    except Exception:  # strings, or it needs more than one example
        start = first = second = np.zeros(0, int)
    source = first - start - 1
    known = len(first) and source.max(initial=-1) < count and source.min(initial=0) >= -1 and (
        np.where(source < 0, 0, labels[1][source]) == second - start).all()
    if not known:
        if read.spec.shape[1:] == value.spec.shape[1:] and None not in read.spec.shape[1:]:
            return None  # each number is changed in its place, by a hash or another table
    elif len(read.spec.shape) == len(value.spec.shape) and len(source) == count and (
            source == np.arange(count)).all():
        return None
    elif None not in value.spec.shape[1:] or (source < 0).all():
        return source
    raise ValueError(
        f"Expected tokens of input {value.spec.name!r} that are looked up in their own order,"
        f" received a model that makes {read.spec.shape} of {value.spec.shape} first. Build the"
        " model for a fixed length, or explain the part behind it."
    )
