"""TensorFlow: gradients by tape."""

import contextlib
import sys
import warnings

import tensorflow as tf
from keras import ops, tree


def vjp(fn, xs, variables=()):
    """`fn(xs) -> (y, aux)`. Gives y, aux and `pull(dy)`, the gradients of <y, dy> by `xs`.

    `pull(dy, again=True)` may be called again. A tensor that y does not depend on gets None.
    `variables` are those that `fn` reads.
    """
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
        tape.watch(xs)
        y, aux = fn(xs)
    return y, aux, lambda dy, again=False: tape.gradient(y, xs, output_gradients=dy)


def no_gradient():
    """Nothing to switch off: only tapes record."""
    return contextlib.nullcontext()


def predict_alone():
    """No lock: calls share nothing that changes."""
    return contextlib.nullcontext()


def same_random_state():
    """Nothing to keep: `predict` draws no random numbers."""
    return contextlib.nullcontext()


def is_distributed(model):
    """Whether `model.predict` shares its data out over devices."""
    here = tf.distribute.get_strategy()
    return tf.distribute.has_strategy() or model.distribute_strategy is not here


def predict_one_batch(model, x):
    """What `model.predict` computes of one batch, as NumPy, in the structure that it feeds in."""
    model.make_predict_function()
    x = tree.lists_to_tuples(tree.map_structure(tf.convert_to_tensor, x))
    outputs = model.predict_function([(x,) if isinstance(x, tuple) else x])
    return tree.map_structure(lambda t: t.numpy(), outputs)


def is_concrete(x):
    """Whether `x` is an eager tensor."""
    return tf.is_tensor(x) and hasattr(x, "numpy") and not tf.is_symbolic_tensor(x)


def require(condition, message, x):
    """`x`, computed only if `condition` holds, in a graph and in a served model too."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message], summarize=1)]):
        return tf.identity(x)


def converter(layer):
    """For exports: `convert(fn, name, specs)` and the lookup tables that `layer` needs.

    `convert` makes `fn` a function of TensorFlow operations, which here it is.
    """
    parts = tf.train.TrackableView(layer).descendants()
    table = tf.saved_model.experimental.TrackableResource
    return lambda fn, name, specs: fn, [part for part in parts if isinstance(part, table)]


def exporting():
    """Nothing to set for Keras's own export."""
    return contextlib.nullcontext({})


def warn_if(condition, message):
    """A warning where `condition` is true; a line on stderr from inside of a graph."""
    if is_concrete(condition):
        if bool(condition):
            warnings.warn(message, stacklevel=2)
        return
    tf.cond(condition, lambda: tf.print("UserWarning:", message, output_stream=sys.stderr),
            tf.no_op)


def while_loop(cond, body, start):
    """One step after the other, where TensorFlow would run ten at once.

    That would take the memory of ten, and a kernel is not always safe to run twice at once.
    """
    return tf.while_loop(cond, body, start, parallel_iterations=1)


def fori_loop(lower, upper, body, start):
    """The same, counted."""
    return while_loop(
        lambda i, _: i < upper, lambda i, value: (i + 1, body(i, value)), (lower, start))[1]


def add(x, y):
    """As a sum of vectors, which TensorFlow fuses with no convolution.

    Convolutions with a fused sum crash where two threads run one at once: oneDNN's kernel keeps
    the summand between its own steps (TensorFlow 2.21).
    """
    found = ops.add(tf.reshape(x, [-1]), tf.reshape(y, [-1]))
    return tf.ensure_shape(tf.reshape(found, tf.shape(x)), x.shape)


def swish(x):
    """As a product: TensorFlow fuses that with a convolution, and `tf.nn.silu` with nothing."""
    return x * tf.sigmoid(x)


def compile_function(fn, variables=()):
    """`fn`, traced once per shape of its arguments; `variables` are those it reads."""
    traced = tf.function(fn, autograph=False, reduce_retracing=True)
    return lambda *args: traced(*tree.map_structure(tf.convert_to_tensor, args))
