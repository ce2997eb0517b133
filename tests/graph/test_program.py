"""A model as a program: what is recorded, found, cut, and left alone."""

import keras
import numpy as np
import pytest
from keras import layers, ops, tree
from models import HEIGHT, KINDS, WIDTH, Block, alive, body, draw, head, image, policy, stack

from keras_explain.graph import tracing
from keras_explain.graph.endings import before_activation
from keras_explain.graph.feature_maps import find_last_maps
from keras_explain.graph.models import is_composite
from keras_explain.graph.program import Program, get_mask, set_mask, view


def numbers(x):
    return tree.map_structure(ops.convert_to_numpy, x)


def paths(program):
    return [c.path for c in program.calls]


def assert_equals_model(model, inputs):
    """The program gives exactly what the model gives."""
    _, program = Program.trace(model)
    actual, wanted = numbers(program(inputs)), numbers(model(inputs, training=False))
    for a, w in zip(tree.flatten(actual), tree.flatten(wanted), strict=True):
        np.testing.assert_array_equal(a, w)
    return program


# Private Keras API ----------------------------------------------------------------------------


class TestPrivateKerasAPI:
    """Each name that `graph` uses. If one fails, Keras has changed under it."""

    def test_functional(self):
        x = image()
        y = layers.Conv2D(2, 3)(x)
        model = keras.Model({"a": x}, [y])
        assert model._inputs_struct == {"a": x} and model._outputs_struct == [y]
        assert keras.Sequential([image(), *stack()])._functional.inputs

    def test_history_of_symbolic_tensors(self):
        x = keras.Input((3,))
        layer = layers.Dense(2)
        y = layer(x)
        operation, index, place = y._keras_history
        assert (operation, index, place) == (layer, 0, 0)
        node = layer._inbound_nodes[0]
        assert node.input_tensors == [x] and node.outputs == [y] and not node.is_input
        assert x._keras_history.operation._inbound_nodes[0].is_input
        assert x._keras_history.operation._outbound_nodes == [node]
        assert node.arguments.fill_in({id(x): "value"}) == (("value",), {})

    def test_layers(self):
        model = KINDS["subclassed_opaque"].model
        assert model._convert_input_args and model.autocast
        assert not KINDS["functional"].model._convert_input_args
        assert list(model._build_shapes_dict.values()) == [(1, HEIGHT, WIDTH, 3)]
        assert model._trainable_variables == [] and model._non_trainable_variables == []
        assert model.layers[0] in model._flatten_layers()
        assert layers.Masking()._set_mask_metadata

    def test_scope_that_holds_the_values_of_variables(self):
        find = keras.src.backend.common.stateless_scope.get_stateless_scope
        with keras.StatelessScope() as scope:
            assert find() is scope
        assert find() is None

    def test_masks(self):
        x = ops.ones((2, 3))
        assert get_mask(x) is None
        set_mask(x, ops.ones((2, 3), "bool"))
        assert get_mask(x).shape == (2, 3)


