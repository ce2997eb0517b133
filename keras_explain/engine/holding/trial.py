"""A program run once on random inputs, and its steps tried out on other numbers."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.graph.categories import list_categories
from keras_explain.graph.probing import TOLERANCE, to_float64
from keras_explain.graph.sizing import has_free_sizes
from keras_explain.graph.steps import Value

ROWS = 3  # a size that few other axes have
FREE = (8, 12, 16, 24, 3, 64, 224)  # what stands for a size that the model leaves free
NEAR = 1e-4


class Trial:
    """The numbers of all Values of a program.

    Args:
        program: it is run without moving any state.
        floats: Values of which a float copy goes on.

    Raises:
        ValueError: it cannot be run on any of the inputs that are tried.
    """

    def __init__(self, program, floats=()):
        self.program, self.floats, self.numbers = program, set(floats), {}
        free = FREE if has_free_sizes(program) else FREE[:1]
        error = None
        for size in free:
            for most in (2, 1):
                try:
                    self.numbers = self._run([
                        _draw(v.spec, size, most, i, list_categories(program, v))
                        for i, v in enumerate(program.inputs)])
                    return
                except Exception as failed:  # it needs other sizes, or other ids
                    error = failed
        raise ValueError(
            "Expected a model that runs on random numbers of the shapes of its inputs, received"
            f" one that does not: {error} Use `integrated_gradients`."
        ) from error

    def _run(self, inputs):
        found = {}
        self._keep(found, self.program.inputs, inputs)
        with backend.no_gradient(), keras.StatelessScope():
            for step in self.program.steps:
                args, kwargs = tree.map_structure(
                    lambda v: found[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
                self._keep(found, step.outputs, tree.flatten(step.fn(*args, **kwargs)))
        return found

    def _keep(self, found, values, numbers):
        for value, x in zip(values, numbers, strict=True):
            copied = value in self.floats and "float" not in value.spec.dtype
            found[value] = ops.cast(x, "float32") if copied else x

    def rows(self, value):
        """How many rows an example has at a Value."""
        shape = self.numbers[value].shape
        return shape[0] // ROWS if len(shape) and shape[0] % ROWS == 0 else 1


class Tried:
    """One step of a `Trial`, as a function of some of its flat arguments.

    Args:
        trial: whose numbers the other arguments have.
        step: of its program.
        places: those of the arguments that vary.
        wanted: which of its outputs count; None: all.
        drawn: places of others that get random numbers: rows of one trial may be all alike.
    """

    def __init__(self, trial, step, places, wanted=None, drawn=()):
        self.step, self.places = step, list(places)
        self.wanted = [wanted is None or v in wanted for v in step.outputs]
        leaves = tree.flatten((step.args, step.kwargs))
        self.leaves = [trial.numbers[v] if isinstance(v, Value) else v for v in leaves]
        self.near = max(TOLERANCE.get(leaves[p].spec.dtype, NEAR) for p in self.places)
        self.is_half = self.near > NEAR
        self.near = max([self.near, *[TOLERANCE.get(v.spec.dtype, 0) for v in step.outputs]])
        for place in drawn:
            here = self.leaves[place]
            self.leaves[place] = ops.cast(_random_like(here, np.random.default_rng(place)),
                                          here.dtype)

    def __call__(self, *numbers, fixed=()):
        """All float outputs, flat, where the arguments at `places` are `numbers`; None: it fails.

        Args:
            fixed: {place: number} for other arguments.
        """
        leaves = list(self.leaves)
        for place, x in [*zip(self.places, numbers, strict=True), *dict(fixed).items()]:
            like = leaves[place]
            leaves[place] = ops.cast(ops.convert_to_tensor(x), like.dtype)
        args, kwargs = tree.pack_sequence_as((self.step.args, self.step.kwargs), leaves)
        try:
            with backend.no_gradient(), keras.StatelessScope():
                found = [to_float64(y) for y, wanted in zip(
                    tree.flatten(self.step.fn(*args, **kwargs)), self.wanted, strict=True)
                    if wanted]
        except Exception:  # a layer of the user's may refuse numbers like these with any error
            return None
        found = np.concatenate([y.reshape(-1) for y in found])
        return found if np.isfinite(found).all() else None

    def here(self):
        """The numbers that the arguments have in the trial, as float64."""
        return [to_float64(self.leaves[p]) for p in self.places]

    def random(self, seed):
        """Other numbers for them, of the same size, and positive where these are."""
        rng = np.random.default_rng(seed)
        return [_random_like(self.leaves[place], rng) for place in self.places]

    def zeros(self):
        return [np.zeros(tuple(self.leaves[p].shape)) for p in self.places]

    def equal(self, a, b, size=None):
        """Whether numbers are the same up to rounding."""
        if a is None or b is None or a.shape != b.shape:
            return False
        size = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0)) if size is None else size
        return bool(np.abs(a - b).max(initial=0) <= self.near * max(size, 1e-12))


def _random_like(here, rng):
    here = to_float64(here)
    other = rng.normal(size=here.shape) * max(here.std() or 1.0, 1e-2) * 1.5
    return np.abs(other) if here.min(initial=-1) >= 0 else other


def _draw(spec, free, most, seed, known):
    """Numbers for an input: ids 0 or 1 (the first of a row 1), or all 0 where `most` is 1.

    Where the model says which categories are `known`, some of these.
    """
    rng = np.random.default_rng(seed)
    shape = (ROWS, *[free if n is None else n for n in spec.shape[1:]])
    if known:
        drawn = np.array(known, object)[rng.integers(0, len(known), shape)]
        if spec.dtype == "string":
            return ops.convert_to_tensor(drawn.tolist())
        return ops.convert_to_tensor(drawn.astype(spec.dtype))
    if spec.dtype == "string":
        return ops.convert_to_tensor(np.full(shape, "one two three").tolist())
    if "float" in spec.dtype:
        return ops.convert_to_tensor(rng.uniform(size=shape), spec.dtype)
    ids = rng.integers(0, most, shape)
    if most > 1 and len(shape) > 1:
        ids[:, 0] = 1
    return ops.convert_to_tensor(ids, spec.dtype)
