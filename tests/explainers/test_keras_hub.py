"""Tasks of keras-hub, small and made here: their preprocessor runs once, in every method."""

import keras
import numpy as np
import pytest
from keras import layers

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


def deit():
    return classifier("DeiT", hub.models.DeiTBackbone(
        image_shape=(SIZE, SIZE, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16,
        intermediate_dim=32))


def mit():
    return classifier("MiT", hub.models.MiTBackbone(
        layerwise_depths=[1, 1], image_shape=(SIZE, SIZE, 3), hidden_dims=[8, 16], num_layers=2,
        layerwise_num_heads=[1, 2], layerwise_sr_ratios=[2, 1], max_drop_path_rate=0.0,
        layerwise_patch_sizes=[7, 3], layerwise_strides=[4, 2]))


def swin():
    return classifier("SwinTransformer", hub.models.SwinTransformerBackbone(
        image_shape=(SIZE, SIZE, 3), embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4))


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


def efficientnet():
    return classifier("EfficientNet", hub.models.EfficientNetBackbone(
        width_coefficient=0.5, depth_coefficient=0.5, stackwise_kernel_sizes=[3, 5],
        stackwise_num_repeats=[1, 1], stackwise_input_filters=[16, 16],
        stackwise_output_filters=[16, 24], stackwise_expansion_ratios=[1, 6],
        stackwise_strides=[1, 2], stackwise_block_types=["v1", "v1"],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25], min_depth=None,
        include_stem_padding=True, use_depth_divisor_as_min_depth=True,
        cap_round_filter_decrease=True, stem_conv_padding="valid", batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5, dropout=0, projection_activation=None))


def xception():
    return classifier("Xception", hub.models.XceptionBackbone(
        stackwise_conv_filters=[[8, 8], [16, 16]], stackwise_pooling=[True, False],
        image_shape=(SIZE, SIZE, 3)))


def mobilenet_v5():
    """An edge residual block, an inverted bottleneck, and attention over few keys."""
    blocks = ["er"], ["uir", "mqa"]

    def each(*sizes):
        return [list(sizes[:1]), list(sizes[1:])]

    return classifier("MobileNetV5", hub.models.MobileNetV5Backbone(
        stackwise_block_types=list(blocks), stackwise_num_blocks=[1, 2],
        stackwise_num_filters=each(16, 24, 24), stackwise_strides=each(2, 2, 1),
        stackwise_act_layers=each("relu", "relu", "relu"), stackwise_exp_ratios=each(4.0, 6.0, 1.0),
        stackwise_se_ratios=each(0.0, 0.0, 0.0), stackwise_dw_kernel_sizes=each(0, 5, 0),
        stackwise_dw_start_kernel_sizes=each(0, 0, 0),
        stackwise_dw_end_kernel_sizes=each(0, 0, 0), stackwise_exp_kernel_sizes=each(3, 0, 0),
        stackwise_pw_kernel_sizes=each(1, 0, 0), stackwise_num_heads=each(0, 0, 2),
        stackwise_key_dims=each(0, 0, 8), stackwise_value_dims=each(0, 0, 8),
        stackwise_kv_strides=each(0, 0, 1), stackwise_use_cpe=[[False], [False, False]],
        use_msfa=False, num_features=32, image_shape=(SIZE, SIZE, 3)))


@pytest.mark.filterwarnings("ignore::keras_explain.explainers._cam.AttendedMapWarning")
@pytest.mark.parametrize("make", [resnet, vgg, vit, deit, mit, swin, densenet, csp, mobilenet,
                                  mobilenet_v5, hgnet, efficientnet, xception])
def test_pictures(make, pictures):
    task = alive(make())
    want = task.predict(pictures, verbose=0)
    for builder, given in ((kx.hires_cam, {"signed": True}), (kx.saliency, {}),
                           (kx.integrated_gradients, {"steps": 4}),
                           (kx.occlusion, {"patch_size": 8}), (kx.rise, {"samples": 20})):
        found = builder(task, **given).predict(pictures, verbose=0)
        np.testing.assert_allclose(found["predictions"], want, atol=1e-5)
        assert found["heatmap"].shape == (3, 48, 64)
        if builder is not kx.rise:  # whose masks are laid over the whole picture
            assert not found["heatmap"][:, :, :7].any() and not found["heatmap"][:, :, 57:].any()
        assert found["heatmap"][:, :, 8:56].any()
    for given in (task, task.predict):
        said = LimeImageExplainer(given).explain(pictures[0], samples=20, top=3, verbose=0)
        np.testing.assert_allclose(said.prediction, want[0][list(said.classes)], atol=1e-3)


