"""TimeDistributed is looked into: the same maps as without it, by Conv3D and by hand."""

import autodiff
import keras
import numpy as np
import pytest
from keras import layers, ops
from models import alive

import keras_explain as kx
from keras_explain.graph.program import Program

FRAMES, SIZE = 4, (14, 11)


def numbers(x):
    return ops.convert_to_numpy(x)


def videos(count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, FRAMES, *SIZE, 2)).astype("float32")


def cnn():
    x = keras.Input((*SIZE, 2))
    y = layers.Conv2D(4, 3, activation="relu", name="first")(x)
    y = layers.BatchNormalization()(y)
    z = layers.Conv2D(4, 3, padding="same")(y)
    y = ops.relu(layers.Add()([y, z]))
    y = layers.Conv2D(5, 3, strides=2, activation="relu", name="last")(y)
    return keras.Model(x, layers.GlobalAveragePooling2D()(y), name="cnn")


def classifier(frames=FRAMES):
    x = keras.Input((frames, *SIZE, 2))
    y = layers.TimeDistributed(cnn(), name="frames")(x)
    y = layers.Dense(3, activation="softmax")(layers.LSTM(6)(y))
    return alive(keras.Model(x, y), videos())


class ByHand(layers.Layer):
    """Frames as rows, through the network, and back."""

    def __init__(self, network, **options):
        super().__init__(**options)
        self.network = network

    def call(self, x):
        y = self.network(ops.reshape(x, (-1, *SIZE, 2)))
        return ops.reshape(y, (-1, FRAMES, y.shape[-1]))


def folded_by_hand(model):
    """The same model with the same weights, and no TimeDistributed."""
    x = keras.Input((FRAMES, *SIZE, 2))
    _, frames, lstm, dense = model.layers
    return keras.Model(x, dense(lstm(ByHand(frames.layer)(x))))


def center(heatmap):
    heatmap = np.maximum(np.asarray(heatmap, "float64"), 0)
    grid = np.indices(heatmap.shape)
    return (grid * heatmap).sum(axis=(1, 2, 3)) / heatmap.sum()


# Against Conv3D ---------------------------------------------------------------------------------


def pair_with_conv3d():
    """A model with `TimeDistributed(Conv2D(k))`, and that with `Conv3D((1, k, k))`."""
    found, weights = [], None
    for over in (lambda n, **options: layers.TimeDistributed(layers.Conv2D(n, 3, **options)),
                 lambda n, **options: layers.Conv3D(n, (1, 3, 3), **options)):
        x = keras.Input((FRAMES, *SIZE, 2))
        y = over(4, activation="relu")(x)
        y = over(5, activation="relu")(layers.AveragePooling3D((1, 2, 2))(y))
        y = layers.Dense(3)(layers.GlobalAveragePooling3D()(y))
        model = keras.Model(x, y)
        if weights is None:
            weights = alive(model, videos()).get_weights()
        model.set_weights([np.reshape(w, v.shape) for w, v in zip(
            weights, model.weights, strict=True)])
        found.append(model)
    return found


@pytest.mark.parametrize("name", ["cam", "grad_cam", "grad_cam_plus_plus", "hires_cam",
                                  "layer_cam", "xgrad_cam", "score_cam", "ablation_cam",
                                  "eigen_cam", "guided_grad_cam", "guided_backprop", "saliency"])
def test_maps_are_those_of_conv3d(name):
    framed, whole = pair_with_conv3d()
    x = videos()
    np.testing.assert_allclose(numbers(framed(x)), numbers(whole(x)), atol=1e-5)
    found, want = (numbers(getattr(kx, name)(m, target=1)(x)["heatmap"]) for m in (framed, whole))
    assert found.shape == (3, FRAMES, *SIZE) and want.any()
    np.testing.assert_allclose(found, want, atol=1e-4 * np.abs(want).max())


def test_maps_lie_where_those_of_conv3d_do():
    placed = [kx.grad_cam(m).explainer.placements[0].at((FRAMES, *SIZE))
              for m in pair_with_conv3d()]
    assert placed[0] is not None and placed[0] == placed[1]


def test_occlusion_is_that_of_conv3d():
    framed, whole = pair_with_conv3d()
    x, options = videos(1), {"patch_size": (1, 4, 4), "stride": (1, 3, 3), "target": 1}
    found, want = (numbers(kx.occlusion(m, **options)(x)["heatmap"]) for m in (framed, whole))
    np.testing.assert_allclose(found, want, atol=1e-4 * np.abs(want).max())


# Against a network folded by hand ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["saliency", "guided_backprop", "integrated_gradients",
                                  "gradient_x_input", "smooth_grad"])
