"""Where the cells of a feature map lie over the input: by the rules, by measuring, by occlusion."""

import warnings

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from models import KINDS

import keras_explain as kx
from keras_explain.engine.placing.following import place
from keras_explain.engine.placing.measuring import measure
from keras_explain.graph.program import Program

SIZE = (26, 32)


class Mirror(layers.Layer):
    """A layer of the user's, of which no rule is known."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")

    def call(self, x):
        return self.gain * ops.flip(x, 1)[:, :, 3:]


STEPS = {
    "crop": lambda: layers.Cropping2D(((5, 1), (0, 6))),
    "center_crop": lambda: layers.CenterCrop(16, 21),
    "pad": lambda: layers.ZeroPadding2D(((4, 0), (1, 7))),
    "pad_op": lambda: lambda x: ops.pad(x, ((0, 0), (3, 0), (0, 2), (0, 0))),
    "slice": lambda: lambda x: x[:, 2:-3, ::2],
    "slice_backward": lambda: lambda x: x[:, ::-1, 20:3:-1],
    "flip": lambda: lambda x: ops.flip(x, 2),
    "rotate": lambda: lambda x: ops.rot90(x, 1, (1, 2)),
    "rotate_three_times": lambda: lambda x: ops.rot90(x, 3, (1, 2)),
    "permute": lambda: layers.Permute((2, 1, 3)),
    "transpose": lambda: lambda x: ops.transpose(x, (0, 2, 1, 3)),
    "moveaxis": lambda: lambda x: ops.moveaxis(x, 1, 2),
    "swapaxes": lambda: lambda x: ops.swapaxes(x, 1, 2),
    "convolution": lambda: layers.Conv2D(2, (5, 3)),
    "dilated": lambda: layers.Conv2D(2, 3, dilation_rate=2),
    "strided": lambda: layers.Conv2D(2, 4, strides=(2, 3)),
    "pool": lambda: layers.MaxPooling2D(2),
    "upsample": lambda: layers.UpSampling2D((2, 3)),
    "smooth": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "transposed": lambda: layers.Conv2DTranspose(2, 3, strides=2),
    "transposed_same": lambda: layers.Conv2DTranspose(2, 3, strides=1, padding="same"),
    "resize": lambda: layers.Resizing(13, 16),
    "enlarge": lambda: layers.Resizing(52, 64),
    "resize_cropped": lambda: layers.Resizing(26, 13, crop_to_aspect_ratio=True),
    "resize_padded": lambda: layers.Resizing(26, 26, pad_to_aspect_ratio=True),
    "patches": lambda: lambda x: ops.image.extract_patches(x, (2, 4)),
    "tokens_and_back": lambda: lambda x: ops.relu(ops.reshape(
        ops.relu(ops.reshape(x, (-1, 26 * 32, 1))), (-1, 26, 32, 1))),
    "blocks": lambda: lambda x: ops.reshape(x, (-1, 13, 2, 8, 4, 1)),
    "own": Mirror,
    "lambda": lambda: layers.Lambda(lambda x: x[:, 6:, :-4], output_shape=(20, 28, 1)),
    "flip_sliced": lambda: lambda x: ops.flip(x, (1, 2))[:, :, 11:28],
}
if keras.backend.backend() == "torch":  # it has no backward slices
    del STEPS["slice_backward"]


def traced(step, size=SIZE):
    x = keras.Input((*size, 1))
    model = keras.Model(x, step(x))
    _, program = Program.trace(model)
    return program, program.inputs[0], program.outputs


def seen_from(program, value, axis, size=SIZE):
    """By hand: for each place along an input axis, the middle of what answers to it.

    One row of random pixels after the other is changed; (places, middles) along the output axis
    that the answers move along, for rows whose answers do not touch the border.
    """
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(1, *size, 1)).astype("float32")
    batch = np.repeat(clean, size[axis - 1], 0)
    for i in range(size[axis - 1]):
        batch[(i, *[slice(None)] * (axis - 1), i)] += 1 + rng.uniform(
            size=batch[(i, *[slice(None)] * (axis - 1), i)].shape)
    run = program.with_outputs(value)
    change = np.abs(ops.convert_to_numpy(run([batch])) - ops.convert_to_numpy(run([clean])))
    return change


@pytest.mark.parametrize("name", STEPS)
def test_rules_say_what_perturbing_shows(name):
    keras.utils.set_random_seed(1)
    program, source, value = traced(STEPS[name]())
    places, _ = place(program, source, (1, 2), value, SIZE)
    for axis, found in zip((1, 2), places, strict=True):
        change = seen_from(program, value, axis)
        other = tuple(b for b in range(1, change.ndim) if b != found.axis)
        change = change.max(axis=other)
        assert change.shape[1] == found.size
        for j in range(found.size):
            rows = np.flatnonzero(change[:, j] > 1e-4)
            middle = found.offset + found.scale * j
            if len(rows) == 0:  # padding
                assert not found.low + 1 <= middle <= found.high - 1
            elif rows[0] > 0 and rows[-1] < SIZE[axis - 1] - 1:
                assert abs((rows[0] + rows[-1]) / 2 - middle) <= 0.51
        seen = np.flatnonzero(change.max(axis=1) > 1e-4)
        assert abs(seen[0] - max(found.low, 0)) <= 1.01
        assert abs(seen[-1] - min(found.high, SIZE[axis - 1] - 1)) <= 1.01


@pytest.mark.parametrize("name", sorted({"crop", "flip", "rotate", "strided", "upsample",
                                         "slice_backward", "pool", "transposed", "enlarge"}
                                        & STEPS.keys()))
def test_measuring_says_what_the_rules_say(name):
    keras.utils.set_random_seed(1)
    program, source, value = traced(STEPS[name]())
    places, _ = place(program, source, (1, 2), value, SIZE)
    known = {source: place(program, source, (1, 2), source, SIZE)[0]}
    (step,) = program.steps
    for found, wanted in zip(measure(step, known, value, 0), places, strict=True):
        assert found.axis == wanted.axis
        ends = np.array([0, wanted.size - 1])
        np.testing.assert_allclose(found.offset + found.scale * ends,
                                   wanted.offset + wanted.scale * ends, atol=0.75)


@pytest.mark.parametrize("step", [
    lambda x: ops.roll(x, 9, 1), layers.Flatten(), layers.GlobalAveragePooling2D(),
    lambda x: ops.concatenate([x, x], 1),
    lambda x: ops.concatenate([x, ops.flip(x, 1)], -1), lambda x: x + ops.flip(x, 1),
    lambda x: ops.concatenate([x[:, :13], x[:, 13:]], -1),
    lambda x: layers.Lambda(lambda x: ops.fft2((x[..., 0], 0 * x[..., 0]))[0])(x)])
def test_what_has_no_place_has_none(step):
    program, source, value = traced(step)
    places, lost = place(program, source, (1, 2), value, SIZE)
    assert places[0] is None and lost


def test_padding_that_keeps_the_map_whole_covers_it_evenly():
    """As before any of this, and as a trained network was measured to look."""
    for size, step in ((32, layers.Conv2D(1, 3, strides=2, padding="same")),
                       (32, lambda x: layers.Conv2D(1, 3, strides=2)(
                           layers.ZeroPadding2D(((0, 1), (0, 1)))(x))),
                       (32, lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))),
                       (32, layers.Conv2D(1, 1, strides=2)),
                       (30, lambda x: layers.Conv2D(1, 7, strides=2)(
                           layers.ZeroPadding2D(3)(x)))):
        program, source, value = traced(step, (size, size))
        places, _ = place(program, source, (1, 2), value, (size, size))
        assert [(a.offset, a.scale, a.low, a.high) for a in places] == [
            (0.5, 2, 0, size - 1)] * 2


def test_free_sizes_are_followed_with_tensors():
    keras.utils.set_random_seed(1)
    chain = [layers.Conv2D(1, 3), lambda x: ops.flip(x, 1)[:, :, 1:-4], layers.MaxPooling2D(2),
             layers.ZeroPadding2D(((0, 3), (0, 0))), lambda x: ops.flip(x, 2)]

    def build(shape):
        x = y = keras.Input(shape)
        for layer in chain:
            y = layer(y)
        return keras.Model(x, y)

    fixed, free = build((*SIZE, 1)), build((None, None, 1))
    found = []
    for model, sizes in ((fixed, SIZE), (free, [ops.convert_to_tensor(n, "int32") for n in SIZE])):
        _, program = Program.trace(model)
        places, _ = place(program, program.inputs[0], (1, 2), program.outputs, sizes)
        found.append([[float(n) for n in (a.offset, a.scale, a.low, a.high)] for a in places])
    np.testing.assert_allclose(*found, atol=1e-4)


# Heatmaps -------------------------------------------------------------------------------------


def center(heatmap):
    heatmap = np.maximum(np.asarray(heatmap, "float64"), 0)
    grid = np.indices(heatmap.shape)
    return (grid * heatmap).sum(axis=tuple(range(1, grid.ndim))) / heatmap.sum()


def positive(steps, size=SIZE):
    """A network that adds up what it sees, so that evidence is where the light is."""
    x = y = keras.Input((*size, 1))
    for step in steps:
        y = step(y)
    y = layers.Conv2D(1, 1, kernel_initializer="ones", name="last")(y)
    y = layers.Dense(1, kernel_initializer="ones")(layers.GlobalAveragePooling2D()(y))
    return keras.Model(x, y)


def ones(*args, **options):
    return layers.Conv2D(*args, kernel_initializer="ones", **options)


METHODS = (kx.grad_cam, kx.hires_cam, kx.layer_cam, kx.score_cam, kx.ablation_cam, kx.eigen_cam,
           kx.cam, kx.xgrad_cam, kx.grad_cam_plus_plus)


@pytest.mark.parametrize("builder", METHODS, ids=lambda b: b.__name__)
def test_heat_is_where_the_light_is(builder):
    model = positive([layers.Cropping2D(((0, 0), (12, 0))), ones(2, 5), ones(1, 5),
                      lambda x: ops.flip(x, 1)])
    x = np.zeros((1, *SIZE, 1), "float32")
    x[0, 13, 22] = 1
    heatmap = builder(model).predict(x, verbose=0)["heatmap"][0]
    assert heatmap.shape == SIZE
    np.testing.assert_allclose(center(heatmap), (13, 22), atol=0.75)
    assert not heatmap[:, :12].any()


@pytest.mark.parametrize("size", [(26, 26), SIZE])
def test_a_half_turn_is_followed_or_said_not_to_be(size):
    """Keras declares that of 26 x 32 as 32 x 26, and on TensorFlow shuffles its pixels."""
    model = positive([lambda x: ops.rot90(x, 2, (1, 2)), ones(1, 3)], size)
    x = np.random.default_rng(0).uniform(size=(1, *size, 1)).astype("float32")
    turned = ops.convert_to_numpy(ops.rot90(x, 2, (1, 2)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        explained = kx.grad_cam(model)
    if not np.array_equal(turned, x[:, ::-1, ::-1]):
        assert any("is stretched over the whole" in str(w.message) for w in said)
    else:
        x = np.zeros((1, *size, 1), "float32")
        x[0, 7, 20] = 1
        heatmap = explained.predict(x, verbose=0)["heatmap"][0]
        np.testing.assert_allclose(center(heatmap), (7, 20), atol=0.75)
    small = kx.grad_cam(model, resize=False)
    assert small.output["heatmap"].shape[1:] == (size[0] - 2, size[1] - 2) == (
        small.predict(x, verbose=0)["heatmap"].shape[1:])


def test_guided_grad_cam_keeps_the_object():
    model = positive([layers.Cropping2D(((0, 0), (12, 0))), ones(1, 3, activation="relu")])
    x = np.zeros((1, *SIZE, 1), "float32")
    x[0, 13, 22] = 1
    heatmap = kx.guided_grad_cam(model).predict(x, verbose=0)["heatmap"][0]
    np.testing.assert_allclose(center(heatmap), (13, 22), atol=1)


def test_sequences_and_volumes():
    x = keras.Input((30, 1))
    y = layers.Conv1D(1, 3, kernel_initializer="ones")(layers.Cropping1D((9, 2))(x))
    sequence = keras.Model(x, layers.Dense(1, kernel_initializer="ones")(
        layers.GlobalAveragePooling1D()(y)))
    x = keras.Input((9, 10, 11, 1))
    y = layers.Conv3D(1, 3, kernel_initializer="ones")(layers.Cropping3D((2, (3, 0), 0))(x))
    volume = keras.Model(x, layers.Dense(1, kernel_initializer="ones")(
        layers.GlobalAveragePooling3D()(y)))
    for model, at in ((sequence, (20,)), (volume, (4, 6, 5))):
        x = np.zeros((1, *model.input.shape[1:]), "float32")
        x[(0, *at, 0)] = 1
        np.testing.assert_allclose(center(kx.grad_cam(model).predict(x, verbose=0)["heatmap"][0]),
                                   at, atol=0.3)


def test_tokens_lie_where_their_patches_were_cut():
    """Five patches of 6 pixels leave the last two of 32 unseen."""
    x = keras.Input((24, 32, 1))
    y = layers.Conv2D(4, 6, strides=6)(x)
    y = layers.Reshape((20, 4))(y)
    y = layers.LayerNormalization()(layers.MultiHeadAttention(1, 4)(y, y) + y)
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))
    explained = kx.grad_cam(model, reshape=(4, 5))
    rows, columns = explained.explainer.placements[0].at((24, 32))
    assert (rows.offset, rows.scale, columns.offset, columns.scale) == (2.5, 6, 2.5, 6)
    heatmap = explained.predict(np.random.default_rng(0).uniform(size=(1, 24, 32, 1)), verbose=0)
    assert not heatmap["heatmap"][0, :, 30:].any()


def test_what_cannot_be_followed_is_said():
    model = positive([lambda x: ops.roll(x, 9, 1), ones(1, 3)])
    with pytest.warns(UserWarning, match="'last' is stretched over the whole.*after 'roll"):
        kx.grad_cam(model)


def test_a_picture_joined_with_its_mirror_image_is_not_blank():
    model = positive([lambda x: ops.concatenate([x, ops.flip(x, 2)], -1), ones(1, 3)])
    with pytest.warns(UserWarning, match="cannot be told after 'concatenate"):
        explained = kx.hires_cam(model)
    x = np.zeros((1, *SIZE, 1), "float32")
    x[0, 13, 22] = 1
    assert explained.predict(x, verbose=0)["heatmap"][0, 13, 22] > 0


def test_callbacks_log_maps_where_they_belong():
    """The dashboard stretches a map over the picture: a moved one is logged at its full size."""
    from keras_explain.callbacks._sources import ModelSource

    x = np.zeros((1, *SIZE, 1), "float32")
    x[0, 13, 22] = 1
    for steps, shape in (([layers.AveragePooling2D(2)], (13, 16)),
                         ([layers.Cropping2D(4), layers.AveragePooling2D(2)], SIZE)):
        columns, _ = ModelSource(kx.grad_cam(positive(steps)), None).columns(x)
        assert columns[""].maps.shape == (1, *shape)


def test_free_sizes_of_images():
    steps = [ones(2, 5), ones(1, 5), lambda x: ops.flip(x, 1), layers.MaxPooling2D(2)]
    x = np.zeros((1, *SIZE, 1), "float32")
    x[0, 13, 22] = 1
    fixed = kx.grad_cam(positive(steps)).predict(x, verbose=0)["heatmap"]
    free = kx.grad_cam(positive(steps, (None, None))).predict(x, verbose=0)["heatmap"]
    np.testing.assert_allclose(free, fixed, atol=1e-5 * fixed.max())


MOVES = st.one_of(
    st.tuples(*[st.integers(0, 5)] * 4).map(
        lambda p: layers.Cropping2D(((p[0], p[1]), (p[2], p[3])))),
    st.tuples(*[st.integers(0, 5)] * 4).map(
        lambda p: layers.ZeroPadding2D(((p[0], p[1]), (p[2], p[3])))),
    st.sampled_from([1, 2, (1, 2)]).map(lambda axis: lambda x: ops.flip(x, axis)),
    st.sampled_from([1, 3]).map(lambda k: lambda x: ops.rot90(x, k, (1, 2))),
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.sampled_from(["valid", "same"])).map(
        lambda p: ones(1, p[0], strides=min(p[:2]), padding=p[2])),
    st.sampled_from([2, 3]).map(layers.AveragePooling2D),
    st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from([1, 2])).map(
        lambda p: lambda x: x[:, p[0] : -p[1], :: p[2]]),
)


def check_center(moves, at):
    """The center of mass of a point object's map against occlusion's."""
    size = (40, 44)
    try:
        model = positive(moves, size)
    except ValueError:  # nothing is left of the map
        return
    shape = model.get_layer("last").output.shape
    if min(shape[1:3]) < 2:
        return
    x = np.zeros((1, *size, 1), "float32")
    x[0, at[0] : at[0] + 4, at[1] : at[1] + 4] = 1
    hidden = np.repeat(x, 16, 0)
    places = [(at[0] + k // 4, at[1] + k % 4) for k in range(16)]
    for row, at_row in zip(hidden, places, strict=True):
        row[at_row] = 0
    score = lambda x: ops.convert_to_numpy(model(x))[:, 0]  # noqa: E731
    wanted = np.zeros(size)
    wanted[tuple(np.transpose(places))] = score(x) - score(hidden)
    explained = kx.layer_cam(model)
    heatmap = ops.convert_to_numpy(explained(x)["heatmap"])[0]
    if wanted.max() <= 0 or heatmap.max() <= 0:
        assert heatmap.max() <= 0 or wanted.max() <= 0
        return
    near = 1 + max(abs(a.scale) for a in explained.explainer.placements[0].at(size))
    assert np.abs(center(heatmap) - center(wanted)).max() < near, (moves, at)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=5, deadline=None, derandomize=True)
@given(moves=st.lists(MOVES, min_size=1, max_size=4),
       at=st.tuples(st.integers(12, 24), st.integers(12, 24)))
def test_heat_is_where_occlusion_is(moves, at):
    check_center(moves, at)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(moves=st.lists(MOVES, min_size=1, max_size=6),
       at=st.tuples(st.integers(12, 24), st.integers(12, 24)))
def test_heat_is_where_occlusion_is_over_many_graphs(moves, at):
    check_center(moves, at)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="traces sizes as tensors")
def test_sizes_that_a_graph_does_not_know_are_followed():
    import tensorflow as tf

    kind = KINDS["variable_size"]
    explained, x = kx.grad_cam(kind.model, layer="conv2"), kind.inputs(2)
    traced = tf.function(explained.explainer, autograph=False,
                         input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(traced(x)["heatmap"], explained(x)["heatmap"], atol=1e-6)