# Recording ------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("program")
class Residual(layers.Layer):
    """Whether tracing is right depends on what `call` does; each test gives its own."""

    def __init__(self, function, units=6, **options):
        super().__init__(**options)
        self.function = function
        self.inner = layers.Dense(units, name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.function(self, x)


def around(layer, shape=(5, 6)):
    x = image(*shape)
    return alive(keras.Model(x, layers.Dense(3)(layers.Flatten()(layer(x)))), draw(x, 8))


def test_operations_inside_a_layer_keep_their_names_over_traces():
    model = KINDS["composite_layers"].model
    first, second = (paths(Program.trace(model)[1]) for _ in range(2))
    assert first == second
    assert {"block2/conv", "block2/relu_1", "block2/concatenate_1"} <= set(first)


def test_layer_that_keeps_what_it_saw_is_left_as_it_was():
    def remember(layer, x):
        layer.seen = layer.inner(x)
        return layer.seen

    layer = Residual(remember)
    model = around(layer)
    del layer.seen
    assert "inner" in paths(Program.trace(model)[1])[0] and not hasattr(layer, "seen")
    model(draw((5, 6), 2))
    seen = layer.seen
    Program.trace(model)
    assert layer.seen is seen


def test_reshape_to_the_batch_size_works_for_any_batch():
    def tokens(layer, x):
        batch = ops.shape(x)[0]
        return ops.mean(ops.reshape(layer.inner(x), (batch, -1, 3)), axis=1)

    program = assert_equals_model(around(Residual(tokens)), draw((5, 6), 4))
    assert any(p.endswith("/inner") for p in paths(program))


def test_number_computed_from_weights_keeps_the_layer_closed():
    """Recorded as a constant it would not follow training."""

    def tied(layer, x):
        return ops.matmul(layer.inner(x), ops.transpose(layer.inner.kernel))

    model = around(Residual(tied))
    program = assert_equals_model(model, draw((5, 6), 2))
    assert not any(p.endswith("/inner") for p in paths(program))
    _, before = Program.trace(model)
    alive(model, None, seed=3)
    inputs = draw((5, 6), 2)
    np.testing.assert_array_equal(numbers(before(inputs)), numbers(model(inputs)))


def test_variable_as_an_argument_follows_training():
    def scaled(layer, x):
        return layer.inner(x) * layer.inner.bias

    model = around(Residual(scaled))
    _, before = Program.trace(model)
    assert any(p.endswith("/inner") for p in paths(before))
    alive(model, None, seed=3)
    inputs = draw((5, 6), 2)
    np.testing.assert_array_equal(numbers(before(inputs)), numbers(model(inputs)))


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_variable_as_an_argument_under_mixed_precision(name):
    def scaled(layer, x):
        return ops.matmul(layer.inner(x), layer.inner.kernel)

    with policy(name):
        model = around(Residual(scaled))
        x, kernel = image(6), keras.Variable(np.full((6, 3), 1 / 3), name="kernel")
        functional = keras.Model(x, ops.matmul(layers.Dense(6)(x), kernel))
    assert_equals_model(model, draw((5, 6), 2))
    assert_equals_model(alive(functional, None), draw((6,), 2))


def test_control_flow_on_numbers_keeps_the_layer_closed():
    def branch(layer, x):
        return layer.inner(x) if float(ops.sum(x)) > 0 else x

    x = image(5, 6)
    layer = Residual(branch)
    layer.build((None, 5, 6))
    closed = keras.Model(x, layers.Dense(2)(layers.Flatten()(x)))
    _, program = Program.trace(closed)
    assert tracing.Tracer().inside(layer, (program.inputs[0],), {}, "") is None


def test_a_layer_that_asks_what_another_left_out_stays_closed():
    """Inside of it symbols would stand for None: T5 of keras-hub gave more than it gives."""

    class Caching(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(6)

        def build(self, shape):
            self.inner.build(shape)

        def call(self, x, cache=None):
            return self.inner(x), cache

    def ask(layer, x):
        y, cache = layer.caching(x)
        return (layer.inner(y), y) if cache is None else (y, y, cache)

    layer, x = Residual(ask), image(5, 6)
    layer.caching = Caching()
    layer.caching.build((None, 5, 6))
    layer.build((None, 5, 6))
    model = alive(keras.Model(x, layers.Dense(2)(layers.Add()(layer(x)))), None)
    assert_equals_model(model, draw((5, 6), 3))


def test_random_state_of_the_model_does_not_move():
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.seed = layers.Dense(6), keras.random.SeedGenerator(1)

        def build(self, shape):
            self.inner.build(shape)

        def call(self, x, training=None):
            noise = keras.random.normal((6,), seed=self.seed)
            return self.inner(x) + (noise if training else 0)

    layer = Noisy()
    model = around(layer)
    state = numbers(layer.seed.state.value)
    Program.trace(model)
    np.testing.assert_array_equal(numbers(layer.seed.state.value), state)


def test_training_given_in_call_is_kept():
    """A layer that its author runs in training mode for ever answers so in the program."""

    class Always(layers.Layer):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization()

        def build(self, shape):
            self.norm.build(shape)

        def call(self, x):
            return self.norm(x, training=True)

    assert_equals_model(around(Always()), draw((5, 6), 4))


def test_names_of_opened_layers_are_as_a_user_would_write_them():
    program = Program.trace(KINDS["subclassed_traceable"].model)[1]
    assert {"conv1", "block", "block/conv", "conv2", "top"} <= set(paths(program))
    program = Program.trace(KINDS["nested_two_levels"].model)[1]
    assert {"middle", "middle/backbone", "middle/backbone/conv1"} <= set(paths(program))


def test_single_output_in_a_list_comes_back_alone():
    x = image(3)
    assert_equals_model(keras.Model(x, [layers.Dense(2)(x)]), draw((3,), 2))


def test_call_of_a_functional_subclass_is_respected():
    class Halved(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs, training=training) / 2

    x = image(3)
    assert_equals_model(Halved(x, layers.Dense(2)(x)), draw((3,), 2))


def test_subclassed_model_with_named_inputs():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(2, name="left"), layers.Dense(2, name="right")

        def call(self, inputs):
            return self.a(inputs["x"]) + self.b(inputs["y"])

    model = Two()
    inputs = {"x": draw((3,), 2), "y": draw((4,), 2)}
    model(inputs)
    struct, program = Program.trace(model)
    assert {name: v.spec.name for name, v in struct.items()} == {"x": "x", "y": "y"}
    assert {"left", "right"} <= set(paths(program))
    assert_equals_model(model, inputs)


def test_subclassed_model_over_tokens_takes_integers():
    class Text(keras.Model):
        def __init__(self):
            super().__init__()
            self.embed, self.top = layers.Embedding(20, 4), layers.Dense(2)

        def call(self, tokens):
            return self.top(ops.mean(self.embed(tokens), axis=1))

    model = Text()
    model(np.ones((1, 6), "int32"))
    struct, _ = Program.trace(model)
    assert struct.spec.dtype == "int32"


@pytest.mark.parametrize("name", ["float32", "mixed_float16"])
def test_inputs_of_nested_models_are_cast_as_keras_does(name):
    with policy(name):
        x, inner = image(dtype="uint8"), image(dtype="float64")
        model = alive(keras.Model(x, keras.Model(inner, head(body(inner)))(x)), draw(x, 8))
    assert_equals_model(model, draw(x, 3))


def test_subclassed_and_sequential_models_cast_their_inputs_as_keras_does():
    with policy("mixed_float16"):
        def model():
            return keras.Sequential([layers.Rescaling(1 / 3, 1.0, dtype="float32"), *stack()])

        class Wrapped(keras.Model):
            def __init__(self):
                super().__init__()
                self.inner = model()

            def call(self, x, training=None):
                return self.inner(x, training=training)

        inputs = draw((HEIGHT, WIDTH, 3), 3)
        for built in (model(), Wrapped()):
            built(inputs)
            assert "conv1" in " ".join(paths(assert_equals_model(alive(built, None), inputs)))


def test_masks_pass_as_keras_passes_them():
    """A nested model hands the mask of its input to an output that lost it."""
    inner = image(9, 6)
    lost = layers.Dense(6)(inner) + inner  # an operation drops the mask
    encoder = keras.Model(inner, lost, name="encoder")
    x = image(9, dtype="int32")
    y = encoder(layers.Embedding(20, 6, mask_zero=True)(x))
    y = Residual(lambda layer, x: layer.inner(x) + x)(y)
    y = layers.LSTM(5)(layers.Dense(6)(y))
    model = alive(keras.Model(x, layers.Dense(3)(y)), None)
    program = assert_equals_model(model, draw(x, 3))
    assert "encoder/dense" in " ".join(paths(program))


# Cutting --------------------------------------------------------------------------------------


def test_split_at_every_layer_gives_the_model_and_runs_nothing_twice():
    kind = KINDS["skip_around_the_layer"]
    _, program = Program.trace(kind.model)
    inputs = [ops.convert_to_tensor(kind.inputs(2))]
    wanted = numbers(program(inputs))
    for call in program.calls:
        stem, head = program.split(call.outputs)
        np.testing.assert_array_equal(numbers(head(stem(inputs))), wanted)
        assert len(stem.steps) + len(head.steps) == len(program.steps)
        assert not set(stem.steps) & set(head.steps)


def test_skip_connection_crosses_the_cut_as_a_value():
    _, program = Program.trace(KINDS["skip_around_the_layer"].model)
    stem, head = program.split(program.find("inner").outputs)
    assert stem.outputs == [*program.find("inner").outputs, *program.find("first").outputs]
    assert [s.path for s in head.steps][0] == "last"


def test_replace_exchanges_functions_and_leaves_the_model():
    model = KINDS["functional"].model
    _, program = Program.trace(model)
    zero = program.replace(lambda fn: ops.zeros_like if fn.name == "relu" else fn)
    inputs = KINDS["functional"].inputs(2)
    out = numbers(zero([ops.convert_to_tensor(inputs)]))
    np.testing.assert_array_equal(out[0], out[1])
    assert_equals_model(model, inputs)


# Finding --------------------------------------------------------------------------------------


def traced(name):
    return Program.trace(KINDS[name].model)[1]


def test_find_by_name_path_and_object():
    program = traced("nested_in_functional")
    conv = KINDS["nested_in_functional"].model.get_layer("backbone").get_layer("conv2")
    found = [program.find(x) for x in ("conv2", "backbone/conv2", conv)]
    assert {c.path for c in found} == {"backbone/conv2"}


def test_find_names_the_nearest_layers():
    with pytest.raises(ValueError, match=r"received 'covn2'.*'backbone/conv2'"):
        traced("nested_in_functional").find("covn2")


def test_find_asks_for_the_call_of_a_shared_layer():
    program = traced("shared_layer")
    with pytest.raises(ValueError, match="'twice' is called 2 times.*node_index=0 to 1"):
        program.find("twice")
    with pytest.raises(ValueError, match="`node_index` from 0 to 1.*received 2"):
        program.find("twice", 2)
    first, second = program.find("twice", 0), program.find("twice", 1)
    assert first.outputs[0] in program.producer(second.outputs[0]).reads


def test_calls_of_a_shared_layer_are_in_the_order_in_which_they_were_written():
    x, shared = image(6), layers.Dense(6, name="shared")
    first = shared(x)
    second = shared(layers.ReLU(name="between")(x))
    model = keras.Model(x, layers.Concatenate()([second, first]))
    _, program = Program.trace(model)
    assert program.producer(program.find("shared", 0).outputs[0]).reads == program.inputs


def test_find_refuses_an_ambiguous_name():
    x = image()
    parts = [keras.Model(x, layers.Conv2D(2, 3, name="conv")(x), name=name) for name in "ab"]
    x = image()
    model = keras.Model(x, layers.Add()([part(x) for part in parts]))
    with pytest.raises(ValueError, match=r"fits \['a/conv', 'b/conv'\]. Give the full path"):
        Program.trace(model)[1].find("conv")


def test_find_refuses_a_layer_that_the_score_does_not_depend_on():
    program = traced("outputs_list")
    with pytest.raises(ValueError, match="'age', which is disconnected"):
        program.with_outputs([program.outputs[1]]).find("age")


@pytest.mark.parametrize("name", ["conv", "frames/conv"])
def test_layer_inside_a_closed_layer_is_said_to_be_out_of_reach(name):
    x = image(4, 8, 8, 1)
    y = layers.TimeDistributed(layers.Conv2D(2, 3, name="conv"), name="frames")(
        layers.Masking()(x))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(y)))
    with pytest.raises(ValueError, match=r"inside 'frames' \(TimeDistributed\), one opaque step"):
        Program.trace(model)[1].find(name)


