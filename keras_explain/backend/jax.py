"""JAX: gradients of pure functions."""

import contextlib
import threading
import warnings

import jax
import jax.numpy as jnp
import keras

_exports = []  # those under way
_predicting = threading.RLock()


def vjp(fn, xs, variables=()):
    """`fn(xs) -> (y, aux)`. Gives y, aux and `pull(dy)`, the gradients of <y, dy> by `xs`.

    `variables` are those that `fn` reads. What a layer assigns stays inside: a tracer that
    leaked into the user's model would break it.
    """
    del variables  # what they are now is read through the scopes around
    drawn = []

    def pure(xs):
        with _Inside() as scope:
            y, aux = fn(xs)
        drawn[:] = scope.find_drawn()
        return y, (aux, [scope.get_current_value(v) for v in drawn])

    y, pull, (aux, states) = jax.vjp(pure, xs, has_aux=True)
    _go_on(drawn, states)
    return y, aux, lambda dy, again=False: pull(dy)[0]


class _Inside(keras.StatelessScope):
    """Around what JAX traces by itself: nothing that it assigns gets out.

    It reads what the scopes around it hold. Keras's own forgets them.
    """

    def __init__(self, state_mapping=None):
        super().__init__(state_mapping)
        self.assigned = {}

    def get_current_value(self, variable):
        value, around = super().get_current_value(variable), self.original_scope
        return around.get_current_value(variable) if value is None and around else value

    def add_update(self, update):
        self.assigned[id(update[0])] = update[0]
        super().add_update(update)

    def find_drawn(self):
        """The random generators that were drawn from: nothing else of a model is uint32."""
        return [v for v in self.assigned.values() if v.dtype == "uint32"]


def _go_on(generators, states):
    """Let random generators go on from where a traced function left them."""
    for generator, state in zip(generators, states, strict=True):
        generator.assign(state)


def _loop(run, body, start):
    """`run(body, start)`, a loop over the tuple `start`, whose body may draw random numbers.

    Their generators are known when the body was traced. Then there is a second loop, which hands
    their states from step to step; of the first, compiled code keeps nothing.
    """
    generators = {}

    def quiet(*args):
        with _Inside() as scope:
            found = body(*args)
        generators.update((id(v), v) for v in scope.find_drawn())
        return found

    found = run(quiet, start)
    if not generators:
        return found
    drawn = list(generators.values())

    def drawing(*args):
        *args, states = args
        with _Inside(list(zip(drawn, states, strict=True))) as scope:
            found = body(*args)
        return *found, [scope.get_current_value(v) for v in drawn]

    *found, states = run(drawing, (*start, [v.value for v in drawn]))
    _go_on(drawn, states)
    return tuple(found)


def no_gradient():
    """Nothing to switch off: only differentiated functions are recorded."""
    return contextlib.nullcontext()


def same_random_state():
    """Nothing to keep: `predict` draws no random numbers."""
    return contextlib.nullcontext()


def predict_alone():
    """Threads one after the other: `predict` gives the weights' buffers away and back.

    One lock for all models, because models share weights.
    """
    return _predicting


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
swish = keras.ops.silu  # fuses as it is


def while_loop(cond, body, loop_vars):
    """`keras.ops.while_loop` of a tuple, whose body may draw random numbers."""
    def run(body, start):
        return keras.ops.while_loop(lambda *args: cond(*args[: len(loop_vars)]), body, start)

    return _loop(run, body, tuple(loop_vars))


def fori_loop(lower, upper, body, init):
    """`keras.ops.fori_loop`, whose body may draw random numbers."""
    def step(i, value):
        return i + 1, body(i, value)

    return while_loop(lambda i, value: i < upper, step, (jnp.asarray(lower, "int32"), init))[1]


def compile_function(fn, variables=()):
    """`fn`, traced once per shape of its arguments; `variables` are those it reads.

    Their values are arguments: a traced constant would not follow training.
    """
    variables, drawn = list(variables), {}

    @jax.jit
    def traced(values, args):
        with _Inside(list(zip(variables, values, strict=True))) as scope:
            found = fn(*args)
        drawn.update((id(v), v) for v in scope.find_drawn())
        return found, {id(v): scope.get_current_value(v) for v in scope.find_drawn()}

    def call(*args):
        found, states = traced([v.value for v in variables], args)
        _go_on([drawn[key] for key in states], states.values())
        return found

    return call
