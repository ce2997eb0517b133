"""Which branch of a model a class activation map reads."""

import keras
import numpy as np
import pytest
from keras import layers, ops, tree

import keras_explain as kx
from keras_explain.engine.resizing import resize
from keras_explain.explainers._choosing import MergedMapWarning


def tower(channels, name):
    return keras.Sequential([keras.Input((12, 10, channels)),
                             layers.Conv2D(4, 3, activation="relu", name="conv"),
                             layers.GlobalAveragePooling2D()], name=name)


def two_towers():
    rgb, depth = keras.Input((12, 10, 3), name="rgb"), keras.Input((12, 10, 1), name="depth")
    joined = layers.Concatenate()([tower(3, "a")(rgb), tower(1, "b")(depth)])
    positive = keras.initializers.RandomUniform(0.1, 1.0)
    return keras.Model([rgb, depth], layers.Dense(3, kernel_initializer=positive)(joined))


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


def siamese(names=("left", "right"), signature=list):
    inputs = {name: keras.Input((12, 10, 3), name=name) for name in names}
    shared = tower(3, "shared")
    distances = [ops.abs(shared(inputs[names[0]]) - shared(inputs[n])) for n in names[1:]]
    answer = layers.Dense(1)(distances[0] if len(distances) == 1 else ops.subtract(*distances))
    return keras.Model(inputs if signature is dict else list(inputs.values()), answer)


def pair(count=2):
    rng = np.random.default_rng(0)
    return [rng.uniform(size=(2, 12, 10, 3)).astype("float32") for _ in range(count)]


def numbers(maps):
    return tree.map_structure(ops.convert_to_numpy, maps)


BUILDERS = (kx.grad_cam, kx.hires_cam, kx.eigen_cam, kx.ablation_cam, kx.score_cam, kx.layer_cam,
            kx.guided_grad_cam)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda b: b.__name__)
@pytest.mark.parametrize("names", [("left", "right"), ("anchor", "positive", "negative")])
def test_each_twin_has_its_map(builder, names):
    model, x = siamese(names), pair(len(names))
    together = numbers(builder(model, normalize="max")(x)["heatmap"])
    assert len(together) == len(names) and all(m.shape == (2, 12, 10) for m in together)
    for k, name in enumerate(names):
        alone = numbers(builder(model, input=name, normalize="max")(x)["heatmap"])
        np.testing.assert_allclose(together[k], alone, atol=1e-5)


def test_twins_in_a_dict_are_explained_under_their_names(tmp_path):
    model, x = siamese(signature=dict), dict(zip(("left", "right"), pair(), strict=True))
    explained = kx.hires_cam(model, signed=True)
    maps = numbers(explained(x)["heatmap"])
    assert list(maps) == ["left", "right"]
    explained.save(tmp_path / "explained.keras")
    again = numbers(keras.models.load_model(tmp_path / "explained.keras")(x)["heatmap"])
    for name in maps:
        np.testing.assert_allclose(again[name], maps[name], atol=1e-5)


def test_several_named_inputs_have_a_map_each():
    model, x = siamese(("anchor", "positive", "negative")), pair(3)
    maps = numbers(kx.layer_cam(model, input=["negative", "anchor"])(x)["heatmap"])
    for found, name in zip(maps, ("negative", "anchor"), strict=True):
        alone = numbers(kx.layer_cam(model, input=name)(x)["heatmap"])
        np.testing.assert_allclose(found, alone, atol=1e-6)


@pytest.mark.parametrize("index, name", enumerate(["left", "right"]))
def test_the_call_of_a_shared_layer_is_that_which_the_input_reaches(index, name):
    model, x = siamese(), pair()
    found = numbers(kx.hires_cam(model, layer="shared/conv", input=name)(x)["heatmap"])
    wanted = numbers(kx.hires_cam(model, layer="shared/conv", node_index=index)(x)["heatmap"])
    np.testing.assert_array_equal(found, wanted)


def test_a_branch_that_is_left_out_is_named():
    """A tower without convolutions beside one with: there is no map for the first."""
    image, sound = keras.Input((12, 10, 3), name="image"), keras.Input((20, 4), name="sound")
    joined = layers.Concatenate()([tower(3, "a")(image), layers.LSTM(3)(sound)])
    with pytest.warns(UserWarning, match=r"explains the input 'image' only.*\['sound'\] too"):
        kx.hires_cam(keras.Model([image, sound], layers.Dense(2)(joined)))


def test_a_callable_target_is_explained_by_the_outputs_that_it_reads():
    x = keras.Input((12, 10, 3))
    trunk = layers.Conv2D(4, 3, activation="relu", name="trunk")(x)
    classes = layers.Dense(3)(layers.GlobalAveragePooling2D()(trunk))
    decoder = layers.Conv2D(4, 3, activation="relu", name="decoder")(trunk)
    model = keras.Model(x, {"cls": classes, "seg": layers.Conv2D(2, 1)(decoder)})
    for target, path in ((lambda o: o["cls"][:, 1], "trunk"),
                         (lambda o: ops.mean(o["seg"][..., 1], axis=(1, 2)), "decoder")):
        assert kx.hires_cam(model, output="cls", target=target).explainer.layer_path == path


def test_a_callable_target_that_reads_another_structure_is_refused():
    x = keras.Input((12, 10, 3))
    trunk = layers.Conv2D(4, 3, activation="relu")(x)
    model = keras.Model(x, {"cls": layers.Dense(3)(layers.GlobalAveragePooling2D()(trunk)),
                            "seg": layers.Conv2D(2, 1)(trunk)})
    with pytest.raises(ValueError, match=r"takes all outputs.*'cls', 'seg'.*outputs\['name'\]"):
        kx.saliency(model, output="seg", target=lambda o: ops.mean(o[..., 1], axis=(1, 2)))


