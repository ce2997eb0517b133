"""A detector's answer nearest to a box: known answers, brute force, formats, and errors."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops
from running import heatmap, run
from test_saving import load_elsewhere

import keras_explain as kx
from keras_explain.targets import Box

SIZE, CELL = 24, 8
GRID = SIZE // CELL
CORNERS = np.array([(CELL * j, CELL * i, CELL * j + CELL, CELL * i + CELL)
                    for i in range(GRID) for j in range(GRID)], "float32")
ASKED = (9, 1, 16, 8)  # nearly the second cell of the first row: left, top, right, bottom
FORMATS = {
    "xyxy": lambda b: b, "yxyx": lambda b: b[..., [1, 0, 3, 2]],
    "xywh": lambda b: np.concatenate([b[..., :2], b[..., 2:] - b[..., :2]], -1),
    "center_xywh": lambda b: np.concatenate(
        [(b[..., :2] + b[..., 2:]) / 2, b[..., 2:] - b[..., :2]], -1)}


class Boxes(layers.Layer):
    """The same boxes for each picture, moved right with what is bright in them."""

    def __init__(self, boxes, **options):
        super().__init__(**options)
        self.boxes = np.asarray(boxes, "float32")

    def call(self, scores):
        shift = ops.sum(scores, axis=-1, keepdims=True) * 0.5
        return ops.convert_to_tensor(self.boxes)[None] + shift * ops.convert_to_tensor(
            [1.0, 0.0, 1.0, 0.0])

    def get_config(self):
        return {**super().get_config(), "boxes": self.boxes.tolist()}


def detector(end="sigmoid", format="xyxy", form="dict"):
    """A cell's score of class 0 and 1 is the brightness of its red and green."""
    image = keras.Input((SIZE, SIZE, 3))
    cells = layers.Conv2D(2, CELL, CELL, name="cells")
    logits = layers.Reshape((GRID**2, 2))(cells(image))
    scores = layers.Activation(end)(logits)
    kernel = np.zeros((CELL, CELL, 3, 2), "float32")
    kernel[..., 0, 0] = kernel[..., 1, 1] = 8 / CELL**2
    cells.set_weights([kernel, np.full(2, -4, "float32")])
    scale = SIZE if format.startswith("rel_") else 1
    placed = FORMATS[format.removeprefix("rel_")](CORNERS) / scale
    if format == "xyxy" and form == "dict":
        boxes = Boxes(placed)(layers.Activation("sigmoid")(logits))
    else:
        boxes = layers.Lambda(lambda s: ops.zeros_like(s[..., :1]) + ops.convert_to_tensor(
            placed, "float32"))(scores)
    if form == "raw":  # as YOLO: numbers of a box on one axis, boxes on the last
        return keras.Model(image, layers.Permute((2, 1))(layers.Concatenate()([boxes, scores])))
    return keras.Model(image, {"boxes": boxes, "scores": scores})


def pictures(count=2):
    return np.random.default_rng(0).uniform(0.2, 0.8, (count, SIZE, SIZE, 3)).astype("float32")