def test_convolution_after_pooling_is_not_the_last_feature_map():
    x = image()
    y = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 3, name="features")(x))
    y = layers.Flatten()(layers.Conv2D(5, 1, activation="softmax", name="classes")(y))
    (call,) = find_last_maps(Program.trace(keras.Model(x, y))[1])
    assert call.path == "features"


def test_opaque_layer_is_named_where_no_convolution_is_found():
    x = image(4, 8, 8, 1)
    inner = keras.Sequential([image(8, 8, 1), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()])
    y = layers.TimeDistributed(inner, name="frames")(layers.Masking()(x))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(y)))
    with pytest.raises(ValueError, match=r"'frames' \(TimeDistributed\), which cannot be looked"):
        find_last_maps(Program.trace(model)[1])


def test_patches_of_a_transformer_are_not_silently_the_last_feature_map():
    for name in ("transformer_with_class_token", "transformer_without_class_token"):
        with pytest.raises(ValueError, match=r"`reshape`.*'patches'.*at 'embed'"):
            find_last_maps(traced(name))


def test_last_tokens_asks_for_a_name_without_attention():
    with pytest.raises(ValueError, match="no attention layer of Keras"):
        traced("functional").last_tokens()


# Axes and activations -------------------------------------------------------------------------


def test_channel_axis_follows_what_layers_say():
    program = traced("channels_first")
    assert program.channel_axis(program.inputs[0]) == 1
    assert program.spatial_shape(program.find("conv2").outputs[0]) == (6, 4)
    program = traced("functional")
    assert program.channel_axis(program.inputs[0]) == 3