# Several last maps ----------------------------------------------------------------------------


def pyramid():
    """Two levels of unequal size, of which a shared head makes the scores of boxes."""
    x = keras.Input((24, 20, 3))
    fine = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="fine")(x)
    coarse = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="coarse")(fine)
    tower, classes = layers.Conv2D(5, 3, padding="same", activation="relu", name="tower"), (
        layers.Conv2D(6, 1, name="classes"))
    boxes = [layers.Reshape((-1, 3))(classes(tower(level))) for level in (fine, coarse)]
    return keras.Model(x, layers.Activation("sigmoid")(layers.Concatenate(axis=1)(boxes)))


def picked(outputs):
    return ops.sum(ops.log(outputs[:, ::7, 1]), axis=1)


@pytest.mark.parametrize("builder", BUILDERS[:6], ids=lambda b: b.__name__)
def test_all_levels_of_a_pyramid_are_added_up(builder):
    keras.utils.set_random_seed(1)
    model = pyramid()
    x = np.random.default_rng(0).uniform(size=(2, 24, 20, 3)).astype("float32")
    with pytest.warns(MergedMapWarning, match=r"adds up the maps of 2 layers.*'tower \(node_index=0"
                                               r"\)', 'tower \(node_index=1\)'.*`node_index=`"):
        explained = builder(model, target=picked)
    together = numbers(explained(x)["heatmap"])
    alone = [numbers(builder(model, target=picked, layer="tower", node_index=k)(x)["heatmap"])
             for k in (0, 1)]
    assert min(a.max() for a in alone) > 0
    np.testing.assert_allclose(together, sum(alone), rtol=1e-4, atol=1e-6)


def test_without_resizing_levels_are_added_at_the_finest():
    model = pyramid()
    x = np.random.default_rng(0).uniform(size=(2, 24, 20, 3)).astype("float32")
    explained = kx.hires_cam(model, target=picked, resize=False, signed=True)
    found = explained(x)["heatmap"]
    assert found.shape == (2, 12, 10) and explained.output["heatmap"].shape == (None, 12, 10)
    parts = [kx.hires_cam(model, target=picked, layer="tower", node_index=k, resize=False,
                          signed=True)(x)["heatmap"] for k in (0, 1)]
    wanted = parts[0] + resize(parts[1], (12, 10))
    np.testing.assert_allclose(numbers(found), numbers(wanted), rtol=1e-4, atol=1e-6)


def test_of_a_map_behind_another_nothing_counts_twice():
    """Features of two depths, both averaged: their products with their gradients are the score."""
    x = keras.Input((12, 10, 3))
    early = layers.Conv2D(4, 3, activation="relu", name="early")(x)
    late = layers.Conv2D(4, 3, activation="relu", use_bias=False, name="late")(early)
    pooled = [layers.GlobalAveragePooling2D()(y) for y in (early, late)]
    model = keras.Model(x, layers.Dense(3, use_bias=False)(layers.Concatenate()(pooled)))
    x = pair(1)[0]
    explained = kx.hires_cam(model, target=1, signed=True, resize=False)
    assert explained.explainer.layer_path == ("early", "late")
    points = keras.Model(model.input, [early, late])(x)
    kernel = model.layers[-1].kernel[:, 1]
    maps = [ops.sum(p * w, axis=-1) / (p.shape[1] * p.shape[2])
            for p, w in zip(points, (kernel[:4], kernel[4:]), strict=True)]
    wanted = maps[0] + resize(maps[1], (10, 8))
    np.testing.assert_allclose(numbers(explained(x)["heatmap"]), numbers(wanted), atol=1e-6)


def test_a_merged_map_survives_saving(tmp_path):
    x = np.random.default_rng(0).uniform(size=(2, 24, 20, 3)).astype("float32")
    explained = kx.hires_cam(pyramid(), target=1)
    maps = numbers(explained(x)["heatmap"])
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")(x)["heatmap"]
    np.testing.assert_allclose(numbers(again), maps, atol=1e-6)


@pytest.mark.parametrize("end", ["none", "softmax", "resized", "cropped", "flat"])
def test_class_scores_of_pixels_are_passed_over(end):
    x = keras.Input((12, 10, 3))
    decoder = layers.Conv2D(4, 3, padding="same", activation="relu", name="decoder")(x)
    scores = layers.Conv2D(2, 1, name="classes")(decoder)
    model = keras.Model(x, {
        "none": lambda y: y, "softmax": layers.Softmax(),
        "resized": lambda y: layers.Softmax()(layers.Resizing(24, 20)(y)),
        "cropped": layers.Cropping2D(1), "flat": layers.Reshape((-1, 2))}[end](scores))
    explained = kx.hires_cam(model, target=lambda y: ops.sum(y[..., 1], axis=range(1, y.ndim - 1)))
    assert explained.explainer.layer_path == "decoder"


def test_class_scores_that_are_pooled_are_read():
    """SqueezeNet: the map of the class is the evidence."""
    x = keras.Input((12, 10, 3))
    y = layers.Conv2D(4, 3, activation="relu")(x)
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1, name="classes")(y))
    assert kx.grad_cam(keras.Model(x, layers.Softmax()(y))).explainer.layer_path == "classes"
