"""Parts of a program in bfloat16, where the machine computes it natively.

The clean run and the windows use the same numbers, so that most of the rounding cancels in
the difference. What is left is guarded: see `run.drops`.
"""

import dataclasses
import pathlib

import keras
from keras import ops

from keras_explain.engine.affine import Affine
from keras_explain.graph.program import Program

# A dense layer below this many multiply-adds is not worth its rounding.
LARGE_DENSE = 5e6


def is_native():
    """Whether this machine multiplies bfloat16 in hardware: an accelerator, AMX or AVX-512."""
    try:
        devices = keras.distribution.list_devices()
    except AttributeError:  # PyTorch
        devices = [str(ops.zeros(()).device)]
    if any("cpu" not in device.lower() for device in devices):
        return True
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def reduce_precision(program, work):
    """The program with the weights of some steps in bfloat16; maps follow, scores do not.

    Args:
        program: unbound folded Program.
        work: pairs of a step to reduce and its multiply-adds; few of them are not worth it
            where no map is made.
    """
    low = {step.outputs[0] for step, macs in work if _is_worth(step, macs)}
    after = set()
    for step in program.steps:
        if step.outputs[0] in low or after.intersection(step.reads):
            after.update(step.outputs)
    return Program(program.inputs, [
        dataclasses.replace(step, fn=_in_precision(step, low, after)) for step in program.steps
    ], program.outputs, program.calls)


def _in_precision(step, low, after):
    fn, value = step.fn, step.outputs[0]
    if isinstance(fn, Affine):
        return fn.bind("bfloat16" if value in low else None)
    if value not in after:
        return fn
    maps = len(value.spec.shape) > 2 or type(fn).__name__ in ("Flatten", "Reshape")
    return _Follow(fn) if maps and not getattr(fn, "weights", None) else _Float(fn)


class _Follow:
    """A layer without weights, in the precision of its inputs instead of its own."""

    def __init__(self, fn):
        self.fn = fn.call if isinstance(fn, keras.layers.Layer) else fn

    def __call__(self, *args, **kwargs):
        return self.fn(*args, **kwargs)


class _Float:
    """A step that adds many numbers or gives scores: in float32."""

    def __init__(self, fn):
        self.fn = fn

    def __call__(self, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(_float32, (args, kwargs))
        return self.fn(*args, **kwargs)


def _is_worth(step, macs):
    fn, spec = step.fn, step.outputs[0].spec
    if not isinstance(fn, Affine) or fn.dtype != "float32":
        return False
    return len(spec.shape) > 2 or macs > LARGE_DENSE


def _float32(x):
    if hasattr(x, "dtype") and keras.backend.standardize_dtype(x.dtype) == "bfloat16":
        return ops.cast(x, "float32")
    return x
