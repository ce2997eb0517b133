"""The score that is explained, in every form in which it can be asked for."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import HEIGHT, KINDS, WIDTH, alive, draw, head, image, setting
from running import heatmap, run

import keras_explain as kx
from keras_explain.graph import targets


def numbers(x):
    return ops.convert_to_numpy(x)


# Functions ------------------------------------------------------------------------------------


class TestCheck:
    @pytest.mark.parametrize("target", [None, 0, 2, "input", len, (0, 1, -1), (2,)])
    def test_keeps_what_is_right(self, target):
        assert targets.check(target, 3) == target

    @pytest.mark.parametrize("target", [[1, 2], np.array([1, 2]), np.array([1, 2], "uint8")])
    def test_makes_sequences_serializable(self, target):
        found = targets.check(target, 3)
        assert found == (1, 2) and {type(n) for n in found} == {int}

    def test_makes_numpy_integers_serializable(self):
        assert type(targets.check(np.int64(1), 3)) is int

    @pytest.mark.parametrize("target", ["cat", 1.0, [0.5], True])
    def test_refuses_other_types(self, target):
        with pytest.raises(TypeError, match="Expected `target` to be None .*, received"):
            targets.check(target, 3)

    @pytest.mark.parametrize("target", [-1, 3, [0, 3], [-2], []])
    def test_refuses_classes_out_of_range(self, target):
        with pytest.raises(ValueError, match="Expected `target` from 0 to 2, .*, received"):
            targets.check(target, 3)

    def test_refuses_one_hot_rows(self):
        with pytest.raises(ValueError, match="shape .3, 3.. For one-hot rows, pass their argmax"):
            targets.check(np.eye(3, dtype=int), 3)


class TestRequest:
    def test_keeps_what_is_right(self):
        targets.check_request(np.array([0, -1, 2]), 3, 3)
        targets.check_request(np.array([[0], [1]]), 2, 3)
        targets.check_count((1, 2), 2)

    @pytest.mark.parametrize("request_", [[0, 3], [-2, 0]])
    def test_names_the_classes_out_of_range(self, request_):
        wrong = [n for n in request_ if n != 0]
        with pytest.raises(ValueError, match=rf"from 0 to 2, or -1 .* received \{wrong}"):
            targets.check_request(np.array(request_), 2, 3)

    def test_wants_one_class_per_image(self):
        with pytest.raises(ValueError, match=r"shape \(3,\), one class per image.*\(2,\)"):
            targets.check_request(np.array([0, 1]), 3, 3)
        with pytest.raises(ValueError, match="batches of 2 images.*batch of 3.*batch_size=2"):
            targets.check_count((0, 1), 3)


class TestClassScores:
    def test_units_are_classes(self):
        raw = np.array([[1.0, 2.0, 4.0]], "float16")
        found = targets.class_scores(ops.convert_to_tensor(raw), "softmax")
        assert numbers(found).tolist() == [[1, 2, 4]] and numbers(found).dtype == "float32"

    def test_one_sigmoid_unit_has_two_classes(self):
        raw = ops.convert_to_tensor([[3.0], [-1.0]])
        assert numbers(targets.class_scores(raw, "sigmoid")).tolist() == [[-3, 3], [1, -1]]
        found = targets.class_scores(ops.convert_to_tensor([[np.log(3)]]), "sigmoid", "probability")
        np.testing.assert_allclose(numbers(found), [[0.25, 0.75]], rtol=1e-6)

    def test_regression_has_one(self):
        raw = ops.convert_to_tensor([[3.0]])
        assert numbers(targets.class_scores(raw, None)).tolist() == [[3]]
        assert numbers(targets.class_scores(raw[:, 0], None)).tolist() == [[3]]

    @pytest.mark.parametrize("axis", [1, 3])
    def test_positions_are_averaged(self, axis):
        raw = np.moveaxis(np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5), -1, axis)
        found = numbers(targets.class_scores(ops.convert_to_tensor(raw), None, axis=axis))
        wanted = raw.mean(axis=tuple(a for a in (1, 2, 3) if a != axis))
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


class TestLogOdds:
    def by_hand(self, z):
        z = np.asarray(z, "float64")
        rest = [np.delete(z, c, axis=-1) for c in range(z.shape[-1])]
        high = [r.max(-1, keepdims=True) for r in rest]
        return np.stack([z[..., c] - h[..., 0] - np.log(np.exp(r - h).sum(-1))
                         for c, (r, h) in enumerate(zip(rest, high, strict=True))], -1)

    @pytest.mark.parametrize("logits", [
        [[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]], [[60.0, 0.0, -60.0], [0.0, 200.0, 200.0]],
        [[1e3, -1e3]], np.random.default_rng(0).normal(size=(2, 3, 50)) * 9])
    def test_equals_the_logarithm_of_the_odds(self, logits):
        logits = np.asarray(logits, "float32")
        found = numbers(targets.log_odds(ops.convert_to_tensor(logits)))
        np.testing.assert_allclose(found, self.by_hand(logits), rtol=2e-6, atol=2e-6)
        moved = numbers(targets.log_odds(ops.convert_to_tensor(logits + 8)))
        np.testing.assert_allclose(moved, found, rtol=1e-5, atol=1e-4)

    def test_gradient_is_that_of_the_formula(self):
        """d log(p / (1 - p)) / dz is 1 for the class, minus the share of the rest for others."""
        model = keras.Sequential([keras.Input((3,)), layers.Softmax()])
        x = np.array([[1.0, 3.0, 2.0], [50.0, 0.0, 1.0], [0.0, 0.0, 0.0]], "float32")
        for c in range(3):
            explained = kx.saliency(model, target=c, score="log_odds", signed=True)
            wanted = np.exp(np.delete(x.astype("float64"), c, axis=1))
            wanted = np.insert(-wanted / wanted.sum(1, keepdims=True), c, 1, axis=1)
            np.testing.assert_allclose(heatmap(explained, x), wanted, atol=1e-6)

    def test_kinds_of_ends(self):
        z = ops.convert_to_tensor([[2.0, -1.0]])
        np.testing.assert_allclose(numbers(targets.class_scores(z, "softmax", "log_odds")),
                                   [[3, -3]], atol=1e-6)
        assert numbers(targets.class_scores(z, "sigmoid", "log_odds")).tolist() == [[2, -1]]
        one = targets.class_scores(z[:, :1], "sigmoid", "log_odds")
        assert numbers(one).tolist() == [[-2, 2]]
        assert numbers(targets.class_scores(z[:, :1], None, "log_odds")).tolist() == [[2]]

    def test_positions_are_averaged(self):
        z = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype("float32")
        found = targets.class_scores(ops.convert_to_tensor(z), "softmax", "log_odds")
        np.testing.assert_allclose(numbers(found), self.by_hand(z).mean((1, 2)), atol=1e-5)
        found = targets.class_scores(ops.convert_to_tensor(z), "softmax", "probability")
        e = np.exp(z)
        np.testing.assert_allclose(numbers(found), (e / e.sum(-1, keepdims=True)).mean((1, 2)),
                                   atol=1e-6)


class TestOneHot:
    SCORES = [[1.0, 3.0, 2.0], [5.0, 0.0, 5.0]]

    def one_hot(self, target=None):
        return numbers(targets.one_hot(ops.convert_to_tensor(self.SCORES), target)).tolist()

    def test_top_class_is_the_first_of_equals(self):
        assert self.one_hot() == [[0, 1, 0], [1, 0, 0]]

    def test_a_class_for_all(self):
        assert self.one_hot(2) == [[0, 0, 1], [0, 0, 1]]

    def test_a_class_for_each_where_minus_one_is_the_top_class(self):
        target = ops.convert_to_tensor([-1, 2], "int32")
        assert self.one_hot(target) == [[0, 1, 0], [0, 0, 1]]


# Explained models -----------------------------------------------------------------------------


def columns(units=4, activation="softmax", count=5):
    """The smallest model with classes: a table of columns, interactions between them."""
    x = keras.Input((count,))
    y = layers.Dense(6, activation="tanh")(x)
    return alive(keras.Model(x, layers.Dense(units, activation=activation)(y)), None)


@pytest.mark.parametrize("name, model", [("grad_cam", "sequence"), ("saliency", "table"),
                                         ("occlusion", "table")])
def test_all_forms_agree(name, model):
    model, x = KINDS[model].model, KINDS[model].inputs(3)
    top = run(model, x).argmax(axis=-1)

    def explain(**options):
        given = {"baseline": 0.0} if name == "occlusion" else {}
        return getattr(kx, name)(model, **given, **options)

    single = {c: heatmap(explain(target=c), x) for c in range(3)}

    def check(found, classes):
        np.testing.assert_allclose(
            found, np.stack([single[c][i] for i, c in enumerate(classes)]), atol=1e-6)

    check(heatmap(explain(), x), top)
    check(heatmap(explain(target=(-1, 2, 1)), x), [top[0], 2, 1])
    asked = explain(target="input")
    check(heatmap(asked, [x, np.array([2, -1, 1], "int32")]), [2, top[1], 1])
    check(heatmap(asked, [x, np.array([1, 1, -1], "int32")]), [1, 1, top[2]])
    assert heatmap(explain(target=class_2), x).shape == single[2].shape


def class_2(outputs):
    return outputs[:, 2]


def test_callable_is_the_score_itself():
    model, x = columns(), draw((5,), 2)
    np.testing.assert_allclose(
        heatmap(kx.saliency(model, target=class_2, signed=True), x),
        heatmap(kx.saliency(model, target=2, signed=True, score="probability"), x), atol=1e-7)
    np.testing.assert_allclose(heatmap(kx.occlusion(model, baseline=0.0, target=class_2), x),
                               heatmap(kx.occlusion(model, baseline=0.0, target=2,
                                                    score="probability"), x), atol=1e-7)


def test_callable_sees_every_output():
    kind = KINDS["outputs_dict"]

    def both(outputs):
        return outputs["age"][:, 0] * outputs["kind"][:, 1]

    found = heatmap(kx.saliency(kind.model, target=both), kind.inputs(2))
    assert found.shape == (2, HEIGHT, WIDTH) and found.any()


def test_output_is_chosen_by_name_and_index():
    kind = KINDS["outputs_list"]
    x = kind.inputs(2)
    one, two = (heatmap(kx.saliency(kind.model, output=o), x) for o in (0, "age"))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - heatmap(kx.saliency(kind.model, output="top"), x)).max() > 0


def test_classes_of_a_sigmoid_unit_are_opposites():
    model, x = columns(1, "sigmoid"), draw((5,), 4)
    no, yes = (heatmap(kx.saliency(model, target=c, signed=True), x) for c in (0, 1))
    np.testing.assert_allclose(no, -yes, atol=1e-7)
    no, yes = (heatmap(kx.occlusion(model, baseline=0.0, target=c), x) for c in (0, 1))
    np.testing.assert_allclose(no, -yes, atol=1e-6)
    top = (run(model, x)[:, 0] > 0.5).astype(int)
    found = heatmap(kx.occlusion(model, baseline=0.0), x)
    np.testing.assert_allclose(found, [(no, yes)[c][i] for i, c in enumerate(top)], atol=1e-6)


def test_saturated_softmax_is_explained_by_its_logit():
    x = keras.Input((5,))
    scores = layers.Rescaling(1000.0)(layers.Dense(4)(x))
    model = alive(keras.Model(x, layers.Softmax()(scores)), None)
    x = draw((5,), 2)
    assert run(model, x).max(axis=-1).min() == 1.0
    assert heatmap(kx.saliency(model), x).max() > 1
    assert heatmap(kx.occlusion(model, baseline=0.0, score="logit"), x).max() > 1
    with pytest.warns(kx.BlankHeatmapWarning, match="The probability, 1, is saturated"):
        assert not heatmap(kx.saliency(model, score="probability"), x).any()


def test_segmentation_explains_the_class_with_the_largest_mean_logit():
    kind = KINDS["segmentation"]
    x = kind.inputs(2)
    model = keras.Model(kind.model.input, kind.model.get_layer("up").output)
    classes = kind.model.get_layer("classes")
    kernel, bias = (np.array(w) for w in classes.get_weights())
    logits = (run(model, x) @ kernel[0, 0] + bias).mean(axis=(1, 2))
    found = heatmap(kx.saliency(kind.model, signed=True), x)
    for row, top in enumerate(logits.argmax(axis=-1)):
        wanted = heatmap(kx.saliency(kind.model, target=int(top), signed=True), x)[row]
        np.testing.assert_allclose(found[row], wanted, atol=1e-8)
    assert kx.saliency(kind.model).explainer.question.classes == 3


@pytest.mark.parametrize("end", ["softmax", None])
def test_classes_of_channels_first_segmentation_are_its_channels(end):
    def build(shape, axis):
        x = image(*shape)
        y = layers.Conv2D(5, 3, padding="same", activation="tanh")(x)
        y = layers.Conv2D(3, 1)(y)
        return alive(keras.Model(x, layers.Softmax(axis=axis)(y) if end else y), None)

    last = build((HEIGHT, WIDTH, 2), -1)
    with setting(keras.config.image_data_format, keras.config.set_image_data_format,
                 "channels_first"):
        first = build((2, HEIGHT, WIDTH), 1)
    x = draw((HEIGHT, WIDTH, 2), 2)
    explained = kx.saliency(first, target=1)
    assert explained.explainer.question.classes == 3
    np.testing.assert_allclose(heatmap(explained, np.moveaxis(x, -1, 1)),
                               heatmap(kx.saliency(last, target=1), x), atol=1e-6)


def test_binary_segmentation_has_two_classes():
    x = image()
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(x)
    model = alive(keras.Model(x, layers.Conv2D(1, 1, activation="sigmoid")(y)), None)
    inputs = draw((HEIGHT, WIDTH, 3), 2)
    no, yes = (heatmap(kx.saliency(model, target=c, signed=True), inputs) for c in (0, 1))
    np.testing.assert_allclose(no, -yes, atol=1e-8)


def test_logits_of_a_shared_head_are_those_of_the_softmax():
    """The model keeps its softmax, and its predictions, while logits are explained."""
    x = image()
    shared = layers.Dense(4, activation="softmax", name="top")
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(x))
    model = alive(keras.Model(x, shared(y)), None)
    explained = kx.saliency(model, target=1)
    inputs = draw((HEIGHT, WIDTH, 3), 2)
    np.testing.assert_allclose(run(explained, inputs)["predictions"].sum(axis=-1), 1, rtol=1e-6)
    assert shared.activation is keras.activations.softmax


def test_single_unit_without_activation_is_a_regression():
    kind = KINDS["regression"]
    assert kx.saliency(kind.model).explainer.question.classes == 1
    with pytest.raises(ValueError, match="Expected `target` from 0 to 0"):
        kx.saliency(kind.model, target=1)


def test_head_of_a_multi_label_model_keeps_its_units():
    x = image()
    y = layers.Conv2D(4, 3, activation="relu")(x)
    model = alive(keras.Model(x, head(y, 3, "sigmoid")), None)
    assert kx.saliency(model, target=2).explainer.question.classes == 3