def test_channel_axis_follows_a_permutation():
    """A model fed as PyTorch would, that goes on as Keras does."""
    x = image(3, HEIGHT, WIDTH)
    model = keras.Model(x, head(body(layers.Permute((2, 3, 1))(layers.Rescaling(2.0)(x)))))
    _, program = Program.trace(model)
    assert program.channel_axis(program.inputs[0]) == 1
    assert program.channel_axis(program.find("conv2").outputs[0]) == 3
    x = image(3, HEIGHT, WIDTH)
    model = keras.Model(x, head(body(ops.transpose(x, (0, 2, 3, 1)))))
    _, program = Program.trace(model)
    assert program.channel_axis(program.inputs[0]) == 1


@pytest.mark.parametrize("name", [k for k in KINDS if k.startswith("softmax_as")] + ["functional"])
def test_score_before_the_softmax(name):
    _, program = Program.trace(KINDS[name].model)
    changed, raw, kind = before_activation(program, program.outputs)
    logits, answer = numbers(changed.with_outputs((raw, program.outputs))(
        [ops.convert_to_tensor(KINDS[name].inputs(2))]))
    assert kind == "softmax" and np.abs(logits.sum(axis=1) - 1).min() > 1e-3
    np.testing.assert_allclose(numbers(ops.softmax(logits)), answer, atol=1e-6)
    top = KINDS[name].model.get_layer("top")
    assert top.activation.__name__ == ("softmax" if name == "functional" else "linear")


