"""TensorFlow: gradients by tape."""

import contextlib

import tensorflow as tf

EXPORT_OPTIONS = {}


def vjp(fn, xs, variables=()):
    """`fn(xs) -> (y, aux)`. Gives y, aux and `pull(dy)`, the gradients of <y, dy> by `xs`.

    `pull` may be called once. A tensor that y does not depend on gets None. `variables` are
    those that `fn` reads.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(xs)
        y, aux = fn(xs)
    return y, aux, lambda dy: tape.gradient(y, xs, output_gradients=dy)


def no_gradient():
    """Nothing to switch off: only tapes record."""
    return contextlib.nullcontext()


def is_concrete(x):
    """Whether `x` is an eager tensor."""
    return tf.is_tensor(x) and hasattr(x, "numpy") and not tf.is_symbolic_tensor(x)


def require(condition, message, x):
    """`x`, computed only if `condition` holds, in a graph and in a served model too."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message], summarize=1)]):
        return tf.identity(x)
