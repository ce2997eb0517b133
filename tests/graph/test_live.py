"""Layers that run on numbers while each operation inside is watched."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_explain.graph.live import Live, run_watched, unwrap

PLACES = ((keras.Operation, "symbolic_call"), (keras.layers.Layer, "symbolic_call"),
          (keras.src.layers.layer, "Node"), (keras.ops, "shape"), (keras.src.ops, "shape"),
          (keras.src.ops.core, "shape"))


class Own(layers.Layer):
    """Needs the number of rows, gives something besides a tensor, has a layer and a weight."""

    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(4, "tanh")

    def build(self, shape):
        self.inner.build(shape)
        self.token = self.add_weight(shape=(1, shape[-1]), name="token")

    def call(self, x):
        rows = ops.tile(self.token + 1.0, (ops.shape(x)[0], 1))
        return self.inner(x * rows) - 2.0, None


def watch(names):
    def run(fn, args, kwargs):
        names.append(type(fn).__name__)
        args, kwargs = keras.tree.map_structure(unwrap, (args, kwargs))
        return keras.tree.map_structure(Live, fn(*args, **kwargs))

    return run


@pytest.fixture
def layer():
    own = Own()
    own.build((None, 3))
    return own


def test_every_operation_comes_by_with_its_numbers(layer):
    x, names = np.random.default_rng(0).normal(size=(5, 3)).astype("float32"), []
    found, nothing = run_watched(layer, (Live(ops.convert_to_tensor(x)),), {}, watch(names))
    np.testing.assert_allclose(ops.convert_to_numpy(unwrap(found)),
                               ops.convert_to_numpy(layer(ops.convert_to_tensor(x))[0]), atol=1e-6)
    assert nothing is None
    assert names == ["Add", "Tile", "Multiply", "Dense", "_KeepingMask", "Subtract"]


def test_nothing_of_keras_or_the_layer_is_changed(layer):
    before = [vars(owner)[name] for owner, name in PLACES]
    attributes = [dict(vars(x)) for x in (layer, layer.inner)]
    run_watched(layer, (Live(ops.ones((2, 3))),), {}, watch([]))
    with pytest.raises(ZeroDivisionError):
        run_watched(layer, (Live(ops.ones((2, 3))),), {}, lambda *_: 1 / 0)
    assert [vars(owner)[name] for owner, name in PLACES] == before
    for x, was in zip((layer, layer.inner), attributes, strict=True):
        assert vars(x).keys() == was.keys() and not x._inbound_nodes


def test_other_threads_do_not_notice(layer):
    made = []

    def build():
        x = keras.Input((4,))
        made.append(keras.Model(x, layers.Dense(2)(ops.relu(x))))

    def run(fn, args, kwargs):
        if not made:
            thread = threading.Thread(target=build)
            thread.start()
            thread.join()
        return watch([])(fn, args, kwargs)

    run_watched(layer, (Live(ops.ones((2, 3))),), {}, run)
    assert made[0].output_shape == (None, 2) and len(made[0].operations) == 3


class Shifted(layers.Layer):
    """Adds what it is given to an array of the backend, which stands on the left."""

    def call(self, x):
        return ops.convert_to_tensor(np.arange(3, dtype="float32")) + ops.relu(x)


def test_an_array_on_the_left_is_seen_or_told_of():
    from keras_explain.graph.live import have_left

    left, x = [], np.random.default_rng(0).normal(size=(5, 3)).astype("float32")

    def run(fn, args, kwargs):
        made = watch(names)(fn, args, kwargs)
        left.append(have_left())
        return made

    names = []
    found = run_watched(Shifted(), (Live(ops.convert_to_tensor(x)),), {}, run)
    np.testing.assert_allclose(ops.convert_to_numpy(unwrap(found)),
                               np.arange(3) + np.maximum(x, 0), atol=1e-6)
    if keras.backend.backend() == "jax":
        assert names == ["Relu", "Add"] and not any(left)
