"""Wrong use is told before anything is computed: what was expected, what came, what to do."""

import ast
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import HEIGHT, KINDS, WIDTH, Opaque, alive, body, draw, head, image, stack

import keras_explain as kx
from keras_explain import backend


@keras.saving.register_keras_serializable("errors")
class Untouched(layers.Layer):
    """Fails the test if it is computed with."""

    def call(self, x):
        assert not backend.is_concrete(x), "computed before the error"
        return x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def shuffled_tokens(images=1):
    """A transformer of whose last tokens nobody can tell where they lie."""
    x = [image() for _ in range(images)]
    y = [layers.Reshape((12, 6))(layers.Conv2D(6, 4, strides=4)(one)) for one in x]
    y = y[0] if images == 1 else layers.Concatenate(axis=1)(y)
    y = layers.LayerNormalization(name="norm")(keras.ops.roll(y, 5, axis=1))
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


def untouched(outputs=1):
    x = image(name="picture")
    y = body(Untouched()(x))
    first = head(y)
    if outputs == 1:
        return keras.Model(x, first)
    return keras.Model(x, [first, layers.Dense(1, name="age")(layers.Flatten(name="flat")(y))])


def a_batch(count=3):
    return draw((HEIGHT, WIDTH, 3), count)


# All errors -----------------------------------------------------------------------------------


def errors():
    """The place and the text of every error of the package, `{}` for what is put in."""
    for path in sorted(pathlib.Path(kx.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
                 for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr)) and id(node) not in parts:
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}"
                               for part in getattr(node, "values", [node]))
                if re.match("Expected |Received ", text):
                    yield f"{path.name}:{node.lineno}", text


def test_errors_have_one_form():
    """Expected ..., received .... Remedy. In its place an error may name the nearest name."""
    remedy = r"[.\]})?]\s+([A-Z0-9`'\"{(]|\w+=).*[.?\]})]$|\.\{\}$"
    form = re.compile(rf"Expected [^.]*.*?(\breceived .*?({remedy})|, found none\. .+[.}}])$",
                      re.DOTALL)
    texts = [pair for pair in errors() if not pair[1].endswith("received ")]  # joined in a graph
    assert len(texts) > 300
    assert [pair for pair in texts if not form.match(pair[1])] == []


# While building -------------------------------------------------------------------------------

BUILDING = {
    "no model": (TypeError, lambda: kx.grad_cam(lambda x: x),
                 "Expected a `keras.Model`, received function.*LIME"),
    "unbuilt Sequential": (ValueError, lambda: kx.grad_cam(keras.Sequential(stack())),
                           r"never seen the shape of its input. Call it once.*keras.Input"),
    "unbuilt subclass": (ValueError, lambda: kx.saliency(Opaque()), "which has never seen"),
    "unknown layer": (ValueError, lambda: kx.grad_cam(untouched(), layer="conv_2"),
                      r"received 'conv_2'. Did you mean one of \['conv2', 'conv1'"),
    "shared layer": (ValueError, lambda: kx.grad_cam(KINDS["shared_layer"].model, layer="twice"),
                     "Expected `node_index`"),
    "layer of another output": (ValueError, lambda: kx.grad_cam(
        untouched(2), layer="flat", output="top"),
                                "'flat', which is disconnected"),
    "layer without map": (ValueError, lambda: kx.grad_cam(untouched(), layer="gap"),
                          r"feature map, received 'gap' of output shape \(None, 6\)"),
    "last layer": (ValueError, lambda: kx.grad_cam(untouched(), layer="top"),
                   "'top', which is disconnected from it, or comes after it"),
    "no convolution": (ValueError, lambda: kx.grad_cam(KINDS["table"].model),
                       "received one without.*`saliency`, `occlusion`"),
    "opaque model": (ValueError, lambda: kx.grad_cam(KINDS["subclassed_opaque"].model),
                     r"one with 'opaque.*' \(Opaque\), which cannot be looked into.*`occlusion`"),
    "transformer": (ValueError, lambda: kx.grad_cam(shuffled_tokens(images=2)),
                    r"Expected `reshape`, because the model goes on with tokens"),
    "tokens as image": (ValueError, lambda: kx.grad_cam(shuffled_tokens(), layer="norm"),
                        r"2 axes.*'norm' of shape \(None, 12, 6\).*reshape="),
    "wrong grid": (ValueError, lambda: kx.grad_cam(
        KINDS["transformer_with_class_token"].model, reshape=(4, 4)),
        r"`reshape` to fit the tokens of layer 'block2_norm1'.*\(4, 4\) \(16 tokens\)"),
    "grid of a map": (ValueError, lambda: kx.grad_cam(untouched(), layer="conv2", reshape=(4, 6)),
                      "`reshape` to fit the tokens"),
    "class out of range": (ValueError, lambda: kx.saliency(untouched(), target=4),
                           "Expected `target` from 0 to 3, because the explained output has 4"),
    "classes out of range": (ValueError, lambda: kx.saliency(untouched(), target=[0, 7]),
                             r"received \[0, 7\]"),
    "class by name": (TypeError, lambda: kx.saliency(untouched(), target="cat"), "received 'cat'"),
    "several outputs": (ValueError, lambda: kx.saliency(untouched(2)),
                        r"Expected `output`, because the model has 2 outputs.*\['top', 'age'\]"),
    "unknown output": (ValueError, lambda: kx.saliency(untouched(2), output="sex"),
                       r"one of \['top', 'age'\] or an index below 2, received 'sex'"),
    "unknown input": (ValueError, lambda: kx.saliency(untouched(), input="image"),
                      r"one of \['picture'\]"),
    "score": (ValueError, lambda: kx.saliency(untouched(), score="loss"), "received 'loss'"),
    "normalize": (ValueError, lambda: kx.saliency(untouched(), normalize=True), "received True"),
    "patch too large": (ValueError, lambda: kx.occlusion(untouched(), patch_size=13),
                        "`patch_size` of at most 12, the size of the input, received 13"),
    "patch value": (ValueError, lambda: kx.occlusion(untouched(), baseline="gray"),
                    "'gray'"),
    "patch color": (ValueError, lambda: kx.occlusion(untouched(), baseline=(1, 2)), r"\(2,\)"),
    "patch as a share": (ValueError, lambda: kx.occlusion(untouched(), patch_size=0.1),
                         "received 0.1. Give a number of pixels, not a share of the input"),
    "half a grid": (ValueError, lambda: kx.grad_cam(untouched(), reshape=2.5),
                    "`reshape` to be an integer .*received 2.5. Give the rows and columns"),
    "batch size": (ValueError, lambda: kx.occlusion(untouched(), batch_size=0), "received 0"),
}


