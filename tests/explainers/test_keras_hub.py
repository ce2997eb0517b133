"""Tasks of keras-hub, small and made here: their preprocessor runs once, in every method."""

import keras
import numpy as np
import pytest

import keras_explain as kx
from keras_explain.lime import LimeImageExplainer, LimeTextExplainer

pytestmark = pytest.mark.slow
hub = pytest.importorskip("keras_hub")
SIZE = 32


def converted(preprocessor, converter):
    return preprocessor(image_converter=converter(
        image_size=(SIZE, SIZE), scale=[1 / 58, 1 / 57, 1 / 57], offset=[-2.1, -2.0, -1.8]))


def resnet():
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[3], stackwise_num_filters=[64, 16],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block",
        use_pre_activation=True, image_shape=(SIZE, SIZE, 3))
    return hub.models.ResNetImageClassifier(
        backbone, num_classes=3, activation="softmax", preprocessor=converted(
            hub.models.ResNetImageClassifierPreprocessor, hub.layers.ResNetImageConverter))


def vgg():
    backbone = hub.models.VGGBackbone(
        stackwise_num_repeats=[1, 1], stackwise_num_filters=[8, 8], image_shape=(SIZE, SIZE, 3))
    return hub.models.VGGImageClassifier(
        backbone, num_classes=3, pooling="avg", activation="softmax", preprocessor=converted(
            hub.models.VGGImageClassifierPreprocessor, hub.layers.VGGImageConverter))


def vit():
    backbone = hub.models.ViTBackbone(
        image_shape=(SIZE, SIZE, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16,
        mlp_dim=32)
    return hub.models.ViTImageClassifier(
        backbone, num_classes=3, activation="softmax", preprocessor=converted(
            hub.models.ViTImageClassifierPreprocessor, hub.layers.ViTImageConverter))


def densenet():
    return classifier("DenseNet", hub.models.DenseNetBackbone(
        stackwise_num_repeats=[1, 1, 1], compression_ratio=0.5, growth_rate=8,
        image_shape=(SIZE, SIZE, 3)))


def csp():
    return classifier("CSPNet", hub.models.CSPNetBackbone(
        stem_filters=8, stem_kernel_size=3, stem_strides=1, stackwise_strides=2,
        stackwise_depth=[1, 1], stackwise_num_filters=[8, 16], image_shape=(SIZE, SIZE, 3),
        down_growth=True, bottle_ratio=(0.5, 1.0), block_ratio=(1.0, 0.5), expand_ratio=(2.0, 1.0),
        block_type="dark_block", stage_type="csp"))


def mobilenet():
    return classifier("MobileNet", hub.models.MobileNetBackbone(
        stackwise_expansion=[[16, 24]], stackwise_num_blocks=[2], stackwise_num_filters=[[16, 16]],
        stackwise_kernel_size=[[3, 3], [1]], stackwise_num_strides=[[2, 1], [1]],
        stackwise_se_ratio=[[None, 0.25]], stackwise_activation=[["relu", "hard_swish"],
                                                                 ["hard_swish"]],
        stackwise_padding=[[1, 1], [1]], output_num_filters=32, input_activation="hard_swish",
        output_activation="hard_swish", input_num_filters=16, image_shape=(SIZE, SIZE, 3),
        depthwise_filters=8, depthwise_stride=2, depthwise_residual=False, squeeze_and_excite=0.5,
        last_layer_filter=24))


def hgnet():
    return classifier("HGNetV2", hub.models.HGNetV2Backbone(
        depths=[1, 1], embedding_size=8, hidden_sizes=[16, 24], stem_channels=[3, 8, 8],
        hidden_act="relu", use_learnable_affine_block=False,
        stackwise_stage_filters=[[8, 8, 16, 1, 1, 3], [16, 8, 24, 1, 1, 3]],
        apply_downsample=[False, True], use_lightweight_conv_block=[False, False],
        image_shape=(SIZE, SIZE, 3)))


def classifier(family, backbone):
    """The task of a family that takes raw pictures."""
    models = vars(hub.models)
    return models[f"{family}ImageClassifier"](
        backbone, num_classes=3, activation="softmax", preprocessor=converted(
            models[f"{family}ImageClassifierPreprocessor"],
            vars(hub.layers)[f"{family}ImageConverter"]))


def bert():
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a good bad film the is very dull and lazy".split()
    preprocessor = hub.models.BertTextClassifierPreprocessor(
        hub.models.BertTokenizer(vocabulary=words), sequence_length=10)
    backbone = hub.models.BertBackbone(
        vocabulary_size=len(words), num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
        max_sequence_length=10)
    return hub.models.BertTextClassifier(
        backbone, num_classes=2, activation="softmax", preprocessor=preprocessor)


def alive(task):
    for i, v in enumerate(task.trainable_variables):
        v.assign(v + keras.random.normal(v.shape, stddev=0.2, seed=i))
    return task


def bare(task):
    """The network alone, which takes what it is called with."""
    return keras.Model(task.inputs, task.outputs)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (3, 6, 8, 3)).astype("uint8")
    return coarse.repeat(8, 1).repeat(8, 2)  # 48 x 64: the middle 48 x 48 is seen