@pytest.mark.parametrize("end", ["reshape", "float32", "log_softmax"])
def test_score_before_the_softmax_through_what_changes_no_number(end):
    x = image(6)
    if end == "log_softmax":
        y = layers.Activation("log_softmax")(layers.Dense(4, name="top")(x))
    else:
        y = layers.Dense(4, activation="softmax", name="top")(x)
        y = layers.Reshape((1, 4))(y) if end == "reshape" else layers.Activation(
            "linear", dtype="float32")(y)
    _, program = Program.trace(keras.Model(x, y))
    changed, raw, kind = before_activation(program, program.outputs)
    assert kind == "softmax" and raw.spec.shape == y.shape
    assert changed.producer(raw) is not program.producer(program.outputs)


def test_activation_inside_a_layer_of_the_user_is_not_taken_for_its_last():
    class Odd(layers.Dense):
        def call(self, x, training=None):
            return super().call(x, training=training) * 2

    x = image(6)
    _, program = Program.trace(keras.Model(x, Odd(3, activation="sigmoid")(x)))
    assert before_activation(program, program.outputs)[1:] == (program.outputs, None)


def test_softmax_over_space_is_no_class_probability():
    x = image(4, 6)
    _, program = Program.trace(keras.Model(x, layers.Softmax(axis=1)(layers.Dense(3)(x))))
    assert before_activation(program, program.outputs)[2] is None


def test_view_shares_variables_and_leaves_the_layer():
    layer = layers.Dense(2, activation="softmax")
    layer.build((None, 3))
    twin = view(layer, activation=keras.activations.linear)
    assert twin.kernel is layer.kernel and layer.activation is keras.activations.softmax


# Real architectures ---------------------------------------------------------------------------

LAST = {
    "VGG16": "block5_conv3",
    "ResNet50": "conv5_block3_out",
    "MobileNetV2": "out_relu",
    "EfficientNetV2B0": "top_activation",
    "DenseNet121": "relu",
    "ConvNeXtTiny": "add",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAST)
def test_last_feature_map_of_keras_applications(name):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(64, 64, 3), classes=10)
    (call,) = find_last_maps(Program.trace(model)[1])
    path = call.path
    assert path.rstrip("0123456789_") == LAST[name].rstrip("0123456789_") or path == LAST[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", LAST)
def test_keras_applications_under_every_base_method(name):
    import keras_explain as kx

    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(64, 64, 3), classes=10)
    inputs = draw((64, 64, 3), 4)
    if name != "VGG16":  # without normalization its softmax would saturate: a blank occlusion
        inputs = 255 * inputs
    alive(model, inputs)
    assert_equals_model(model, inputs[:2])
    for explained in (kx.grad_cam(model), kx.saliency(model),
                      kx.occlusion(model, patch_size=32, stride=32)):
        answer = numbers(explained(inputs[:2]))
        np.testing.assert_array_equal(answer["predictions"], numbers(model(inputs[:2])))
        assert np.isfinite(answer["heatmap"]).all() and np.ptp(answer["heatmap"]) > 0


def test_block_of_the_zoo_is_composite():
    assert is_composite(Block(name="b")) and not is_composite(layers.LSTM(2))