def overlap(a, b):
    """Intersection over union of corners, one by one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def product(model, x, id=1):
    """The largest probability times overlap, by a loop over boxes."""
    out = run(model, x)
    return np.array([max(p[id] * overlap(ASKED, b) for b, p in zip(boxes, scores, strict=True))
                     for boxes, scores in zip(out["boxes"], out["scores"], strict=True)])


METHODS = [
    (kx.saliency, {}), (kx.integrated_gradients, {"baseline": 0.0, "steps": 8}),
    (kx.gradient_x_input, {}),
    (kx.occlusion, {"patch_size": 4, "stride": 4, "baseline": 0.2}),
    (kx.rise, {"samples": 512, "grid": 3, "baseline": 0.2}),
]


@pytest.mark.parametrize("builder, options", METHODS, ids=lambda v: getattr(v, "__name__", ""))
def test_the_cell_of_the_box_is_found(builder, options):
    found = np.abs(heatmap(builder(detector(), target=Box(ASKED, 1), **options), pictures()))
    cells = found.reshape(2, GRID, CELL, GRID, CELL).sum(axis=(2, 4))
    assert (cells.reshape(2, -1).argmax(axis=1) == 1).all()
    if builder is not kx.rise:
        assert (cells[:, 0, 1] > 0.99 * cells.sum(axis=(1, 2))).all()


def test_occlusion_is_the_drop_of_the_best_product():
    model, x = detector(), pictures()
    found = heatmap(kx.occlusion(model, target=Box(ASKED, 1), patch_size=CELL, stride=CELL,
                                 baseline=0.0), x)
    clean = product(model, x)
    for i in range(GRID):
        for j in range(GRID):
            hidden = x.copy()
            place = np.s_[:, CELL * i : CELL * (i + 1), CELL * j : CELL * (j + 1)]
            hidden[place] = 0
            drop = clean - product(model, hidden)
            np.testing.assert_allclose(found[place][:, 3, 3], drop, atol=1e-6)


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_gradients_are_those_of_finite_differences(score):
    """Of the score and of the box's place, which both move with the brightness."""
    model, x, step = detector(), pictures(1), 1e-2
    found = heatmap(kx.saliency(model, target=Box(ASKED, 1), score=score, signed=True), x)

    def ask(x):
        out = run(model, x)
        p = np.float64(out["scores"])[0, 1, 1]
        share = overlap(ASKED, np.float64(out["boxes"])[0, 1])
        return p * share if score == "probability" else np.log(p / (1 - p)) + np.log(share)

    for place in (2, 10), (7, 15), (5, 3), (20, 10):
        slopes = []
        for channel in range(3):
            above, below = x.copy(), x.copy()
            above[0, *place, channel] += step
            below[0, *place, channel] -= step
            slopes.append((ask(above) - ask(below)) / (2 * step))
        np.testing.assert_allclose(found[0, *place], sum(slopes), atol=2e-4)


@pytest.mark.parametrize("format", [*FORMATS, *(f"rel_{name}" for name in FORMATS)])
def test_each_format_means_the_same_box(format):
    scale = SIZE if format.startswith("rel_") else 1
    asked = FORMATS[format.removeprefix("rel_")](np.array(ASKED) / scale)
    target, x = Box(asked, 1, format=format), pictures()
    out = run(detector(format=format), x)
    answers = ops.convert_to_numpy(target(out))
    shares = np.array([overlap(ASKED, b) for b in CORNERS])
    wanted = (out["scores"][..., 1] * shares).max(axis=1)
    np.testing.assert_allclose(answers, wanted, rtol=1e-5)


def decode_rows(outputs):
    """Boxes and scores of (N, 4 + classes, A)."""
    rows = ops.transpose(outputs, (0, 2, 1))
    return rows[..., :4], rows[..., 4:]


@keras.saving.register_keras_serializable("tests")
def decode_logits(outputs):
    return outputs["boxes"], outputs["scores"]


def test_other_forms_of_the_same_detector_get_the_same_map():
    x, wanted = pictures(), None
    for model, target in (
            (detector(), Box(ASKED, 1)), (detector("linear"), Box(ASKED, 1, activation="sigmoid")),
            (detector("linear"), Box(ASKED, 1, activation="sigmoid", decode=decode_logits))):
        found = heatmap(kx.saliency(model, target=target, signed=True), x)
        wanted = found if wanted is None else wanted
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    raw, plain = detector(form="raw"), detector(form="plain")
    for builder in (kx.occlusion, functools.partial(kx.saliency, score="probability")):
        np.testing.assert_allclose(
            heatmap(builder(raw, target=Box(ASKED, 1, decode=decode_rows)), x),
            heatmap(builder(plain, target=Box(ASKED, 1)), x), atol=1e-6)