@pytest.mark.filterwarnings("ignore::keras_explain.explainers._cam.AttendedMapWarning")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("read", ["class token", "patches"])
def test_dino(version, read, pictures):
    """Position tables that are resized, register tokens in front, gated layers of the scale."""
    backbone = vars(hub.models)[f"DINOV{version}Backbone"](
        patch_size=8, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32,
        num_register_tokens=2, image_shape=(SIZE, SIZE, 3),
        **{"position_embedding_shape": (SIZE, SIZE)} if version == 2 else {})
    tokens = backbone.output
    tokens = tokens[:, 0] if read == "class token" else layers.GlobalAveragePooling1D()(
        tokens[:, 3:])
    model = alive(keras.Model(backbone.input, layers.Dense(3, activation="softmax")(tokens)))
    given = {name: pictures[:, :SIZE, :SIZE] / np.float32(255) for name in model.input}
    want = model.predict(given, verbose=0)
    for builder, options in ((kx.hires_cam, {}), (kx.saliency, {}), (kx.local_linear, {}),
                             (kx.integrated_gradients, {"steps": 4}),
                             (kx.occlusion, {"patch_size": 8}), (kx.rise, {"samples": 20})):
        found = builder(model, **options).predict(given, verbose=0)
        np.testing.assert_allclose(found["predictions"], want, atol=1e-5)
        assert found["heatmap"].shape == (3, SIZE, SIZE) and found["heatmap"].any()
    hidden = {name: x.copy() for name, x in given.items()}
    for x in hidden.values():
        x[:, 8:16, 16:24] = x.mean((1, 2), keepdims=True)
    there, away = (np.log(p / (1 - p))[np.arange(3), want.argmax(1)] for p in (
        want, model.predict(hidden, verbose=0)))
    found = kx.occlusion(model, patch_size=8, stride=8).predict(given, verbose=0)["heatmap"]
    np.testing.assert_allclose(found[:, 12, 20], there - away, rtol=1e-3, atol=1e-4)


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
    "DebertaV3": {"max_sequence_length": 8, "bucket_size": 4, **HEADS},
    "T5": HEADS, "Bart": {"max_sequence_length": 8, **HEADS},
    "RoformerV2": {"head_size": 4, "max_wavelength": 100, **HEADS},
    "Falcon": {"vocabulary_size": 20, "num_attention_heads": 2, **SIZES},
}


def on_tokens(name):
    """A backbone under a head, what it takes, and which of that is explained."""
    backbone = vars(hub.models)[f"{name}Backbone"](**BACKBONES[name])
    found = backbone.output
    if isinstance(found, dict):
        found = found.get("sequence_output", found.get("decoder_sequence_output"))
    model = alive(keras.Model(backbone.input, keras.layers.Dense(3)(
        keras.ops.mean(found, axis=1))))
    ids = np.random.default_rng(0).integers(1, 20, (3, 8))
    x = {k: np.ones_like(ids) if "mask" in k else np.zeros_like(ids) if "segment" in k else ids
         for k in backbone.input}
    return model, x, {"input": "encoder_token_ids"} if "encoder_token_ids" in x else {}


@pytest.mark.parametrize("name", BACKBONES)
def test_local_linear_adds_up_on_transformers(name):
    model, x, which = on_tokens(name)
    out = kx.local_linear(model, target=1, **which).predict(x, verbose=0)
    total = out["heatmap"].sum(axis=1) + out["remainder"]
    assert np.abs(total - out["predictions"][:, 1]).max() < 1e-4 * np.ptp(out["predictions"])
    assert out["heatmap"].any(axis=1).all()


@pytest.mark.filterwarnings("ignore::keras_explain.explainers.attention.AttentionWarning")
@pytest.mark.parametrize("name", sorted({*BACKBONES} - {"FNet"}))
def test_attention_weights_are_those_of_the_layers(name, monkeypatch):
    """Against every softmax over tokens that the network runs, heard from outside."""
    if name == "DebertaV3" and keras.backend.backend() == "jax":
        pytest.skip("its buckets of positions round otherwise when they are compiled")
    model, x, which = on_tokens(name)
    explained = kx.attention(model, **which)
    out = explained.predict(x, verbose=0)
    nn, heard = keras.src.backend.nn, []
    softmax, fused = nn.softmax, nn.dot_product_attention

    def hear(x, axis=-1):
        y = softmax(x, axis)
        if len(y.shape) in (4, 5) and y.shape[-2:] == (8, 8):
            heard.append(keras.ops.convert_to_numpy(y).reshape(3, -1, 8, 8))
        return y

    def hear_fused(query, key, value, bias=None, mask=None, **options):
        scores = keras.ops.einsum("nthd,nshd->nhts", query, key) / query.shape[-1] ** 0.5
        hear(scores if mask is None else keras.ops.where(keras.ops.cast(mask, "bool"), scores,
                                                         -1e9))
        return fused(query, key, value, bias=bias, mask=mask, **options)

    monkeypatch.setattr(nn, "softmax", hear)
    monkeypatch.setattr(nn, "dot_product_attention", hear_fused)
    model(x, training=False)
    assert len(heard) >= out["attention"].shape[1] == 2
    for k in range(2):
        nearest = min(np.abs(out["attention"][:, k] - one).max() for one in heard)
        assert nearest < 1e-5
    assert np.abs(out["attention"][:, 0] - out["attention"][:, 1]).max() > 1e-3
    np.testing.assert_allclose(out["attention"].sum(axis=-1), 1, atol=1e-4)
    assert (out["heatmap"] >= 0).all() and out["heatmap"].any(axis=1).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("builder", [kx.local_linear, kx.occlusion,
                                     lambda model: LimeTextExplainer(model)])
