"""How occlusion goes through its positions: the grid, by windows or by the whole model."""

import math

from keras_explain.engine import sliding
from keras_explain.engine.folding import fold
from keras_explain.engine.windows.adaptive import Search
from keras_explain.engine.windows.plan import Plan, plannable
from keras_explain.engine.windows.report import report
from keras_explain.graph.axes import heatmap_axes, space_axes
from keras_explain.graph.sizing import settle_sizes

# Below this factor of counted work, windows are not worth their overhead.
WORTHWHILE = 1.05


def make_grid(program, value, patch_size, stride):
    """(patch, stride) for each axis of an input that the patch slides along.

    Args:
        program: the model's.
        value: the Value of an explained input.
        patch_size, stride: tuples of one number or one per axis; None for the defaults.

    Raises:
        ValueError: another count, a patch that is larger than the input, or an input of any size
            without a patch.
    """
    axes, space = heatmap_axes(program, value), space_axes(program, value)
    sizes = [value.spec.shape[a] for a in axes]
    patch = patch_size or [sliding.default_patch(value, value.spec.shape[a]) for a in space]
    patch = _over_axes(patch, axes, space)
    step = _over_axes(stride or [max(1, p // 2) for p in patch], axes, space)
    if len(patch) != len(sizes) or len(step) != len(sizes):
        raise ValueError(
            f"Expected one `patch_size` and `stride`, or {len(sizes)} (one per axis of the"
            f" input {value.spec.shape}), received {patch_size} and {stride}. One number holds for"
            " all axes."
        )
    for p, size in zip(patch, sizes, strict=True):
        if size is not None and p > size:
            raise ValueError(
                f"Expected `patch_size` of at most {size}, the size of the input, received"
                f" {p}. Take a patch of about an eighth of the image."
            )
    return tuple(zip(patch, step, strict=True))


def make_plan(program, value, grid, engine, precision, search):
    """The plan by windows, or the reason why every position runs the whole model.

    Raises:
        ValueError: `engine` or `precision` asks for windows where there can be none.
    """
    if engine == "full":
        reason = "you asked for engine=\"full\""
        _check_possible(engine, precision, reason)
        return reason
    reason = plannable(program, value)
    if None in value.spec.shape[1:] and engine == "auto":
        reason = "the input has no fixed map; calls and `predict` plan windows for each size"
    if len(grid) != len(value.spec.shape) - 2:
        reason = "the input is not a map with channels"
    if reason is None:
        plan = Plan(program, value, grid, in_order=search == "full")
        wanted = engine == "incremental" or precision != "float32"
        if wanted or plan.speedup() > WORTHWHILE:
            return plan
        reason = f"windows save only a factor of {plan.speedup():.2f}"
    _check_possible(engine, precision, reason)
    return reason


def _over_axes(numbers, axes, space):
    """One number for each axis: a single one is that of each axis of space, channels go one by one.
    """
    numbers = list(numbers) * (len(space) if len(numbers) == 1 else 1)
    if len(numbers) != len(space):
        return numbers
    by_axis = dict(zip(space, numbers, strict=True))
    return [by_axis.get(a, 1) for a in axes]


class SizedPlans:
    """The plans of a model that leaves sizes free, for each size that was asked about.

    Sizes are known where numbers are, and in the functions that Keras traces for them; an exported
    graph of any size knows none, and runs the whole model at each position.

    Args:
        program: the model's, as it was traced.
        explained: the Values of the explained inputs.
        grids: of each, see `make_grid`.
    """

    def __init__(self, program, explained, grids):
        self.program, self.grids, self._found = program, grids, {}
        self.places = [program.inputs.index(v) for v in explained]

    def at(self, values):
        """The folded program and its plans for inputs of these sizes; None where none are known."""
        shapes = tuple(tuple(x.shape[1:]) for x in values)
        if any(None in shape for shape in shapes):
            return None
        if shapes not in self._found:
            self._found[shapes] = self._make(shapes)
        return self._found[shapes]

    def _make(self, shapes):
        program = settle_sizes(self.program, shapes)
        if program is None:
            return None
        folded = fold(program)
        plans = []
        for place, grid in zip(self.places, self.grids, strict=True):
            value = program.inputs[place]
            sizes = [value.spec.shape[a] for a in heatmap_axes(program, value)]
            if len(grid) != len(sizes):
                return None  # a patch for each channel, which is no map with channels
            if any(patch > size for (patch, _), size in zip(grid, sizes, strict=True)):
                return None
            plans.append(make_plan(folded, value, grid, "auto", "float32", "full"))
        return folded, plans


def _check_possible(engine, precision, reason):
    if engine == "incremental":
        raise ValueError(
            'Expected a model and an input that engine="incremental" can run by windows,'
            f' received others: {reason}. Use engine="auto".'
        )
    if precision != "float32":
        raise ValueError(
            f"Expected a model and an input that can run by windows for precision={precision!r},"
            f' received others: {reason}. Use precision="float32".'
        )


def check_search(search, value):
    """Refuse an adaptive search on an input without neighbors, or of any size."""
    shape = value.spec.shape
    if search == "adaptive" and (len(shape) < 3 or None in shape[1:]):
        raise ValueError(
            f'Expected an input with a map of fixed size for search="adaptive", because it'
            f" interpolates between neighbors, received {shape}. Use search=\"full\"."
        )


def report_plan(program, value, plan, grid, search):
    """What the engine does with an explained input, as text to print."""
    text = report(value, plan)
    if search == "full":
        return text
    sizes = [value.spec.shape[a] for a in heatmap_axes(program, value)]
    counts = [sliding.count(n, *step) for n, step in zip(sizes, grid, strict=True)]
    found = Search.of(counts, grid)
    return text + (f'\nsearch="adaptive": {found.evaluations} of {math.prod(counts)} positions'
                   " are evaluated, the others interpolated.")
