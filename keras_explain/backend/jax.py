"""JAX: gradients of pure functions."""

import contextlib
import warnings

import jax
import jax.numpy as jnp
import keras

_exports = []  # those under way


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
    return y, aux, lambda dy, again=False: pull(dy)[0]


def no_gradient():
    """Nothing to switch off: only differentiated functions are recorded."""
    return contextlib.nullcontext()


def same_random_state():
    """Nothing to keep: `predict` draws no random numbers."""
    return contextlib.nullcontext()


def is_distributed(model):
    """Whether `model.predict` shares its data out over devices."""
    return keras.distribution.distribution() is not None


def predict_one_batch(model, x):
    """What `model.predict` computes of one batch, as NumPy."""
    return keras.Model.predict_on_batch(model, x)


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


def converter(layer):
    """For exports: `convert(fn, name, specs)` and the lookup tables that `layer` needs.

    `convert` makes `fn` a function of TensorFlow operations, given the `tf.TensorSpec`s of its
    arguments; all share the weights of `layer` as TensorFlow variables.
    """
    archive = keras.export.ExportArchive()
    archive.track(layer)

    def convert(fn, name, specs):
        with exporting() as options:
            return archive.add_endpoint(name, fn, input_signature=specs, **options)

    return convert, []


@contextlib.contextmanager
def exporting():
    """While TensorFlow operations are made. Gives Keras's options for it."""
    _exports.append(True)
    try:  # gradients of a heatmap: nobody asks
        yield {"jax2tf_kwargs": {"with_gradient": False}}
    finally:
        _exports.pop()


def warn_if(condition, message):
    """A warning where `condition` is true, from inside of compiled code too; not of exports,
    which run where there is no Python."""
    if _exports:
        return

    def warn(wrong):
        if wrong:
            warnings.warn(message, stacklevel=2)

    jax.debug.callback(warn, condition)


add = keras.ops.add
fori_loop = keras.ops.fori_loop
swish = keras.ops.silu  # fuses as it is
while_loop = keras.ops.while_loop


def compile_function(fn, variables=()):
    """`fn`, traced once per shape of its arguments; `variables` are those it reads.

    Their values are arguments: a traced constant would not follow training.
    """
    variables = list(variables)

    @jax.jit
    def traced(values, args):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return fn(*args)

    return lambda *args: traced([v.value for v in variables], args)
