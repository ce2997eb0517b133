"""The plan of an incremental occlusion: for each step a window, or the whole map."""

import dataclasses
import math

import keras
import numpy as np

from keras_explain.engine.affine import Affine
from keras_explain.engine.windows import span
from keras_explain.engine.windows.rules import action
from keras_explain.graph.masks import carry_masks

# Above this share of the map a window saves less than gathering it costs.
LARGEST_WINDOW = 0.75
# Reading and writing a number costs about as much as this many multiply-adds.
TRAFFIC = 8
# This part of the work stays in float32 when the rest runs in bfloat16.
REDUCED_AFTER = 0.15
# Windows are small, so that more of them fit in the memory of a batch; beyond this many times
# the batch nothing more was gained.
LARGEST_CHUNK = 4


@dataclasses.dataclass
class Row:
    """What the plan does with one step, for one patch position."""

    step: object
    action: object  # None: the whole map
    reason: str  # why the whole map
    share: float
    macs: float  # multiply-adds of the whole map
    numbers: float  # numbers that the whole map has

    @property
    def cost(self):
        return self.macs + TRAFFIC * self.numbers


class Plan:
    """Steps in order, each with its Action, for a patch that slides over one input.

    Args:
        program: folded Program.
        value: the input that the patch slides over, of fixed size.
        grid: (patch, stride) for each axis.
        in_order: whether positions come row by row of the grid, so that some can share work.
    """

    def __init__(self, program, value, grid, in_order=True):
        self.program, self.value, self.grid, self.in_order = program, value, grid, in_order
        sizes = value.spec.shape[1:-1]
        starts = [_starts(n, *g) for n, g in zip(sizes, grid, strict=True)]
        self.counts = tuple(len(s) for s in starts)
        self.windows = {value: tuple(
            span.Span(s, s + patch - 1, n)
            for s, n, (patch, _) in zip(starts, sizes, grid, strict=True))}
        self.whole, self.rows = set(), []
        for step in program.steps:
            if any(v in self.windows or v in self.whole for v in step.reads):
                self._add(step)

    def _add(self, step):
        found, share = self._action(step), 1.0
        if not isinstance(found, str) and found.window is not None:
            share = span.share(found.window)
            if share > LARGEST_WINDOW:
                found = f"the window covers {share:.0%} of the map"
        elif not isinstance(found, str):
            share = found.share
        reason = found if isinstance(found, str) else ""
        found = None if reason else found
        if found is None or found.window is None:
            self.whole.update(step.outputs)
        else:
            self.windows[step.outputs[0]] = found.window
        macs, numbers = _work(step)
        self.rows.append(Row(step, found, reason, share if found else 1.0, macs, numbers))

    def _action(self, step):
        if any(v in self.whole for v in step.reads):
            return "after a whole map"
        if len(step.outputs) != 1:
            return "it has several outputs"
        if _is_flat(step) and not self.in_order:
            return "positions that are searched share no rows of the map"
        return action(step, self.windows)

    @property
    def kept(self):
        """Values whose clean activation the windows need."""
        values = dict.fromkeys(keras.tree.flatten(self.program.outputs))
        for row in self.rows:
            values.update(dict.fromkeys(row.step.reads))
            if row.action is not None and row.action.window is None:
                values.update(dict.fromkeys(row.step.outputs))
        return list(values)

    def first_reduced(self):
        """From which row on bfloat16 pays; what is before it stays in float32.

        Rounding grows with the number of layers that it passes through, and the windows of the
        first layers are cheap.
        """
        done = np.cumsum([row.cost * row.share for row in self.rows])
        return int(np.searchsorted(done, REDUCED_AFTER * done[-1]))

    def speedup(self):
        """Counted work of the whole program over the work of the windows."""
        full = sum(row.cost for row in self.rows)
        done = sum(row.cost * row.share for row in self.rows)
        return full / done if done else 1.0

    def positions_at_a_time(self, batch_size):
        """As many positions as need no more memory than a batch of whole maps."""
        whole = max((_count_numbers(row.step, {}) for row in self.rows), default=1)
        held = max((_count_numbers(row.step, self.windows) for row in self.rows), default=1)
        return batch_size * max(1, min(LARGEST_CHUNK, int(whole / held)))

    def macs(self):
        """Multiply-adds of one position: of the whole program, and of the windows."""
        return (sum(row.macs for row in self.rows),
                sum(row.macs * row.share for row in self.rows))


def plannable(program, value):
    """None if windows can be planned for this input, else the reason why they cannot."""
    shape = value.spec.shape
    if len(shape) < 3 or None in shape[1:]:
        return "the input has no fixed map"
    if program.data_format() == "channels_first" and len(shape) > 3:
        return "the model is channels_first"
    if any(getattr(step.fn, "data_format", "") == "channels_first" for step in program.steps):
        return "the model is channels_first"
    specs = [v.spec for step in program.steps for v in step.outputs]
    if any(spec is None or None in spec.shape[1:] for spec in specs):
        return "some maps have no fixed size"
    if carry_masks(program.steps):
        return "the model masks steps of time"
    if any(spec.dtype in ("float16", "bfloat16") for spec in specs):
        return "the model computes in half precision"
    return None


def _starts(size, patch, stride):
    count = -(-(size - patch) // stride) + 1
    return np.minimum(np.arange(count) * stride, size - patch)


def _is_flat(step):
    return isinstance(step.fn, Affine) and step.fn.kind == "flat"


def _count_numbers(step, windows):
    """Numbers that a step reads and writes, at one position."""
    if _is_flat(step):
        windows = {}  # it may have to take the whole map after all
    return sum(math.prod(v.spec.shape[1:]) * (span.share(windows[v]) if v in windows else 1)
               for v in (*step.reads, *step.outputs))


def _work(step):
    """Multiply-adds and numbers written for a whole map."""
    shape = step.outputs[0].spec.shape[1:]
    numbers = math.prod(shape)
    fn = step.fn
    if not isinstance(fn, Affine):
        weights = getattr(fn, "weights", None) or []
        kernels = sum(math.prod(w.shape) for w in weights if len(w.shape) > 1)
        return math.prod(shape[:-1]) * kernels, numbers
    if fn.kind == "norm":
        return numbers, numbers
    shape = step.reads[0].spec.shape[1:] if fn.kind == "transpose" else shape
    return math.prod(shape[:-1]) * math.prod(fn.kernel_shape), numbers
