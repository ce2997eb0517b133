"""Transformers tell the grid of their tokens by what they compute: no `reshape=`, no names."""

import warnings

import autodiff
import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.explainers._cam import AttendedMapWarning
from keras_explain.explainers._token_maps import Grid

SIZE, PATCH, WIDTH = (24, 16), 4, 8
ROWS, COLUMNS = 6, 4


class Embed(layers.Layer):
    """Patches as tokens, and learned tokens in front of them and behind.

    `closed`: it cannot be looked into.
    """

    def __init__(self, before=0, behind=0, closed=False, positions=True, **options):
        super().__init__(**options)
        self.before, self.behind, self.closed, self.positions = before, behind, closed, positions
        self.patches = layers.Conv2D(WIDTH, PATCH, strides=PATCH)

    def build(self, shape):
        self.patches.build(shape)
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=3)
        count = self.before + ROWS * COLUMNS + self.behind
        self.extra = self.add_weight(shape=(1, self.before + self.behind, WIDTH),
                                     initializer=normal, name="extra")
        self.place = self.add_weight(shape=(1, count, WIDTH), name="place",
                                     initializer=normal if self.positions else "zeros")

    def call(self, x):
        if self.closed and isinstance(x, keras.KerasTensor):
            raise TypeError("Only tensors.")
        tokens = ops.reshape(self.patches(x), (-1, ROWS * COLUMNS, WIDTH))
        extra = ops.zeros_like(tokens[:, :1]) + self.extra
        parts = [extra[:, : self.before], tokens, extra[:, self.before :]]
        return ops.concatenate([p for p in parts if p.shape[1]], axis=1) + self.place

    def compute_output_spec(self, x):
        count = self.before + ROWS * COLUMNS + self.behind
        return keras.KerasTensor((x.shape[0], count, WIDTH), x.dtype)


class Block(layers.Layer):
    """A block of a transformer, of layers or closed; it may return more than the tokens."""

    def __init__(self, closed=False, more=False, **options):
        super().__init__(**options)
        self.closed, self.more = closed, more
        self.norm, self.norm2 = (layers.LayerNormalization(name=f"norm{i}") for i in (1, 2))
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")
        self.dense = layers.Dense(WIDTH, activation="gelu", name="dense")

    def build(self, shape):
        for layer in (self.norm, self.norm2, self.dense):
            layer.build(shape)
        self.attention.build(shape, shape)

    def call(self, x):
        if self.closed and isinstance(x, keras.KerasTensor):
            raise TypeError("Only tensors.")
        y = self.norm(x)
        x = x + self.attention(y, y)
        x = x + self.dense(self.norm2(x))
        return (x, None) if self.more else x

    def compute_output_spec(self, x):
        x = keras.KerasTensor(x.shape, x.dtype)
        return (x, None) if self.more else x


class Encoder(layers.Layer):
    """Blocks that return more than the tokens, as those of DeiT do."""

    def __init__(self, **options):
        super().__init__(**options)
        self.blocks = [Block(more=True, name=f"block{i}") for i in (1, 2)]

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)

    def call(self, x):
        for block in self.blocks:
            x, scores = block(x)
        return x, ops.zeros((0, 3)) if scores is None else scores


def transformer(head="class", blocks=None, **embed):
    """A small one that reads the "class" token, the "mean" of all, or that of the "patches"."""
    keras.utils.set_random_seed(1)
    x = keras.Input((*SIZE, 2))
    y = Embed(name="embed", **embed)(x)
    if blocks is None:
        blocks = [Block(name="block1"), Block(name="block2")]
    for block in blocks:
        y = block(y)
        y = y[0] if isinstance(y, (tuple, list)) else y
    y = layers.LayerNormalization(name="norm")(y)
    y = {"class": lambda y: y[:, 0], "mean": layers.GlobalAveragePooling1D(),
         "patches": lambda y: ops.mean(y[:, embed.get("before", 0):], axis=1)}[head](y)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="top")(y))


def pictures(count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *SIZE, 2)).astype("float32")


def numbers(x):
    return ops.convert_to_numpy(x)