@pytest.mark.parametrize("name", BUILDING)
def test_building(name):
    error, build, words = BUILDING[name]
    with pytest.raises(error, match=words):
        build()


def test_model_of_two_arguments():
    class Two(keras.Model):
        def call(self, a, b):
            return a + b

    model = Two()
    model(np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="called on one argument .* Pass them as a list or dict"):
        kx.saliency(model)


# While explaining -----------------------------------------------------------------------------


def with_value(*values):
    x = a_batch()
    x[1, 2, 3, : len(values)] = values
    return x


ASKED = {"target": "input"}
EXPLAINING = {
    "no batch axis": ({}, lambda: a_batch()[0],
                      r"\(None, 16, 12, 3\).*received \(16, 12, 3\).*batch axis: x\[None\]"),
    "other size": ({}, lambda: draw((12, 16, 3), 2), r"received \(2, 12, 16, 3\). Resize"),
    "other channels": ({}, lambda: draw((HEIGHT, WIDTH, 1), 2), r"received \(2, 16, 12, 1\)"),
    "no examples": ({}, lambda: a_batch()[:0], "at least one example.*'picture' of shape"),
    "NaN": ({}, lambda: with_value(np.nan), "without NaN, received 1 NaN in 'picture'"),
    "infinity": ({}, lambda: with_value(np.inf, -np.inf),
                 "without infinity, received 2 infinite in 'picture'"),
    "both": ({}, lambda: with_value(np.nan, np.inf), "NaN and infinity, received 1 NaN and 1 inf"),
    "request out of range": (ASKED, lambda: [a_batch(), np.array([0, 4, -1])],
                             r"from 0 to 3, or -1 .* received \[4\]"),
    "request below": (ASKED, lambda: [a_batch(), np.array([0, -2, 1])], r"received \[-2\]"),
    "too few requests": (ASKED, lambda: [a_batch(), np.array([0, 1])],
                         r"`target` of shape \(3,\).*\(2,\)"),
    "another count": ({"target": [0, 1]}, a_batch, "batches of 2 images.*received a batch of 3"),
}


@pytest.mark.parametrize("builder", ["grad_cam", "occlusion"])
@pytest.mark.parametrize("name", EXPLAINING)
def test_explaining(name, builder):
    options, inputs, words = EXPLAINING[name]
    explained = getattr(kx, builder)(untouched(), **options)
    for call in (explained, explained.predict, explained.predict_on_batch):
        with pytest.raises(ValueError, match=words):
            call(inputs())
    with pytest.raises(ValueError, match=words):
        given = keras.tree.map_structure(ops.convert_to_tensor, inputs())
        explained(given)


def test_sequence_of_targets_fits_the_batches_of_predict():
    explained = kx.grad_cam(KINDS["functional"].model, target=[1] * 5)
    assert explained.predict(a_batch(5), verbose=0)["heatmap"].shape == (5, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="Pass batch_size=5 to `predict`"):
        explained.predict(a_batch(5), batch_size=2, verbose=0)


def test_callable_that_returns_no_score_per_image():
    with pytest.raises(ValueError, match=r"one score per image, shape \(N,\)"):
        kx.saliency(KINDS["functional"].model, target=lambda outputs: outputs)(a_batch())


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX gives zeros, and we a warning")
def test_gradient_cut_by_integers():
    x = image(5)
    whole = ops.cast(ops.cast(x, "int32"), "float32")
    model = alive(keras.Model(x, layers.Dense(3)(whole)), None)
    with pytest.raises(ValueError, match="no gradient flows .*Use `occlusion`"):
        kx.saliency(model, target=1)(np.ones((2, 5), "float32"))
