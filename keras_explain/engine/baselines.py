"""What users mean by a `baseline`: one notion for every method and metric that hides.

None leaves the choice to the kind of input: pixels and moments are hidden by an operation on what
lies around them, tokens by the id of nothing. Columns of a table have nothing around them, so there
a baseline must be given: rows of data, a value per column, or a number.
"""

import numpy as np

from keras_explain.engine import hiding, packing
from keras_explain.graph.axes import heatmap_axes
from keras_explain.graph.categories import is_category
from keras_explain.graph.order import are_columns

MOST_ROWS = 64  # of background data that stand in
OPERATIONS = ("mean", "blur", "noise", "inpaint", "several")


def settle(name, given, program, value, default="mean", of_parts=True):
    """The checked baseline of one input, see `hiding.check`.

    Args:
        name: of the argument, for errors.
        given: what the user gave: None, a word, a number, an array of the input's shape, or
            background data, rows of such arrays; a data frame is an array.
        program: the model's.
        value: the input.
        default: the word that None means where the numbers lie side by side.
        of_parts: see `hiding.check`.

    Raises:
        ValueError: none, or a word that asks for neighbors, where the input is columns; see
            `hiding.check`.
    """
    word = given is None or isinstance(given, str) and given in OPERATIONS
    if value.spec.dtype == "string":  # of a category, where words are values
        word = given is None
    if word and are_columns(program, value):
        raise ValueError(
            f"Expected `{name}` of the input {value.spec.name!r}, whose columns each have a unit of"
            f" their own, to be rows of your data, a value for each column or a number, received"
            f" {given!r}. Give `{name}=X_train`, `{name}=X_train.mean(axis=0)` or, where columns"
            f" are standardized, `{name}=0.0`."
        )
    if value.spec.dtype == "string" and is_category(program, value):
        return draw_rows(_check_texts(name, given, value.spec), value.spec)
    given = default if given is None else given
    if isinstance(given, (str, dict)):
        return hiding.check(name, given, value.spec, of_parts)
    rows = np.asarray(given, "float32") if value.spec.dtype != "string" else given
    if value.spec.shape[1:] == (1,) and np.ndim(rows) == 1 and len(rows) != 1:
        rows = rows[:, None]  # a column of a frame
    return draw_rows(hiding.check(name, rows, value.spec, of_parts), value.spec)


def settle_each(given, program, explained, keys, default="mean", of_parts=True):
    """The checked baseline of each explained input.

    Args:
        given: one baseline for all, or a dict or data frame of them by the names of the inputs;
            None is that of inputs that it does not name.
        program: the model's.
        explained: the input Values.
        keys: their names, as the model's.
        default, of_parts: see `settle`.
    """
    names = set(map(str, getattr(given, "columns", ())))
    frame = isinstance(keys[0], str) and bool(names) and names.issuperset(keys)
    by_name = {str(k): given[k] for k in (given.columns if frame else given)} if (
        frame or isinstance(given, dict) and "float32" not in given) else None
    if by_name is not None and not frame and set(by_name).difference(map(str, keys)):
        raise ValueError(
            f"Expected one `baseline` for each of the inputs {list(keys)}, received them for"
            f" {list(by_name)}. A single baseline, such as 0.0, holds for all inputs."
        )
    return tuple(
        settle("baseline", given if by_name is None else by_name.get(str(key)), program, value,
               default, of_parts)
        for key, value in zip(keys, explained, strict=True))


def split_each(baselines, explained):
    """The fills of each checked baseline, see `hiding.split`."""
    return tuple(hiding.split(b, v.spec) for b, v in zip(baselines, explained, strict=True))


def noise_scales(given, question, keys):
    """What noise is a share of in each explained input: an array of its shape; None: its own range.

    Args:
        given: background data, see `settle_each`; None where no input is columns.
        question: the Question, whose inputs are settled.
        keys: the names of the explained inputs.

    Raises:
        ValueError: none, or no rows, where an input is columns.
    """
    program, explained = question.program, question.explained
    if given is None and not any(are_columns(program, v) for v in explained):
        return (None,) * len(explained)
    found = []
    for value, rows in zip(explained, settle_each(given, program, explained, keys), strict=True):
        if is_category(program, value):
            found.append(None)
            continue
        given_rows = hiding.is_stack(rows, value.spec)
        if not given_rows and not are_columns(program, value):
            found.append(None)
            continue
        if not given_rows:
            raise ValueError(
                "Expected `baseline` to be rows of data, whose range in each column noise is a"
                f" share of, received {rows!r:.60}. Give `baseline=X_train`."
            )
        found.append(np.ptp(rows, axis=0) + np.zeros(
            [1 if n is None else n for n in value.spec.shape[1:]], "float32"))
    return tuple(found)


def noise_axes(program, value):
    """The axes over which an input has one range: those of space, and channels of images."""
    rank = len(value.spec.shape)
    return (1,) if rank == 3 and len(heatmap_axes(program, value)) == 1 else tuple(range(1, rank))


def _check_texts(name, given, spec):
    """Categories that stand in: an array of texts, of the input's shape or rows of it."""
    texts = np.asarray(given, object)
    fits = texts.ndim == 0 or texts.shape == spec.shape[1:] or texts.shape[1:] == spec.shape[1:]
    if not fits and texts.ndim == 1:
        texts, fits = texts.reshape(-1, *spec.shape[1:]), True  # a column of a frame
    if not fits or not texts.size or not all(isinstance(t, str) for t in texts.ravel()):
        raise ValueError(
            f"Expected `{name}` of the input {spec.name!r} to be one of its categories, or a column"
            f" of them, received {given!r:.60}. Give `{name}=X_train`, or a text such as the most"
            " frequent one.")
    return texts


def draw_rows(value, spec):
    """Background data of at most `MOST_ROWS` rows: those, or as many drawn at random."""
    if not hiding.is_stack(value, spec) or len(value) <= MOST_ROWS:
        return value
    chosen = np.random.default_rng(0).choice(len(value), MOST_ROWS, replace=False)
    return value[np.sort(chosen)]


def to_config(baselines, keys):
    """Checked baselines in a form that JSON holds."""
    packed = [packing.to_config(b) for b in baselines]
    if len(packed) == 1 or all(isinstance(b, str) and b == packed[0] for b in packed):
        return packed[0]
    return {str(k): b for k, b in zip(keys, packed, strict=True)}
