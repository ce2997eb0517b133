"""The few functions that differ between Keras backends, chosen once.

- `compile_function(fn, variables)`: `fn` as one function of the backend, for host-side loops;
- `converter(layer)`: what makes functions exportable; None where nothing does;
- `exporting()`: a scope for Keras's own export, which gives options for it;
- `add(x, y)`: a sum of maps, in the form that can run in several threads;
- `swish(x)`: x * sigmoid(x), in the form that fuses with the convolution before it;
- `vjp(fn, xs, variables)`: value and pull-back of `fn` at the tensors `xs`;
- `no_gradient()`: a scope in which nothing is recorded;
- `same_random_state()`: a scope that leaves the global random state as it found it;
- `predict_alone()`: a scope that one thread at a time is in, where `predict` needs that;
- `is_distributed(model)`: whether its `predict` shares data out over devices;
- `predict_one_batch(model, x)`: its `predict` of arrays that fit into one batch;
- `is_concrete(x)`: whether a tensor holds numbers that can be looked at now;
- `require(condition, message, x)`: `x`, or a run-time error where `condition` is false;
- `warn_if(condition, message)`: a warning, at run time, where `condition` is true;
- `while_loop`, `fori_loop`: those of `keras.ops`, but a step begins when the last one ended.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_explain.backend import tensorflow as chosen
elif keras.backend.backend() == "jax":
    from keras_explain.backend import jax as chosen
elif keras.backend.backend() == "torch":
    from keras_explain.backend import torch as chosen
else:
    raise ImportError(
        "Expected the Keras backend to be tensorflow, jax or torch, received"
        f" {keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND before"
        " Keras is imported."
    )

add = chosen.add
compile_function = chosen.compile_function
converter = chosen.converter
exporting = chosen.exporting
fori_loop = chosen.fori_loop
is_concrete = chosen.is_concrete
is_distributed = chosen.is_distributed
no_gradient = chosen.no_gradient
predict_alone = chosen.predict_alone
predict_one_batch = chosen.predict_one_batch
require = chosen.require
same_random_state = chosen.same_random_state
swish = chosen.swish
vjp = chosen.vjp
warn_if = chosen.warn_if
while_loop = chosen.while_loop
