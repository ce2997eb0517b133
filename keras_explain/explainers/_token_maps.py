"""The tokens of a transformer that are a map of the image, told by what the model computes."""

import dataclasses

import keras
import numpy as np
from keras import ops, tree

from keras_explain.engine.placing.following import follow
from keras_explain.explainers._heads import random_weights
from keras_explain.graph import steps as kinds
from keras_explain.graph.axes import heatmap_axes
from keras_explain.graph.probing import random_numbers

MOST_TRIES = 64  # values that are looked at, from the output back
REACTS = 1e-5  # of its scores: what a score must change by
BYPASS = 1e-3  # of that: what goes around a map is less
HEARD = 1e-5  # of the largest change: what a cell changes by that heard of another


@dataclasses.dataclass(frozen=True)
class Grid:
    """Tokens (N, tokens, width) that are a map: `rows` times `columns` of them from `first` on."""

    rows: int
    columns: int
    first: int

    @property
    def count(self):
        """How many tokens are cells."""
        return self.rows * self.columns

    def cut(self, tokens):
        """The tokens that are cells, (N, count, width)."""
        return tokens[:, self.first : self.first + self.count]


def follow_image(program, source):
    """{Value: places} of all that an image reaches; empty where it is none of a known size."""
    axes = heatmap_axes(program, source)
    sizes = [source.spec.shape[a] for a in axes]
    if len(axes) != 2 or None in sizes or source.spec.dtype == "string":
        return {}
    return follow(program, source, axes, sizes)


def read_grid(places):
    """The `Grid` of a Value whose tokens are row by row the cells of a map, or None."""
    if not places or None in places or not all(a.packed for a in places):
        return None
    rows, columns = places
    if (rows.axis, columns.axis, columns.block, rows.block) != (1, 1, 1, columns.size) or (
            rows.skipped != columns.skipped):
        return None
    return Grid(rows.size, columns.size, rows.skipped)


def find_attended(program, source, weights, count):
    """The Value and the `Grid` of the `count` tokens that attention `weights` are about.

    (None, None) where no map of the image was laid out as so many tokens before.
    """
    before, found = program.ancestors([weights]), (None, None)
    for value, places in follow_image(program, source).items():
        grid = read_grid(places) if value in before else None
        if grid is not None and value.spec.shape[1] == count:
            found = value, grid
    return found


def find_token_map(program, source):
    """The Call of the last map or tokens through which the score learns of the image's parts.

    The score changes with its cells, and with those of no other value beside it. That is the last
    one where a mean over the tokens follows, and where a class token alone is read, the one that
    the last attention reads: after it, the other tokens count no more.

    Args:
        program: of the explained score.
        source: the image's Value.

    Returns:
        The Call and its `Grid` (None for a map of its own two axes); None, None.
    """
    places = follow_image(program, source)
    calls, outputs = program.calls_by_value(), tree.flatten(program.outputs)
    features = {v for step in program.steps if _gives_features(step) for v in step.outputs}
    found = [v for v in reversed(places) if v in calls and v in features and v not in outputs
             and mark_cells(v, places[v]) is not None]
    for value in found[:MOST_TRIES]:
        if _tells_all(program, value, places):
            return calls[value], read_grid(places[value])
    return None, None


def _gives_features(step):
    """Whether a step computes features, or lays tokens out as a map."""
    ranks = [len(v.spec.shape) for v in (*step.reads[:1], *step.outputs[:1])]
    return kinds.is_feature_map(step) or kinds.kind(step.fn) == "Reshape" and ranks == [3, 4]


def mark_cells(value, places):
    """The number of its cell for each place of a value, -1 for none: broadcasts over its shape.

    None where it is no map of more than one cell.
    """
    shape, grid = value.spec.shape[1:], read_grid(places)
    if grid is not None:
        cells = np.full(shape[0], -1)
        cells[grid.first : grid.first + grid.count] = np.arange(grid.count)
        return cells.reshape(-1, *[1] * (len(shape) - 1)) if grid.count > 1 else None
    if not places or None in places or any(a.packed for a in places) or len(shape) != 3:
        return None
    rows, columns = places
    if rows.axis == columns.axis or rows.size * columns.size < 2:
        return None
    cells = np.arange(rows.size * columns.size).reshape(rows.size, columns.size)
    if rows.axis > columns.axis:
        cells = cells.T
    channel = ({1, 2, 3} - {rows.axis, columns.axis}).pop()
    return np.expand_dims(cells, channel - 1)


def have_attended(program, source, value):
    """Whether most cells of a map have heard of any other, through tokens that attend to all.

    Found out by changing one of the first tokens. Where they have, the model may keep its evidence
    in any cell, whichever part of the image it comes from.
    """
    seen = program.ancestors([value])
    if not any(len(v.spec.shape) == 3 for v in (*seen, value)):
        return False
    places = follow_image(program, source)
    first = next((v for v in places if v in seen and v is not value and read_grid(places[v])), None)
    if first is None:
        return False
    cells = mark_cells(value, places.get(value))
    if cells is None and len(value.spec.shape) == 3 and value.spec.shape[1]:
        cells = np.arange(value.spec.shape[1])[:, None]
    part = program.with_outputs([value]).split([first])[1]
    given = {v: random_numbers(v.spec, free=8) for v in part.inputs}
    try:
        before = part([given[v] for v in part.inputs])[0]
        other = ops.where(mark_cells(first, places[first]) == 0, -given[first], given[first])
        after = part([other if v is first else given[v] for v in part.inputs])[0]
    except Exception:  # a model may refuse random features with any error
        return False
    if cells is None:
        return False
    change = np.abs(ops.convert_to_numpy(ops.cast(after - before, "float32")))[0]
    each = [change[np.broadcast_to(cells == k, change.shape)].max() for k in range(cells.max() + 1)]
    return bool(np.mean(np.array(each) > HEARD * max(each)) > 0.5)


def _tells_all(program, value, places):
    head = program.split([value])[1]
    maps = {v: mark_cells(v, places.get(v)) for v in head.inputs}
    for mapping in [], random_weights(head):
        try:
            with keras.StatelessScope(state_mapping=mapping):
                own, around = _changes(head, value, maps)
        except Exception:  # a head may refuse random features with any error
            return False
        if own > 0:
            return around <= BYPASS * own
    return False


def _changes(head, value, maps):
    """How much a score changes with the cells of a map at least, and with those beside it."""
    given = {v: random_numbers(v.spec, free=8) for v in head.inputs}

    def score(numbers):
        answers = tree.flatten(head([numbers[v] for v in head.inputs]))
        return np.concatenate([np.ravel(ops.convert_to_numpy(ops.cast(x, "float32")))
                               for x in answers if "float" in str(x.dtype)]).astype("float64")

    before = score(given)

    def change(v, parity):
        other = ops.where((maps[v] >= 0) & (maps[v] % 2 == parity), ops.flip(given[v], 0), given[v])
        return np.abs(score({**given, v: other}) - before).max()

    own = min(change(value, 0), change(value, 1))
    others = [v for v in head.inputs[1:] if maps[v] is not None]
    beside = [change(v, parity) for v in others for parity in (0, 1)]
    return own if own > REACTS * np.abs(before).max() else 0.0, max(beside, default=0.0)
