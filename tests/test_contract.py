"""What every builder promises on every kind of model. A new builder is one line in BUILDERS."""

import contextlib
import copy
import dataclasses
import inspect
import pickle
import random
import warnings
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops, tree
from models import HEIGHT, KINDS, WIDTH, alive, image, stack
from running import JAX, run

import keras_explain as kx

FEW = ("nested_in_functional", "composite_layers", "inputs_dict", "outputs_dict", "wide",
       "channels_first", "uint8_image", "mixed_float16", "sequence")
FEWER = ("nested_in_functional", "mixed_float16") if JAX else FEW  # JAX compiles each of them


@dataclasses.dataclass(frozen=True)
class Builder:
    """A builder under test.

    Args:
        name: in `keras_explain`; of one from outside, any.
        reads: "layer" (an inner feature map), "gradient" or "answer".
        options: what keeps it cheap.
        kinds: the models it is tested on every time; on the others in the slow run.
        refuses: words of the error on models that it is not made for.
        blank: models on which all evidence is against the class, so that some maps are zero.
        build: the builder, where it is from outside the package.
    """

    name: str
    reads: str
    options: dict = dataclasses.field(default_factory=dict)
    kinds: tuple = FEWER
    refuses: str = "nothing"
    blank: tuple = ()
    build: Callable | None = None

    def __call__(self, model, **options):
        build = self.build or getattr(kx, self.name)
        try:
            return build(model, **{**self.options, **options})
        except ValueError as error:
            if self.refuses not in str(error):
                raise
            pytest.skip(f"not made for this model: {error}")

    def options_for(self, kind):
        chosen = kind.cam if self.reads == "layer" and isinstance(kind.cam, dict) else {}
        hiding = HIDING if kind.name == "table" else HIDING[2:]  # the others explain the picture
        if kind.name in TABLES and self.name in hiding:
            rows = np.stack([np.zeros(5), np.ones(5)])
            chosen = {"baseline": 0.0 if self.name != "smooth_grad" else rows
                      if kind.name == "table" else {TABLES[kind.name]: rows}}
        return {**kind.options, **chosen}


# Models with columns, which have no baseline of their own, by the name of that input.
TABLES = {"table": None, "inputs_list": "1", "inputs_dict": "table"}
HIDING = ("occlusion", "rise", "integrated_gradients", "smooth_grad")
TRANSFORMERS = ("transformer_with_class_token", "transformer_without_class_token")
PATCHES = {"patch_size": 4, "stride": 4}
BUILDERS = [
    Builder("grad_cam", "layer", kinds=tuple(KINDS)),
    Builder("saliency", "gradient", kinds=tuple(KINDS)),
    Builder("occlusion", "answer", PATCHES, kinds=FEW if JAX else tuple(KINDS)),
    Builder("ablation_cam", "layer", blank=TRANSFORMERS),
    Builder("cam", "layer", refuses="Use `grad_cam`"),
    Builder("eigen_cam", "layer"),
    Builder("grad_cam_plus_plus", "layer", blank=TRANSFORMERS),
    Builder("gradient_x_input", "gradient"),
    Builder("guided_backprop", "gradient", refuses="Use `saliency`"),
    Builder("guided_grad_cam", "layer", refuses="Use `saliency`"),
    Builder("hires_cam", "layer", blank=TRANSFORMERS),
    Builder("integrated_gradients", "gradient", {"steps": 3}),
    Builder("layer_cam", "layer"),
    Builder("attention", "answer", kinds=(*FEWER, *TRANSFORMERS),
            refuses="`local_linear` or `occlusion`"),
    Builder("local_linear", "gradient", refuses="in which none was found"),
    Builder("rise", "answer", {"samples": 16, "grid": 3}),
    Builder("score_cam", "layer", blank=TRANSFORMERS),
    Builder("smooth_grad", "gradient", {"samples": 3}),
    Builder("xgrad_cam", "layer"),
]
EVERY = [
    pytest.param(b, kind, id=f"{b.name}-{name}", marks=[] if name in b.kinds else pytest.mark.slow)
    for b in BUILDERS for name, kind in KINDS.items()
]
BASE = [
    pytest.param(b, id=b.name, marks=pytest.mark.slow if JAX and b not in BUILDERS[:3] else [])
    for b in BUILDERS
]


def explain(explained, inputs):
    """Heatmaps, as a flat list."""
    return tree.flatten(run(explained, inputs)["heatmap"])


def assert_equal(actual, wanted, **tolerance):
    tree.assert_same_structure(actual, wanted)
    for a, w in zip(tree.flatten(actual), tree.flatten(wanted), strict=True):
        assert a.dtype == w.dtype and a.shape == w.shape
        np.testing.assert_allclose(a.astype("float32"), w.astype("float32"),
                                   **(tolerance or {"rtol": 1e-5, "atol": 1e-6} if JAX
                                      else tolerance or {"rtol": 0, "atol": 0}))


