"""A function of arrays as one compiled function of the Keras backend.

To move to `keras_explain.backend`: the only place in `lime/` that asks which backend runs.
"""

import keras

_BACKEND = keras.backend.backend()

if _BACKEND == "tensorflow":
    import tensorflow as tf

    def compile(fn, variables=()):
        """`fn`, traced once per shape of its arguments; `variables` are those it reads."""
        traced = tf.function(fn, autograph=False, reduce_retracing=True)

        def run(*args):
            return traced(*keras.tree.map_structure(tf.convert_to_tensor, args))

        return run

elif _BACKEND == "jax":
    import jax

    def compile(fn, variables=()):
        """`fn`, traced once per shape of its arguments; `variables` are those it reads.

        Their values are arguments: a traced constant would not follow training.
        """
        variables = list(variables)

        @jax.jit
        def traced(values, args):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return fn(*args)

        return lambda *args: traced([v.value for v in variables], args)

elif _BACKEND == "torch":
    import torch

    def compile(fn, variables=()):
        """`fn`, eager and without gradients; `variables` are those it reads."""

        def run(*args):
            with torch.no_grad():
                return fn(*keras.tree.map_structure(keras.ops.convert_to_tensor, args))

        return run

else:
    raise ImportError(
        f"expected the Keras backend to be tensorflow, jax or torch, received {_BACKEND!r}; set "
        "the environment variable KERAS_BACKEND before Keras is imported"
    )