ON_TORCH = keras.backend.backend() == "torch"
FAMILIES = {  # how to build it: (layer that is read, tokens in front)
    "class token": (lambda: transformer(before=1), "block2/norm1", 1),
    "class token and registers": (lambda: transformer(before=5), "block2/norm1", 5),
    "registers behind": (lambda: transformer(before=1, behind=3), "block2/norm1", 1),
    "mean": (lambda: transformer("mean"), "norm", 0),
    "mean of the patches": (lambda: transformer("patches", before=2), "norm", 2),
    "closed embedding": (lambda: transformer(before=2, closed=True), "block2/norm1", 2),
    "closed blocks": (lambda: transformer("mean", [Block(True), Block(True)]), "norm", 0),
    "closed blocks, class token": (
        lambda: transformer("class", [Block(True, name="a"), Block(True, name="b")], before=1),
        "a", 1),
    "blocks that return more": (lambda: transformer(
        "class", [Encoder(name="encoder")], before=1), "encoder/block2/norm1", 1),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_grid_and_the_last_tokens_that_count_are_found(name):
    if name == "blocks that return more" and ON_TORCH:
        pytest.skip("on PyTorch the tokens before the encoder are read")
    make, layer, first = FAMILIES[name]
    model = make()
    explained = kx.hires_cam(model)
    assert explained.explainer.layer_path == layer
    assert list(explained.explainer.grids.values()) == [Grid(ROWS, COLUMNS, first)]
    found = explained.predict(pictures(), verbose=0)
    assert found["heatmap"].shape == (2, *SIZE) and found["heatmap"].any(axis=(1, 2)).all()
    np.testing.assert_allclose(found["predictions"], numbers(model(pictures())), atol=1e-5)
    for axis in explained.explainer.placements[0].at(SIZE):
        assert (axis.offset, axis.scale) == ((PATCH - 1) / 2, PATCH)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("builder", [kx.hires_cam, kx.score_cam])
def test_what_differs_is_the_patch_with_the_object(name, builder):
    """All patches are alike but one; without positions nothing else can stand out."""
    if builder is kx.score_cam and ON_TORCH:
        pytest.skip("PyTorch draws weights that speak against every class, which are cut off")
    model = FAMILIES[name][0]()
    place = model.get_layer("embed").place
    place.assign(ops.zeros_like(place))
    x = np.zeros((1, *SIZE, 2), "float32")
    x[0, 12:16, 4:8] = pictures()[0, :4, :4] * 3
    options = {"signed": True} if builder is kx.hires_cam else {}
    heatmap = numbers(builder(model, resize=False, **options)(x)["heatmap"])[0]
    others = np.delete(heatmap.ravel(), 3 * COLUMNS + 1)
    assert np.ptp(others) < 1e-4 * np.abs(heatmap).max()
    assert np.abs(heatmap[3, 1] - others[0]) > 1e-2 * np.abs(heatmap).max()
    full = numbers(builder(model, **options)(x)["heatmap"])[0] - others[0]
    assert np.unravel_index(np.abs(full).argmax(), SIZE)[0] in range(12, 16)
    assert np.unravel_index(np.abs(full).argmax(), SIZE)[1] in range(4, 8)


def test_a_mean_is_explained_exactly():
    """Behind a mean and a dense layer the map is known: tokens times the kernel's column."""
    model, x = transformer("mean"), pictures()
    tokens = numbers(keras.Model(model.input, model.get_layer("norm").output)(x))
    want = (tokens @ numbers(model.get_layer("top").kernel)[:, 1]).reshape(-1, ROWS, COLUMNS)
    found = numbers(kx.hires_cam(model, target=1, signed=True, resize=False)(x)["heatmap"])
    np.testing.assert_allclose(found, want / (ROWS * COLUMNS), atol=1e-5)
    occluded = kx.grad_cam(model, target=1, resize=False)
    np.testing.assert_allclose(numbers(occluded(x)["heatmap"]), np.maximum(
        want / (ROWS * COLUMNS), 0), atol=1e-5)


def test_a_class_token_is_explained_as_by_hand():
    model, x = transformer(before=1), pictures()
    block, norm, top = (model.get_layer(n) for n in ("block2", "norm", "top"))
    before = keras.Model(model.input, model.get_layer("block1").output)(x)
    before = ops.convert_to_tensor(numbers(before))
    tokens = numbers(block.norm(before))

    def logit(tokens):
        y = before + block.attention(tokens, tokens)
        y = norm(y + block.dense(block.norm2(y)))[:, 0]
        return ops.sum((y @ top.kernel + top.bias)[:, 1])

    want = (tokens * autodiff.gradient(logit, tokens)).sum(-1)[:, 1:].reshape(-1, ROWS, COLUMNS)
    found = numbers(kx.hires_cam(model, target=1, signed=True, resize=False)(x)["heatmap"])
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_a_named_layer_needs_no_grid():
    model = transformer(before=1)
    for layer in ("block1/norm1", "block1", "embed"):
        explained = kx.hires_cam(model, layer=layer)
        assert list(explained.explainer.grids.values()) == [Grid(ROWS, COLUMNS, 1)]
        assert explained(pictures())["heatmap"].shape == (2, *SIZE)
    given = kx.hires_cam(model, reshape=(ROWS, COLUMNS))
    np.testing.assert_allclose(numbers(given(pictures())["heatmap"]),
                               numbers(kx.hires_cam(model)(pictures())["heatmap"]), atol=1e-6)


def test_a_pyramid_of_tokens():
    """Tokens become a map, of which four neighbors become one token (Swin, MiT)."""
    x = keras.Input((32, 16, 2))
    y = layers.Reshape((32, WIDTH))(layers.Conv2D(WIDTH, 4, strides=4)(x))
    y = layers.Add()([y, layers.MultiHeadAttention(1, 4)(y, y)])
    y = ops.reshape(y, (-1, 8, 4, WIDTH))
    y = ops.concatenate([y[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1)
    y = layers.Reshape((8, WIDTH))(layers.Dense(WIDTH)(y))
    y = Block(closed=True)(y)
    y = layers.LayerNormalization(name="norm")(y)
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))
    explained = kx.grad_cam(model)
    assert explained.explainer.layer_path == "norm"
    assert list(explained.explainer.grids.values()) == [Grid(4, 2, 0)]
    for axis in explained.explainer.placements[0].at((32, 16)):
        assert (axis.offset, axis.scale) == (3.5, 8)


@pytest.mark.parametrize("shuffle", [
    lambda y: ops.roll(y, 5, axis=1), lambda y: ops.flip(y, 1),
    lambda y: ops.reshape(ops.transpose(ops.reshape(y, (-1, 6, 4, 8)), (0, 2, 1, 3)), (-1, 24, 8))])
def test_tokens_that_change_places_are_not_laid_in_their_old_ones(shuffle):
    """The map before the shuffle is read, whose cells lie where they were cut."""
    x = keras.Input((*SIZE, 2))
    y = layers.Reshape((24, WIDTH))(layers.Conv2D(WIDTH, PATCH, strides=PATCH)(x))
    y = layers.LayerNormalization(name="norm")(shuffle(y))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))
    x = np.zeros((1, *SIZE, 2), "float32")
    x[0, 12:16, 4:8] = pictures()[0, :4, :4] * 3
    heatmap = numbers(kx.hires_cam(model, signed=True, resize=False)(x)["heatmap"])[0]
    assert np.unravel_index(np.abs(heatmap - heatmap[0, 0]).argmax(), heatmap.shape) == (3, 1)
    with pytest.raises(ValueError, match="For tokens that were cut from an image give their grid"):
        kx.hires_cam(model, layer="norm")


def test_explained_transformers_are_saved(tmp_path):
    x = keras.Input((*SIZE, 2))
    y = layers.Reshape((24, WIDTH))(layers.Conv2D(WIDTH, PATCH, strides=PATCH)(x))
    y = layers.Add()([y, layers.MultiHeadAttention(1, 4)(y, y)])
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))
    explained = kx.hires_cam(model, target=1)
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    np.testing.assert_allclose(again.predict(pictures(), verbose=0)["heatmap"],
                               explained.predict(pictures(), verbose=0)["heatmap"], atol=1e-6)


# Where evidence is kept, and where it comes from -------------------------------------------------


def test_maps_of_tokens_that_attended_to_all_are_warned_of():
    model = transformer(before=1)
    with pytest.warns(AttendedMapWarning, match="block2/norm1.*local_linear"):
        kx.hires_cam(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        kx.hires_cam(model, layer="embed")


@pytest.mark.parametrize("block", [layers.Dense(WIDTH, activation="gelu"),
                                   layers.Conv1D(WIDTH, 3, padding="same")])
def test_tokens_that_heard_of_few_others_are_no_reason_for_a_warning(block):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        kx.hires_cam(transformer("mean", [block], positions=False))