def scale(heatmap):
    return max(1.0, np.abs(heatmap).max())


@pytest.mark.parametrize("builder, kind", EVERY)
def test_output(builder, kind, record_property):
    """Contracts 1, 3, 7: structure, predictions, shapes, neighbors, finite float32."""
    if builder.reads == "layer" and isinstance(kind.cam, str):
        record_property("support", "refused")
        with pytest.raises(ValueError, match=kind.cam):
            builder(kind.model, **kind.options)
        return
    explained = builder(kind.model, **builder.options_for(kind))
    if builder.reads == "layer" and kind.layer:
        assert explained.explainer.layer_path == kind.layer
    inputs = kind.inputs(3)
    with silent_if(not kind.alive):
        answer = run(explained, inputs)
    # XLA rounds fused steps less.
    rounded = {"atol": 1e-2} if JAX and "bfloat16" in kind.name else {}
    assert_equal(answer["predictions"], run(kind.model, inputs), **rounded)
    check_heatmaps(answer["heatmap"], kind, kind.name in builder.blank)
    others = tree.map_structure(lambda a, b: np.concatenate([a[:1], b[1:]]), inputs,
                                kind.inputs(3, seed=2))
    if kind.alive:
        for one, two in zip(tree.flatten(answer["heatmap"]), explain(explained, others),
                            strict=True):
            np.testing.assert_allclose(one[0], two[0], atol=1e-5 * scale(one), rtol=0)


def check_heatmaps(heatmap, kind, blank=False):
    several = not isinstance(kind.heatmap, tuple)
    if several and isinstance(heatmap, (dict, list)):
        tree.assert_same_structure(heatmap, tree.map_structure_up_to(heatmap, lambda _: 0,
                                                                     kind.heatmap))
        shapes = [kind.heatmap[k] for k in heatmap] if isinstance(heatmap, dict) else kind.heatmap
    else:
        shapes = [kind.heatmap["picture"] if isinstance(kind.heatmap, dict) else
                  kind.heatmap[0] if several else kind.heatmap]
    for array, shape in zip(tree.flatten(heatmap), shapes, strict=True):
        assert array.dtype == "float32" and array.shape == (3, *shape)
        assert np.isfinite(array).all()
        assert blank or kind.alive == bool(np.ptp(array.reshape(3, -1), axis=1).all())


@contextlib.contextmanager
def silent_if(blank):
    with warnings.catch_warnings():
        if blank:
            warnings.simplefilter("ignore", kx.BlankHeatmapWarning)
        yield


@pytest.mark.parametrize("kind", ["functional"] if JAX else ["functional", "tokens",
                                                                "mixed_bfloat16"])
@pytest.mark.parametrize("builder", BASE)
def test_batch_size_changes_nothing(builder, kind):
    """Contract 3."""
    kind = KINDS[kind]
    if builder.reads == "layer" and isinstance(kind.cam, str):
        return
    explained = builder(kind.model, **builder.options_for(kind))
    inputs = kind.inputs(5)
    (five,) = explain(explained, inputs)
    for count in (1, 3):
        (some,) = explain(explained, inputs[:count])
        np.testing.assert_allclose(some, five[:count], atol=1e-5 * scale(five), rtol=0)


# The user's model -----------------------------------------------------------------------------


def everything(model):
    """What a user could notice to have changed."""
    flat = list(model._flatten_layers())
    return {
        "weights": [np.array(w) for w in model.get_weights()],
        "configuration": model.get_config(),
        "trainable": [x.trainable for x in flat],
        "nodes": [(len(x._inbound_nodes), len(x._outbound_nodes)) for x in flat],
        "attributes": [sorted(k for k in vars(x)) for x in flat],
        "state": [np.array(v) for x in flat for v in x.variables],
        "settings": [keras.config.floatx(), keras.config.epsilon(),
                     keras.config.image_data_format(), keras.config.dtype_policy().name],
    }


def draws():
    """Random numbers from every global source."""
    numbers = [random.random(), np.random.rand(), float(keras.random.uniform(()))]
    if keras.backend.backend() == "torch":
        import torch

        numbers.append(float(torch.rand(())))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        numbers.append(float(tf.random.uniform(())))
    return numbers


@pytest.mark.parametrize("kind", ["preprocessing_inside", "subclassed_traceable",
                                  "nested_two_levels", "subclassed_opaque"])
@pytest.mark.parametrize("builder", BASE)
def test_model_and_random_state_stay_as_they_are(builder, kind):
    """Contract 4."""
    kind = KINDS[kind]
    if builder.reads == "layer" and isinstance(kind.cam, str):
        return
    model, inputs = kind.model, kind.inputs(2)
    before = everything(model)
    keras.utils.set_random_seed(7)
    wanted = draws()
    keras.utils.set_random_seed(7)
    explained = builder(model, **kind.options)
    run(explained, inputs)
    explained.predict(inputs, verbose=0)
    assert draws() == wanted
    after = everything(model)
    for key in before:
        np.testing.assert_equal(after[key], before[key], err_msg=key)


