"""The few functions that differ between Keras backends, chosen once.

- `EXPORT_OPTIONS`: what `ExportArchive.add_endpoint` needs, None if it cannot export;
- `vjp(fn, xs, variables)`: value and pull-back of `fn` at the tensors `xs`;
- `no_gradient()`: a scope in which nothing is recorded;
- `is_concrete(x)`: whether a tensor holds numbers that can be looked at now;
- `require(condition, message, x)`: `x`, or a run-time error where `condition` is false.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_explain.backend.tensorflow import EXPORT_OPTIONS, is_concrete, no_gradient, require, vjp
elif keras.backend.backend() == "jax":
    from keras_explain.backend.jax import EXPORT_OPTIONS, is_concrete, no_gradient, require, vjp
elif keras.backend.backend() == "torch":
    from keras_explain.backend.torch import EXPORT_OPTIONS, is_concrete, no_gradient, require, vjp
else:
    raise ImportError(
        "Expected the Keras backend to be tensorflow, jax or torch, received"
        f" {keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND before"
        " Keras is imported."
    )

__all__ = ["EXPORT_OPTIONS", "is_concrete", "no_gradient", "require", "vjp"]