def test_callbacks_take_texts_while_a_classifier_is_tuned(builder, tmp_path):
    task, texts, y = alive(bert()), ["a good film", "the film is very dull"], np.array([1, 0])
    task.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    callback = kx.callbacks.ExplanationCallback(builder, texts, y, log_dir=str(tmp_path), name="t")
    task.fit(texts, y, epochs=1, verbose=0, callbacks=[callback])
    assert list((tmp_path / "explanations" / "t").rglob("events*"))


def test_each_level_of_a_detector_is_read():
    """RetinaNet: a box of one level has its map at that level, and none at the others."""
    keras.utils.set_random_seed(0)
    size = 64
    encoder = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 16, 16, 16], stackwise_num_blocks=[1] * 4,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block", use_pre_activation=False, image_shape=(size, size, 3))
    detector = hub.models.RetinaNetObjectDetector(
        hub.models.RetinaNetBackbone(image_encoder=encoder, min_level=3, max_level=5, use_p5=True,
                                     image_shape=(size, size, 3)),
        num_classes=3, bounding_box_format="yxyx", pre_logits_num_conv_layers=1)
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    anchors = [9 * cells**2 for cells in (8, 4, 2)]
    assert detector.output["cls_logits"].shape[1] == sum(anchors)
    for level, first in enumerate(np.cumsum([0, *anchors[:2]])):
        def score(outputs, first=int(first)):
            return outputs["cls_logits"][:, first, 1]  # of the box in the upper left corner

        with pytest.warns(UserWarning, match=r"of 3 layers.*re_lu_1 \(node_index=2\)"):
            merged = keras.ops.convert_to_numpy(
                kx.hires_cam(detector, target=score, signed=True)(x)["heatmap"])
        alone = [keras.ops.convert_to_numpy(kx.hires_cam(
            detector, target=score, signed=True, layer="classification_head/re_lu_1",
            node_index=k)(x)["heatmap"]) for k in range(3)]
        assert alone[level].any() and not any(alone[k].any() for k in range(3) if k != level)
        np.testing.assert_allclose(merged, alone[level], atol=1e-5 * np.abs(merged).max())
        cell = 8 * 2**level
        near = np.abs(merged)[:, : 2 * cell + cell // 2, : 2 * cell + cell // 2].sum()
        assert near > 0.95 * np.abs(merged).sum()


@pytest.mark.parametrize("make", [vit, deit, mit, swin])
def test_local_linear_adds_up_on_pictures(make):
    """Contributions and remainder are the logit, to 1e-4 of its range."""
    task = alive(make())
    x = np.random.default_rng(0).normal(size=(4, SIZE, SIZE, 3)).astype("float32")
    out = kx.local_linear(bare(task), target=1).predict(x, verbose=0)
    logits = find_logits(task, x)
    total = out["heatmap"].sum(axis=(1, 2)) + out["remainder"]
    assert np.abs(total - logits[:, 1]).max() < 1e-4 * np.ptp(logits)
    assert np.abs(out["heatmap"]).max() > 1e-4


def find_logits(task, x):
    """What the last layer gives before its softmax."""
    head, activation = task.layers[-1], keras.activations.softmax
    assert head.activation is activation
    head.activation = None
    try:
        return keras.ops.convert_to_numpy(bare(task)(x, training=False))
    finally:
        head.activation = activation


# A planted cause ---------------------------------------------------------------------------------


def plant(count, seed):
    """Noise in which one square of 8 x 8 pixels tells the class by its color, and where it is."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.3, (count, SIZE, SIZE, 3)).astype("float32")
    y, cells = rng.integers(0, 2, count), rng.integers(0, SIZE // 8, (count, 2))
    for image, label, (row, column) in zip(x, y, 8 * cells, strict=True):
        image[row : row + 8, column : column + 8] = [2, -1, -1] if label else [-1, 2, -1]
    return x, y, cells @ [SIZE // 8, 1]


@pytest.mark.filterwarnings("ignore:Layer 'attn'")
@pytest.mark.parametrize("make", [vit, deit, mit, swin])
def test_the_deciding_patch_is_found_and_maps_of_attended_tokens_are_warned_of(make):
    model = bare(make())
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    x, y, _ = plant(1500, 0)
    model.fit(x, y, epochs=6, batch_size=50, verbose=0)
    x, y, cells = plant(32, 1)
    assert model.evaluate(x, y, verbose=0)[1] > 0.95
    maps = kx.local_linear(model).predict(x, verbose=0)["heatmap"]
    maps = maps.reshape(32, SIZE // 8, 8, SIZE // 8, 8).sum(axis=(2, 4)).reshape(32, -1)
    assert (maps.argmax(axis=1) == cells).mean() > 0.6  # one in 16 by chance
    with pytest.warns(UserWarning, match="have attended to all others"):
        kx.hires_cam(model)