def test_gradients_are_those_of_frames_folded_by_hand(name):
    model = classifier()
    x = videos()
    found, want = (numbers(getattr(kx, name)(m, target=2)(x)["heatmap"])
                   for m in (model, folded_by_hand(model)))
    np.testing.assert_allclose(found, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("layer", ["first", "last", None])
@pytest.mark.parametrize("builder", [kx.grad_cam, kx.hires_cam], ids=["grad_cam", "hires_cam"])
@pytest.mark.filterwarnings("ignore:Expected a model that averages")
def test_cams_of_a_video_classifier_by_hand(layer, builder):
    model, x = classifier(), videos()
    _, frames, lstm, dense = model.layers
    inner = frames.layer
    point = inner.get_layer(layer or "last").output
    stem, tail = keras.Model(inner.input, point), keras.Model(point, inner.output)
    features = numbers(stem(x.reshape(-1, *SIZE, 2)))

    def logit(features):
        y = ops.reshape(tail(features), (-1, FRAMES, 5))
        return ops.sum((lstm(y) @ dense.kernel + dense.bias)[:, 1])

    gradients = autodiff.gradient(logit, features)
    features, gradients = (f.reshape(-1, FRAMES, *f.shape[1:]) for f in (features, gradients))
    if builder is kx.grad_cam:
        gradients = gradients.mean(axis=(1, 2, 3), keepdims=True)
    want = np.maximum((features * gradients).sum(-1), 0)
    explained = builder(model, layer=layer, target=1, resize=False)
    assert explained.explainer.layer_path == f"frames/cnn/{layer or 'last'}"
    np.testing.assert_allclose(numbers(explained(x)["heatmap"]), want, atol=1e-5 * want.max())
    np.testing.assert_allclose(numbers(explained(x)["predictions"]), numbers(model(x)), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Expected a model that averages")
def test_heat_is_in_the_frame_and_at_the_place_of_the_object():
    """The network adds up light; the object is in frame 2 only."""
    frame = keras.Input((24, 20, 1))
    y = layers.Conv2D(1, 5, kernel_initializer="ones")(layers.Cropping2D(((0, 0), (6, 0)))(frame))
    y = layers.MaxPooling2D(2)(y)
    inner = keras.Model(frame, layers.GlobalAveragePooling2D()(layers.Conv2D(
        1, 1, kernel_initializer="ones", name="map")(y)))
    x = keras.Input((FRAMES, 24, 20, 1))
    y = layers.LSTM(2, kernel_initializer="ones", recurrent_initializer="ones")(
        layers.TimeDistributed(inner)(x))
    model = keras.Model(x, layers.Dense(1, kernel_initializer="ones")(y))
    video = np.zeros((1, FRAMES, 24, 20, 1), "float32")
    video[0, 2, 9:11, 12:14] = 1
    for builder in (kx.hires_cam, kx.layer_cam, kx.score_cam):
        heatmap = numbers(builder(model)(video)["heatmap"])[0]
        assert heatmap.shape == (FRAMES, 24, 20)
        np.testing.assert_allclose(center(heatmap), (2, 9.5, 12.5), atol=0.75)
        assert not heatmap[:, :, :6].any()
    occluded = kx.occlusion(model, patch_size=(1, 2, 2), stride=(1, 1, 1), baseline=0.0)
    np.testing.assert_allclose(center(numbers(occluded(video)["heatmap"])[0]), (2, 9.5, 12.5),
                               atol=0.6)


# What is in it ----------------------------------------------------------------------------------


def test_any_number_of_frames():
    model = classifier(frames=None)
    fixed = classifier()
    fixed.set_weights(model.get_weights())
    x = videos()
    for builder in (kx.hires_cam, kx.saliency):
        free = builder(model, target=1).predict(x, verbose=0)["heatmap"]
        want = builder(fixed, target=1).predict(x, verbose=0)["heatmap"]
        np.testing.assert_allclose(free, want, atol=1e-4 * np.abs(want).max())


def test_frames_of_frames():
    """Two TimeDistributed, one in the other."""
    x = keras.Input((2, 3, 8, 7, 1))
    conv = layers.Conv2D(3, 3, activation="relu", name="conv")
    y = layers.TimeDistributed(layers.TimeDistributed(conv))(x)
    y = layers.Dense(2)(layers.Flatten()(y))
    video = np.random.default_rng(0).normal(size=(2, 2, 3, 8, 7, 1)).astype("float32")
    model = alive(keras.Model(x, y), video)
    _, program = Program.trace(model)
    assert program.find("conv").outputs[0].spec.shape == (None, 2, 3, 6, 5, 3)
    np.testing.assert_allclose(numbers(program([ops.convert_to_tensor(video)])),
                               numbers(model(video)), atol=1e-5)
    heatmap = numbers(kx.hires_cam(model)(video)["heatmap"])
    assert heatmap.shape == (2, 2, 3, 8, 7) and heatmap.any()


def test_a_convolution_after_pooling_is_not_the_last_map_of_a_frame():
    frame = keras.Input((9, 9, 1))
    y = layers.Conv2D(4, 3, activation="relu", name="features")(frame)
    y = layers.GlobalAveragePooling2D(keepdims=True)(y)
    inner = keras.Model(frame, layers.Flatten()(layers.Conv2D(5, 1, name="classes")(y)))
    x = keras.Input((6, 9, 9, 1))
    model = keras.Model(x, layers.Dense(2)(layers.LSTM(3)(layers.TimeDistributed(inner)(x))))
    assert kx.hires_cam(model).explainer.layer_path.endswith("/features")


@pytest.mark.parametrize("how", ["layer", "argument"])
def test_masks_are_as_before(how):
    """Where a mask reaches it, it stays closed, and the answers are those of Keras."""
    x = keras.Input((5, 6))
    inner = keras.Sequential([keras.Input((6,)), layers.Reshape((6, 1)), layers.LSTM(3)])
    over = layers.TimeDistributed(inner)
    if how == "layer":
        y = over(layers.Masking()(x))
    else:
        y = over(x, mask=layers.Lambda(lambda x: ops.any(x != 0, axis=-1))(x))
    model = keras.Model(x, layers.Dense(2)(layers.LSTM(3)(y)))
    given = np.random.default_rng(0).normal(size=(3, 5, 6)).astype("float32")
    given[0, 3:] = 0
    alive(model, given)
    _, program = Program.trace(model)
    assert program.producer(program.find(over.name).outputs[0]).fn is over
    np.testing.assert_allclose(numbers(program([ops.convert_to_tensor(given)])),
                               numbers(model(given)), atol=1e-6)


def test_what_folds_parts_of_a_frame_into_the_batch_stays_closed():
    def cut(x):
        return ops.reshape(ops.transpose(ops.reshape(x, (-1, 2, 4, 2, 4, 1)), (0, 1, 3, 2, 4, 5)),
                           (-1, 4, 4, 1))

    frame = keras.Input((8, 8, 1))
    y = layers.Flatten()(layers.Conv2D(2, 3, name="conv")(
        layers.Lambda(cut, output_shape=(4, 4, 1))(frame)))
    y = layers.Lambda(lambda y: ops.mean(ops.reshape(y, (-1, 4, 8)), axis=1),
                      output_shape=(8,))(y)
    x = keras.Input((3, 8, 8, 1))
    y = layers.TimeDistributed(keras.Model(frame, y), name="frames")(x)
    video = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 1)).astype("float32")
    model = alive(keras.Model(x, layers.Dense(2)(layers.LSTM(3)(y))), video)
    with pytest.raises(ValueError, match=r"'frames' \(TimeDistributed\).*which cannot be looked"):
        kx.hires_cam(model)
    found = kx.saliency(model)(video)
    np.testing.assert_allclose(numbers(found["predictions"]), numbers(model(video)), atol=1e-6)