@pytest.mark.parametrize("make", [resnet, vgg, vit, densenet, csp, mobilenet, hgnet])
def test_pictures(make, pictures):
    task = alive(make())
    want = task.predict(pictures, verbose=0)
    options = {"reshape": (4, 4)} if make is vit else {}
    for builder, given in ((kx.hires_cam, options), (kx.saliency, {}), (kx.occlusion, {})):
        found = builder(task, **given).predict(pictures, verbose=0)
        np.testing.assert_allclose(found["predictions"], want, atol=1e-5)
        assert found["heatmap"].shape == (3, 48, 64)
        assert not found["heatmap"][:, :, :7].any() and not found["heatmap"][:, :, 57:].any()
        assert found["heatmap"][:, :, 8:56].any()
    for given in (task, task.predict):
        said = LimeImageExplainer(given).explain(pictures[0], samples=20, top=3, verbose=0)
        np.testing.assert_allclose(said.prediction, want[0][list(said.classes)], atol=1e-3)


def test_the_preprocessor_runs_once_and_not_where_it_is_taken_off(pictures):
    task = alive(resnet())
    square = pictures[:, :, 8:56].astype("float32")
    ready = keras.ops.convert_to_numpy(task.preprocessor(square))
    maps = kx.saliency(bare(task)).predict(ready, verbose=0)["heatmap"]
    found = kx.saliency(task).predict(square, verbose=0)["heatmap"]
    assert np.corrcoef(np.stack([f[::3, ::3] for f in found]).ravel(),
                       np.stack([m[::2, ::2] for m in maps]).ravel())[0, 1] > 0.6
    task.preprocessor = None
    explained = kx.saliency(task)
    np.testing.assert_allclose(explained.predict(ready, verbose=0)["heatmap"], maps, atol=1e-5)
    assert explained.predict(ready, verbose=0)["heatmap"].shape == (3, SIZE, SIZE)


def test_metrics_take_raw_pictures(pictures):
    task = alive(resnet())
    ready = keras.ops.convert_to_numpy(task.preprocessor(pictures.astype("float32")))
    maps = kx.saliency(bare(task)).predict(ready, verbose=0)["heatmap"]
    mine = kx.metrics.insertion(task, pictures.astype("float32"), maps)
    np.testing.assert_allclose(mine, kx.metrics.insertion(bare(task), ready, maps), atol=1e-4)


def test_texts():
    task = alive(bert())
    texts = ["a good film", "the film is very dull and lazy"]
    want = task.predict(texts, verbose=0)
    for builder in (kx.saliency, kx.occlusion, kx.integrated_gradients):
        found = builder(task, input="token_ids").predict(texts, verbose=0)
        np.testing.assert_allclose(found["predictions"], want, atol=1e-5)
        assert found["heatmap"].shape == (2, 10)
        assert not found["heatmap"][0, 5:].any()  # padding
    said = LimeTextExplainer(task).explain(texts[1], top=2, verbose=0)
    np.testing.assert_allclose(said.prediction, want[1][list(said.classes)], atol=1e-5)


def test_the_command_takes_pictures_of_any_size(pictures, tmp_path):
    from keras_explain.cli import main

    task = alive(resnet())
    task.save(tmp_path / "task.keras")
    keras.utils.save_img(tmp_path / "picture.png", pictures[0])
    out = tmp_path / "out"
    assert main(["explain", str(tmp_path / "task.keras"), str(tmp_path / "picture.png"),
                 "--method", "saliency", "--out", str(out)]) == 0
    assert np.load(out / "picture.saliency.npy").shape == (48, 64)


SIZES = {"num_layers": 2, "hidden_dim": 8, "intermediate_dim": 16}
HEADS = {"vocabulary_size": 20, "num_heads": 2, **SIZES}
GROUPS = {"vocabulary_size": 20, "num_query_heads": 2, "num_key_value_heads": 1, **SIZES}
BACKBONES = {
    "Bert": {"max_sequence_length": 8, **HEADS}, "GPT2": {"max_sequence_length": 8, **HEADS},
    "FNet": {"vocabulary_size": 20, "max_sequence_length": 8, **SIZES}, "XLNet": HEADS,
    "Gemma": {"head_dim": 4, **GROUPS}, "Llama": GROUPS,
}


@pytest.mark.parametrize("name", BACKBONES)
def test_local_linear_adds_up_on_transformers(name):
    backbone = vars(hub.models)[f"{name}Backbone"](**BACKBONES[name])
    found = backbone.output
    found = found["sequence_output"] if isinstance(found, dict) else found
    model = alive(keras.Model(backbone.input, keras.layers.Dense(3)(
        keras.ops.mean(found, axis=1))))
    ids = np.random.default_rng(0).integers(1, 20, (3, 8))
    x = {k: np.ones_like(ids) if "mask" in k else np.zeros_like(ids) if "segment" in k else ids
         for k in backbone.input}
    out = kx.local_linear(model, target=1).predict(x, verbose=0)
    total = out["heatmap"].sum(axis=1) + out["remainder"]
    assert np.abs(total - out["predictions"][:, 1]).max() < 1e-4 * np.ptp(out["predictions"])
    assert out["heatmap"].any(axis=1).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("builder", [kx.local_linear, kx.occlusion,
                                     lambda model: LimeTextExplainer(model)])
def test_callbacks_take_texts_while_a_classifier_is_tuned(builder, tmp_path):
    task, texts, y = alive(bert()), ["a good film", "the film is very dull"], np.array([1, 0])
    task.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    callback = kx.callbacks.ExplanationCallback(builder, texts, y, log_dir=str(tmp_path), name="t")
    task.fit(texts, y, epochs=1, verbose=0, callbacks=[callback])
    assert list((tmp_path / "explanations" / "t").rglob("events*"))