@pytest.mark.parametrize("score", ["logit", "log_odds", "probability"])
def test_probabilities_that_no_activation_ends_are_asked_as_those_that_one_does(score):
    """The log-odds of 0.9 are 2.2; what the model gives was added to the overlap's logarithm."""
    ended, x = detector(), pictures()
    plain = keras.Model(ended.input, {"boxes": ended.output["boxes"],
                                       "scores": ended.output["scores"] * 1.0})
    found, wanted = (heatmap(kx.saliency(m, target=Box(ASKED, 1), score=score, signed=True), x)
                     for m in (plain, ended))
    assert wanted.any()
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_without_a_class_the_one_that_leads_there_is_explained():
    x = pictures(1)
    x[0, :CELL, CELL : 2 * CELL] = 0.5
    for id in (0, 1):
        x[0, :CELL, CELL : 2 * CELL, id] = 0.7
        x[0, :CELL, CELL : 2 * CELL, 1 - id] = 0.4
        found, wanted = (heatmap(kx.occlusion(detector(), target=Box(ASKED, i)), x)
                         for i in (None, id))
        np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_lime_finds_it():
    predictor = kx.lime.Predictor(detector(), target=Box(ASKED, 1))
    labels = np.arange(SIZE)[:, None] // CELL * GRID + np.arange(SIZE) // CELL
    explanation = kx.LimeImageExplainer(predictor, segments=labels, baseline=0.0).explain(
        pictures()[0], samples=200, verbose=0)
    assert np.argmax(explanation.weights[0]) == 1
    np.testing.assert_allclose(
        explanation.prediction, product(detector(), pictures()[:1]), rtol=1e-5)
    options = {"segments": labels, "baseline": 0.0}
    late = kx.LimeImageExplainer(detector(), **options)  # asked when it explains
    with pytest.raises(ValueError, match="choose one of the outputs"):
        late.explain(pictures()[0], samples=200, verbose=0)
    found = late.explain(pictures()[0], target=Box(ASKED, 1), samples=200, verbose=0)
    np.testing.assert_allclose(found.weights, explanation.weights, atol=1e-6)


def test_it_is_saved(tmp_path):
    x, maps = pictures(), {}
    np.save(tmp_path / "x.npy", x)
    image = keras.Input((SIZE, SIZE, 3))
    y = layers.Flatten()(layers.Conv2D(4, 4, 4, activation="relu")(image))
    model = keras.Model(image, [layers.Reshape((6, 4))(layers.Dense(24, "sigmoid")(y)),
                                layers.Reshape((6, 2))(layers.Dense(12, "sigmoid")(y))])
    for builder in (kx.saliency, kx.occlusion):
        explained = builder(model, target=Box(
            (0.1, 0.1, 0.9, 0.9), 1, boxes=0, scores=1, format="rel_center_xywh"))
        maps[builder.__name__] = heatmap(explained, x)
        explained.save(tmp_path / f"{builder.__name__}.keras")
    load_elsewhere(tmp_path, maps, "import keras, keras_explain")
    for name, wanted in maps.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), wanted, atol=1e-5)


def test_configurations_come_back():
    for target in (Box(ASKED), Box(ASKED, 1, decode=decode_logits, activation="sigmoid"),
                   Box((0.1, 0.2, 0.3, 0.4), 2, format="rel_xywh", boxes=1, scores=0)):
        config = keras.saving.serialize_keras_object(target)
        assert keras.saving.deserialize_keras_object(config) == target
    assert str(Box(ASKED, 1)) == "class 1 in the box (9.0, 1.0, 16.0, 8.0)"


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch exports no SavedModel")
def test_it_is_exported(tmp_path):
    import tensorflow as tf

    explained = kx.saliency(detector(), target=Box(ASKED, 1))
    kx.export(explained, tmp_path / "served")
    out = tf.saved_model.load(str(tmp_path / "served")).signatures["explain"](
        tf.constant(pictures()))
    np.testing.assert_allclose(out["heatmap"], heatmap(explained, pictures()), atol=1e-5)


def test_a_callback_logs_it(tmp_path):
    model = detector()
    model.compile("sgd", "mse")
    x, out = pictures(), run(model, pictures())
    callback = kx.callbacks.ExplanationCallback(
        functools.partial(kx.occlusion, target=Box(ASKED, 1)), x, log_dir=str(tmp_path))
    model.fit(x, out, epochs=1, verbose=0, callbacks=[callback])
    assert list(tmp_path.rglob("events*"))


