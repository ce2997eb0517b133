"""JAX: gradients of pure functions."""

import contextlib

import jax
import jax.numpy as jnp
import keras

EXPORT_OPTIONS = {"jax2tf_kwargs": {"with_gradient": False}}  # gradients of a heatmap: nobody asks


def vjp(fn, xs, variables=()):
    """`fn(xs) -> (y, aux)`. Gives y, aux and `pull(dy)`, the gradients of <y, dy> by `xs`.

    `variables` are those that `fn` reads. What a layer assigns stays inside: a tracer that
    leaked into the user's model would break it.
    """
    values = [(v, v.value) for v in variables]

    def pure(xs):
        with keras.StatelessScope(state_mapping=values):
            return fn(xs)

    y, pull, aux = jax.vjp(pure, xs, has_aux=True)
    return y, aux, lambda dy: pull(dy)[0]


def no_gradient():
    """Nothing to switch off: only differentiated functions are recorded."""
    return contextlib.nullcontext()


def is_concrete(x):
    """Whether `x` is an array outside of any trace."""
    return isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)


def require(condition, message, x):
    """`x`; where `condition` is false an error, or NaN in compiled code, which cannot raise."""
    if is_concrete(condition):
        if not bool(condition):
            raise ValueError(message)
        return x
    return jnp.where(condition, x, jnp.nan)
