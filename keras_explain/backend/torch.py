"""PyTorch: gradients by autograd, inside `predict`'s inference mode too."""

import contextlib
import warnings

import keras
import torch
from keras import tree

converter = None  # Keras cannot write SavedModels from PyTorch


def vjp(fn, xs, variables=()):
    """`fn(xs) -> (y, aux)`. Gives y, aux and `pull(dy)`, the gradients of <y, dy> by `xs`.

    `pull(dy, again=True)` may be called again. A tensor that y does not depend on gets None.
    `variables` are those that `fn` reads.
    """
    with torch.inference_mode(False), torch.enable_grad():
        xs = [(x.clone() if x.is_inference() else x.detach()).requires_grad_() for x in xs]
        y, aux = fn(xs)

    def pull(dy, again=False):
        if not y.requires_grad:
            return [None] * len(xs)
        with torch.enable_grad():  # a sum, because torch.jit cannot trace `grad_outputs`
            return torch.autograd.grad((y * dy).sum(), xs, allow_unused=True, retain_graph=again)

    return y.detach(), _detach(aux), pull


def no_gradient():
    """Nothing inside is recorded."""
    return torch.no_grad()


def predict_alone():
    """No lock: calls share nothing that changes."""
    return contextlib.nullcontext()


def same_random_state():
    """Puts the global generator back: the loader that `predict` uses draws a seed from it."""
    return torch.random.fork_rng(devices=[])


def is_distributed(model):
    """Whether `model.predict` shares its data out over devices."""
    return keras.distribution.distribution() is not None


def predict_one_batch(model, x):
    """What `model.predict` computes of one batch, as NumPy."""
    model.eval()
    return keras.Model.predict_on_batch(model, x)


def is_concrete(x):
    """Whether `x` holds numbers: PyTorch computes eagerly unless it compiles or exports."""
    return isinstance(x, torch.Tensor) and not torch.compiler.is_compiling()


def require(condition, message, x):
    """`x`, or a ValueError where `condition` is false."""
    if is_concrete(condition) and not bool(condition):
        raise ValueError(message)
    return x


def _detach(values):
    return tree.map_structure(lambda t: t.detach(), values)


def exporting():
    """Nothing to set for Keras's own export."""
    return contextlib.nullcontext({})


def warn_if(condition, message):
    """A warning where `condition` is true."""
    if is_concrete(condition) and bool(condition):
        warnings.warn(message, stacklevel=2)


add = keras.ops.add
fori_loop = keras.ops.fori_loop
swish = keras.ops.silu  # fuses as it is
while_loop = keras.ops.while_loop


def compile_function(fn, variables=()):
    """`fn`, eager and without gradients; `variables` are those it reads."""

    def run(*args):
        with torch.no_grad():
            return fn(*tree.map_structure(keras.ops.convert_to_tensor, args))

    return run
