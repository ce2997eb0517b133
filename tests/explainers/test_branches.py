"""Which branch of a model a class activation map reads."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx


def tower(channels, name):
    return keras.Sequential([keras.Input((12, 10, channels)),
                             layers.Conv2D(4, 3, activation="relu", name="conv"),
                             layers.GlobalAveragePooling2D()], name=name)


def two_towers():
    rgb, depth = keras.Input((12, 10, 3), name="rgb"), keras.Input((12, 10, 1), name="depth")
    joined = layers.Concatenate()([tower(3, "a")(rgb), tower(1, "b")(depth)])
    return keras.Model([rgb, depth], layers.Dense(3)(joined))


@pytest.mark.parametrize("builder", [kx.hires_cam, kx.eigen_cam, kx.ablation_cam, kx.layer_cam])
@pytest.mark.parametrize("name, path", [("rgb", "a/conv"), ("depth", "b/conv")])
def test_the_named_input_is_read(builder, name, path):
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    explained = builder(two_towers(), input=name, target=1)
    assert explained.explainer.layer_path == path
    x = [rng.uniform(size=(2, 12, 10, c)).astype("float32") for c in (3, 1)]
    own = 0 if name == "rgb" else 1
    for k in (0, 1):
        other = list(x)
        other[k] = x[k][::-1].copy()
        maps = [ops.convert_to_numpy(explained(i)["heatmap"]) for i in (x, other)]
        assert (np.abs(maps[0] - maps[1]).max() > 1e-6) == (k == own)


def test_a_layer_of_another_branch_is_refused():
    with pytest.raises(ValueError, match="that the input 'rgb' reaches, received 'b/conv'"):
        kx.hires_cam(two_towers(), input="rgb", layer="b/conv")


def test_a_twin_that_is_left_out_is_named():
    left, right = keras.Input((12, 10, 3), name="left"), keras.Input((12, 10, 3), name="right")
    shared = tower(3, "shared")
    model = keras.Model([left, right], layers.Dense(1)(ops.abs(shared(left) - shared(right))))
    with pytest.warns(UserWarning, match="explains the input '(left|right)' only"):
        kx.hires_cam(model)
    rng = np.random.default_rng(0)
    x = [rng.uniform(size=(1, 12, 10, 3)).astype("float32") for _ in range(2)]
    maps = [ops.convert_to_numpy(kx.eigen_cam(model, input=n)(x)["heatmap"])
            for n in ("left", "right")]
    assert np.abs(maps[0] - maps[1]).max() > 1e-6


def test_a_callable_target_is_explained_by_the_outputs_that_it_reads():
    x = keras.Input((12, 10, 3))
    trunk = layers.Conv2D(4, 3, activation="relu", name="trunk")(x)
    classes = layers.Dense(3)(layers.GlobalAveragePooling2D()(trunk))
    decoder = layers.Conv2D(4, 3, activation="relu", name="decoder")(trunk)
    model = keras.Model(x, {"cls": classes, "seg": layers.Conv2D(2, 1)(decoder)})
    for target, path in ((lambda o: o["cls"][:, 1], "trunk"),
                         (lambda o: ops.mean(o["seg"][..., 1], axis=(1, 2)), "decoder")):
        assert kx.hires_cam(model, output="cls", target=target).explainer.layer_path == path
