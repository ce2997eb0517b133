"""The signature that takes encoded images: decoding, drawing, labels, errors per image."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from models import KINDS, alive, draw

import keras_explain as kx
from keras_explain import images

if keras.backend.backend() == "torch":
    pytest.skip("Keras exports no SavedModel from PyTorch", allow_module_level=True)
tf = pytest.importorskip("tensorflow")

LABELS = ["cat", "dog", "tree frog", "Größe"]


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype("uint8")


def huge_png():
    """A small file that claims 100,000 x 100,000 pixels."""
    png = bytearray(images.encode_png(picture(2, 2)))
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    return bytes(png)


@pytest.fixture(scope="module")
def model():
    x = keras.Input((16, 12, 3))
    y = layers.Rescaling(1 / 255)(x)
    y = layers.Conv2D(6, 3, activation="relu")(y)
    y = layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, layers.Dense(4, activation="softmax")(y))
    return alive(model, 255 * draw(x, 16))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    explained = kx.grad_cam(model)
    path = kx.export(
        explained,
        tmp_path_factory.mktemp("served"),
        versioned=True,
        class_names=LABELS,
        methods={"occlusion": kx.occlusion(model, patch_size=4, stride=4, target="input")},
        image_options={"top": 2, "max_pixels": 10_000},
    )
    return path, explained, tf.saved_model.load(str(path)).signatures


def ask(signature, data, **others):
    return {k: v.numpy() for k, v in signature(
        image_bytes=tf.constant(data), **{k: tf.constant(v) for k, v in others.items()}).items()}


def test_the_answer_is_that_of_the_model(exported, model):
    _, explained, signatures = exported
    pixels = [picture(16, 12, seed) for seed in range(3)]
    answer = ask(signatures["explain_image"], [images.encode_png(p) for p in pixels])
    local = explained.predict(np.stack(pixels).astype("float32"), verbose=0)
    np.testing.assert_allclose(answer["predictions"], local["predictions"], atol=1e-5)
    np.testing.assert_allclose(answer["heatmap"], local["heatmap"], atol=1e-4)
    best = local["predictions"].argsort(axis=-1)[:, ::-1][:, :2]
    assert answer["top_classes"].tolist() == best.tolist()
    assert [[n.decode() for n in row] for row in answer["top_labels"]] == [
        [LABELS[i] for i in row] for row in best]
    assert answer["error"].tolist() == [b"", b"", b""]
    drawn = np.stack([tf.io.decode_png(png).numpy() for png in answer["overlay_bytes"]])
    expected = images.overlay(np.stack(pixels), local["heatmap"], signed=False)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_signed_overlays_are_those_of_images(exported, model):
    _, _, signatures = exported
    pixels = picture(16, 12, 5)
    answer = ask(signatures["explain_image_occlusion"], [images.encode_png(pixels)])
    assert answer["heatmap"].min() < 0
    drawn = tf.io.decode_png(answer["overlay_bytes"][0]).numpy()
    expected = images.overlay(pixels, answer["heatmap"][0], signed=True)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_several_fills_are_drawn_faded_where_they_disagree(model, tmp_path):
    explained = kx.occlusion(model, patch_size=4, stride=4, baseline="several")
    path = kx.export(explained, tmp_path / "1")
    pixels = picture(16, 12)
    found = ask(tf.saved_model.load(str(path)).signatures["explain_image"],
                [images.encode_png(pixels)])
    out = explained.predict(pixels[None].astype("float32"), verbose=0)
    np.testing.assert_allclose(found["disagreement"], out["disagreement"], atol=1e-5)
    drawn = tf.io.decode_png(found["overlay_bytes"][0]).numpy().astype(int)
    want = images.overlay(pixels, images.fade(out["heatmap"], out["disagreement"])[0], signed=True)
    assert np.abs(drawn - want).max() <= 3
    assert np.abs(drawn - images.overlay(pixels, out["heatmap"][0], signed=True)).max() > 10


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_overlays_at_other_weights_and_sizes(alpha):
    from keras_explain.exporting import drawing

    pixels = np.stack([picture(20, 30, 1), picture(20, 30, 2)])
    heatmap = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    for signed in (True, False):
        maps = heatmap if signed else np.abs(heatmap)
        drawn = drawing.overlay(pixels, tf.constant(maps), signed, alpha).numpy().astype(int)
        expected = images.overlay(pixels, maps, alpha=alpha, signed=signed)
        assert np.abs(drawn - expected).mean() < 0.2  # rounding, at most a few levels
        assert np.abs(drawn - expected).max() <= 6


def test_bad_images_spoil_no_others(exported):
    _, _, signatures = exported
    good = images.encode_png(picture(16, 12))
    broken = bytearray(images.encode_png(picture(40, 40)))
    broken[len(broken) // 2] ^= 255
    jpeg = tf.io.encode_jpeg(picture(50, 40)).numpy()
    large = images.encode_png(picture(101, 100))
    sent = [good, b"nonsense", b"", bytes(broken), jpeg[: len(jpeg) // 2], huge_png(), large, good]
    answer = ask(signatures["explain_image"], sent)
    alone = ask(signatures["explain_image"], [good])
    errors = [e.decode() for e in answer["error"]]
    assert errors[0] == errors[-1] == ""
    assert all("Expected the bytes of a whole JPEG, PNG" in e for e in errors[1:5])
    assert errors[5] == errors[6]
    assert errors[5].startswith("Expected an image of at most 10000 pixels, received more.")
    for row in (0, -1):
        assert answer["overlay_bytes"][row] == alone["overlay_bytes"][0]
        np.testing.assert_allclose(answer["predictions"][row], alone["predictions"][0], atol=1e-6)
    for row in range(1, 7):
        assert not answer["heatmap"][row].any() and not answer["predictions"][row].any()
        assert answer["overlay_bytes"][row] == b"" and answer["top_labels"][row][0] == b""


def test_requests_choose_classes_and_wrong_ones_are_told(exported, model):
    _, _, signatures = exported
    png = images.encode_png(picture(16, 12))
    answer = ask(signatures["explain_image_class"], [png] * 4, target=[2, -1, 4, -2])
    errors = [e.decode() for e in answer["error"]]
    assert errors[:2] == ["", ""]
    for error, wrong in zip(errors[2:], (4, -2), strict=True):
        assert error == (f"Expected a target from -1 (top class) to 3, received {wrong}. Count"
                         " classes from 0.")
    one = kx.grad_cam(model, target=2).predict(picture(16, 12)[None].astype("float32"), verbose=0)
    np.testing.assert_allclose(answer["heatmap"][0], one["heatmap"][0], atol=1e-4)


def test_other_shapes_and_kinds_of_file(exported):
    _, _, signatures = exported
    gray = images.encode_png(picture(30, 50)[..., 0])
    jpeg = tf.io.encode_jpeg(picture(70, 20)).numpy()
    with_alpha = images.encode_png(np.concatenate([picture(9, 9), picture(9, 9)[..., :1]], -1))
    answer = ask(signatures["explain_image"], [gray, jpeg, with_alpha])
    assert answer["error"].tolist() == [b""] * 3
    assert answer["heatmap"].shape == (3, 16, 12)


def test_the_folder_describes_itself(exported):
    path, explained, signatures = exported
    assert path.name == "1"
    about = json.loads((path / "explanation.json").read_text())
    assert sorted(about["signatures"]) == sorted(signatures)
    assert about["methods"]["default"]["method"] == "GradCAM"
    assert about["methods"]["default"]["layer"] == explained.explainer.layer_path
    assert about["methods"]["occlusion"]["signed"] is True
    assert about["labels"] == LABELS and about["classes"] == 4
    assert about["signatures"]["explain_image"]["inputs"] == {
        "image_bytes": {"dtype": "string", "shape": [None]}}
    assert (path / "assets" / "labels.txt").read_text("utf-8").splitlines() == LABELS
    readme = (path / "README.md").read_text()
    assert "GradCAM at layer `conv2d" in readme and "explain_image_class" in readme
    assert str(path.parent) not in readme + json.dumps(about)


def test_weights_are_stored_once(tmp_path):
    x = keras.Input((16, 12, 3))
    y = layers.Flatten()(layers.Conv2D(32, 3, activation="relu")(x))
    heavy = keras.Model(x, layers.Dense(9, activation="softmax")(layers.Dense(2000)(y)))
    path = kx.export(kx.saliency(heavy), tmp_path / "1",
                     methods={"occlusion": kx.occlusion(heavy, patch_size=8, stride=8)})
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    assert size < 1.05 * 4 * heavy.count_params()


def test_preprocessing_happens_inside(tmp_path):
    kind = KINDS["grayscale"]
    explained = kx.grad_cam(kind.model)
    path = kx.export(explained, tmp_path / "1", preprocess=layers.Rescaling(1 / 255),
                     signatures=["explain_image"], image_options={"fit": "crop"})
    signatures = tf.saved_model.load(str(path)).signatures
    assert "explain_image_class" not in signatures
    square = picture(16, 16)[..., 0]
    answer = ask(signatures["explain_image"], [images.encode_png(square)])
    cropped = square[:, 2:14, None].astype("float32") / 255
    local = explained.predict(cropped[None], verbose=0)
    np.testing.assert_allclose(answer["predictions"], local["predictions"], atol=1e-5)
    np.testing.assert_allclose(answer["heatmap"], local["heatmap"], atol=1e-4)


@pytest.mark.parametrize("name", ["sigmoid_of_one_unit", *[
    pytest.param(name, marks=pytest.mark.slow) for name in (
        "channels_first", "uint8_image", "variable_size", "segmentation", "detection",
        "outputs_dict")]])
def test_other_models_of_one_image(tmp_path, name):
    kind = KINDS[name]
    explained = kx.saliency(kind.model, **kind.options)
    path = kx.export(explained, tmp_path / "1", image_options={"size": (16, 12)})
    signatures = tf.saved_model.load(str(path)).signatures
    pixels = picture(16, 12)
    answer = ask(signatures["explain_image"], [images.encode_png(pixels)])
    given = pixels.transpose(2, 0, 1) if name == "channels_first" else pixels
    given = given[None].astype("uint8" if name == "uint8_image" else "float32")
    local = keras.ops.convert_to_numpy(explained(given)["heatmap"])
    np.testing.assert_allclose(answer["heatmap"], local, atol=1e-4 * max(1, abs(local).max()))
    assert answer["overlay_bytes"][0].startswith(b"\x89PNG")
    if name == "sigmoid_of_one_unit":
        assert answer["top_scores"].sum() == pytest.approx(1, abs=1e-5)
    if name == "outputs_dict":
        assert answer["top_classes"][0, 0] == answer["predictions_kind"][0].argmax()
    assert ("top_labels" in answer) == (name not in ("segmentation", "detection"))


@pytest.mark.parametrize(("name", "options", "message"), [
    ("table", {"signatures": ["explain_image"]}, "one image with 1 or 3 channels.*shape"),
    ("inputs_list", {"signatures": ["explain_image"]}, "2 inputs"),
    ("variable_size", {"signatures": ["explain_image"]}, "size.*height, width"),
    ("functional", {"signatures": ["explains"]}, "Expected `signatures` among.*'explains'"),
    ("functional", {"class_names": ["one"]}, "name the 4 classes.*received 1 names"),
    ("functional", {"class_names": ["a", "b", "c", "d\ne"]}, "class_names` of one line each"),
    ("functional", {"image_options": {"fit": "pad"}}, "`fit` to be one of"),
    ("functional", {"image_options": {"preprocess": None}}, "among.*'size'.*is `preprocess=`"),
    ("functional", {"image_options": {"alpha": 2}}, "`alpha` between 0 and 1"),
    ("table", {"preprocess": lambda x: x}, "one image with 1 or 3 channels"),
    ("functional", {"preprocess": lambda x: x, "signatures": ["explain"]},
     "only with `explain_image`.*received signatures=\\('explain',\\)"),
    ("functional", {"format": "tflite"}, "`format` to be one of.*'tflite'"),
    ("functional", {"preprocess": lambda x: x[:, 0]}, "Expected `preprocess` to return images"),
])
def test_what_does_not_fit_is_told(tmp_path, name, options, message):
    explained = kx.saliency(KINDS[name].model, **KINDS[name].options)
    with pytest.raises(ValueError, match=message):
        kx.export(explained, tmp_path / "1", **options)
    assert list(tmp_path.iterdir()) == []


def test_methods_must_share_the_model(tmp_path):
    one, other = KINDS["functional"].model, KINDS["no_softmax"].model
    with pytest.raises(ValueError, match="Expected `methods` of one model, received 'other'"):
        kx.export(kx.saliency(one), tmp_path / "1", methods={"other": kx.saliency(other)})
    with pytest.raises(ValueError, match="Expected names of `methods`.*received 'class'"):
        kx.export(kx.saliency(one), tmp_path / "1", methods={"class": kx.saliency(one)})
    with pytest.raises(ValueError, match="Expected a target that fits any batch"):
        kx.export(kx.saliency(one, target=[0, 1]), tmp_path / "1")


def test_versions_count_up(tmp_path):
    explained = kx.saliency(KINDS["table"].model)
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert kx.export(explained, tmp_path, versioned=True) == tmp_path / "8"