def test_a_transformer_of_frames_asks_for_a_method_without_a_layer():
    frame = keras.Input((8, 8, 1))
    y = layers.Reshape((4, 6))(layers.Conv2D(6, 4, strides=4, name="patches")(frame))
    y = layers.Dense(6)(layers.MultiHeadAttention(1, 6)(y, y))
    inner = keras.Model(frame, layers.GlobalAveragePooling1D()(y))
    x = keras.Input((3, 8, 8, 1))
    model = keras.Model(x, layers.Dense(2)(layers.LSTM(3)(layers.TimeDistributed(inner)(x))))
    with pytest.raises(ValueError, match="goes on with tokens after its last convolution"):
        kx.hires_cam(model)


def test_explained_models_are_saved(tmp_path):
    model, x = classifier(), videos()
    explained = kx.hires_cam(model, target=1)
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0)["heatmap"],
                               explained.predict(x, verbose=0)["heatmap"], atol=1e-6)
    assert again.explainer.layer_path == "frames/cnn/last"


def test_weights_of_the_layers_inside_are_exchanged_one_by_one():
    model, x = classifier(), videos(2)
    stages = kx.metrics.weight_randomization(kx.saliency, model, x, verbose=0).stages
    assert [s for s in stages if s.startswith("frames/cnn/")][-1] == "frames/cnn/first"