@pytest.mark.parametrize("target, error, message", [
    (lambda: Box((1, 2, 3)), TypeError, "four numbers in the format 'xyxy'"),
    (lambda: Box("dog"), TypeError, "four numbers.*'dog'"),
    (lambda: Box((9, 1, 9, 8)), ValueError, "a box with an area"),
    (lambda: Box((9, 1, 4, 4)), ValueError, "Choose its `format`"),
    (lambda: Box((0, 0, float("nan"), 4)), ValueError, "a box with an area"),
    (lambda: Box(ASKED, -1), TypeError, "index of a class.*-1"),
    (lambda: Box(ASKED, format="pascal"), ValueError, "`format` to be one of"),
    (lambda: Box(ASKED, activation="relu"), ValueError, "`activation` to be one of"),
    (lambda: Box(ASKED, 2), ValueError, "from 0 to 1.*received 2"),
    (lambda: Box(ASKED, boxes="where"), ValueError, "'boxes', 'scores'.*received 'where'"),
    (lambda: Box(ASKED, boxes="scores"), ValueError, r"boxes of shape \(N, boxes, 4\)"),
    (lambda: Box((30, 30, 40, 40)), ValueError, r"in a picture of .*\(24, 24\).*`format`"),
    (lambda: Box((-9, 0, -1, 8)), ValueError, "in a picture of"),
    (lambda: Box((0.2, 0.2, 0.6, 0.6)), ValueError, "Choose its `format`"),
    (lambda: Box(ASKED, format="rel_xyxy"), ValueError, r"\(1, 1\)"),
    (lambda: Box(ASKED, decode=lambda o: o["nothing"]), ValueError, "fails with KeyError"),
    (lambda: Box(ASKED, decode=lambda o: o["boxes"]), ValueError, "received 1 tensors"),
])
def test_errors_before_anything_is_computed(target, error, message):
    for builder in (kx.saliency, kx.occlusion):
        with pytest.raises(error, match=message):
            builder(detector(form="plain"), target=target())


def test_pictures_without_such_a_box_are_refused():
    far = Box((0, 0, 1, 1), 1)  # shifted boxes leave it
    model = detector()
    x = pictures()
    x[1] = 9
    with pytest.raises(ValueError, match="pictures in which there is a class 1 in the box.*1 of 2"):
        kx.saliency(model, target=far).predict(x, verbose=0)
    with pytest.raises(ValueError, match=r"2 of 2.*activation=.sigmoid."):
        kx.occlusion(detector("linear"), target=Box(ASKED, 1)).predict(x, verbose=0)


@pytest.mark.slow
def test_retinanet_of_keras_hub(tmp_path):
    """Deltas to anchors, and logits: against Keras's own boxes and overlaps."""
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(0)
    size = 64
    encoder = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 16, 16, 16], stackwise_num_blocks=[1] * 4,
        stackwise_num_strides=[1, 2, 2, 2], block_type="basic_block", use_pre_activation=False,
        image_shape=(size, size, 3))
    model = hub.models.RetinaNetObjectDetector(
        hub.models.RetinaNetBackbone(image_encoder=encoder, min_level=3, max_level=5, use_p5=True,
                                     image_shape=(size, size, 3)),
        num_classes=3, bounding_box_format="yxyx", pre_logits_num_conv_layers=1)
    x = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype("float32")
    anchors = model.anchor_generator(ops.convert_to_tensor(x))
    anchors = np.concatenate([ops.convert_to_numpy(a) for a in anchors.values()]).astype("float32")

    def decode(outputs):
        shift, scale = outputs["bbox_regression"][..., :2], outputs["bbox_regression"][..., 2:]
        first, last = (ops.convert_to_tensor(a) for a in (anchors[:, :2], anchors[:, 2:]))
        sides = last - first
        centers = shift * sides + (last + first) / 2
        half = ops.exp(scale) * sides / 2
        return ops.concatenate([centers - half, centers + half], -1), outputs["cls_logits"]

    asked = anchors[234] + np.float32([1, -2, 1, 3])

    def product(outputs):
        boxes, logits = decode(outputs)
        shares = keras.utils.bounding_boxes.compute_iou(
            boxes, ops.convert_to_tensor(asked[None]), bounding_box_format="yxyx")[..., 0]
        return ops.max(ops.sigmoid(logits[..., 1]) * shares, axis=1)

    target = Box(asked, 1, format="yxyx", activation="sigmoid", decode=decode)
    found, wanted = (heatmap(kx.saliency(model, target=t, score=s, signed=True), x)
                     for t, s in ((target, "probability"), (product, "logit")))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    assert found.any()