@pytest.mark.parametrize("builder", BASE)
def test_follows_the_training_of_the_model(builder):
    """Contract 4: weights are shared."""
    model = alive(keras.Sequential([image(), *stack()]), None)
    inputs = KINDS["functional"].inputs(2)
    explained = builder(model, target=1)
    (before,) = explain(explained, inputs)
    alive(model, None, seed=5)
    (after,) = explain(explained, inputs)
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    np.testing.assert_array_equal(after, explain(builder(model, target=1), inputs)[0])


@pytest.mark.parametrize("builder", BASE)
def test_training_mode_explains_inference(builder):
    """Contract 5."""
    kind = KINDS["preprocessing_inside"]
    explained = builder(kind.model)
    inputs = kind.inputs(2)
    one, two = (explained(inputs, training=mode) for mode in (False, True))
    for a, b in zip(tree.flatten(one), tree.flatten(two), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


# Round trips ----------------------------------------------------------------------------------


SAVED = ("composite_layers", "detection", "inputs_dict", "shared_layer", "subclassed_traceable",
         "transformer_with_class_token")


@pytest.mark.parametrize("kind", SAVED[:2] if JAX else SAVED)
@pytest.mark.parametrize("builder", BASE)
def test_save_and_load(builder, kind, tmp_path):
    """Contract 9."""
    kind = KINDS[kind]
    explained = builder(kind.model, **builder.options_for(kind))
    inputs = kind.inputs(2)
    explained.save(tmp_path / "explained.keras")
    loaded = keras.models.load_model(tmp_path / "explained.keras")
    assert type(loaded) is type(explained)
    assert_equal(run(loaded, inputs), run(explained, inputs), atol=1e-5, rtol=1e-5)
    assert loaded.explainer.get_config().keys() == explained.explainer.get_config().keys()


@pytest.mark.parametrize("builder", BASE)
def test_target_as_an_input_survives_saving(builder, tmp_path):
    kind = KINDS["inputs_dict"]
    explained = builder(kind.model, target="input", **builder.options_for(kind))
    explained.save(tmp_path / "explained.keras")
    loaded = keras.models.load_model(tmp_path / "explained.keras")
    inputs = {**kind.inputs(2), "target": np.array([1, -1], "int32")}
    assert_equal(run(loaded, inputs), run(explained, inputs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("builder", BASE)
def test_copies(builder, copied):
    """Contract 9."""
    kind = KINDS["sequence"]
    explained = builder(kind.model)
    twin = copied(explained)
    assert twin.explainer.model is not kind.model
    inputs = kind.inputs(2)
    assert_equal(run(twin, inputs), run(explained, inputs), atol=1e-5, rtol=1e-5)


# Blank maps, memory ---------------------------------------------------------------------------


@pytest.mark.parametrize("builder", BASE)
def test_blank_maps_are_zeros_and_one_warning(builder):
    """Contract 6."""
    kind = KINDS["dead_layer"]
    explained = builder(kind.model)
    for call in (explained, explained.predict_on_batch, lambda x: explained.predict(x, verbose=0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            heatmap = call(kind.inputs(2))["heatmap"]
        assert not np.any(ops.convert_to_numpy(heatmap))
        caught = [str(w.message) for w in caught if w.category is kx.BlankHeatmapWarning]
        assert len(caught) == 1
        top = run(kind.model, kind.inputs(2)).argmax()
        words = [type(explained.explainer).__name__, f"top, [{top}]", "2 of 2"]
        for word in words + (["layer: 'dead'"] if builder.reads == "layer" else []):
            assert word in caught[0]


@keras.saving.register_keras_serializable("contract")
class Spy(layers.Layer):
    """Notes how many examples pass at once; windows of them by their area."""

    seen = []

    def call(self, x):
        rows, *space = x.shape[:3]
        Spy.seen.append(rows and rows * np.prod(space) / (HEIGHT * WIDTH))
        return x


@pytest.mark.parametrize("builder", [
    b for b in BASE if "batch_size" in inspect.signature(getattr(kx, b.values[0].name)).parameters])
def test_batch_size_bounds_the_memory_and_changes_nothing(builder):
    """Contract 8."""
    model = alive(keras.Sequential([image(), Spy(), *stack()]), None)
    inputs = KINDS["functional"].inputs(2)
    maps = []
    for batch_size in (2, 5, 64):
        explained = builder(model, batch_size=batch_size)
        explained(inputs)  # what is looked at once, with few rows, whatever the batch size
        Spy.seen.clear()
        maps.append(ops.convert_to_numpy(explained(inputs)["heatmap"]))
        assert Spy.seen and max(n for n in Spy.seen if n is not None) <= batch_size
    np.testing.assert_allclose(maps[0], maps[2], atol=1e-6)
    np.testing.assert_allclose(maps[1], maps[2], atol=1e-6)
