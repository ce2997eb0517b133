"""What is no Keras model is refused by words that name the way to one."""

import keras
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.lime import LimeImageExplainer


def pretend(library, bases=(object,), **members):
    """An object of a class that says it is of another library."""
    return type("Net", bases, {"__module__": f"{library}.nn.modules", **members})()


@pytest.mark.parametrize(("model", "words"), [
    ("model.keras", r"received str\. Load it first"),
    ("", r"received str\. Load it first"),
    (layers.Dense(3), r"received Dense\. Put it into a model: `keras\.Sequential"),
    (pretend("tf_keras"), r"received tf_keras's Net\. .*model\.save\('model\.h5'\).*LIME with"),
    (pretend("torch"), r"received torch's Net\. .*KERAS_BACKEND=torch.*TorchModuleWrapper"),
    (pretend("flax"), r"received flax's Net\. .*KERAS_BACKEND=jax.*FlaxLayer"),
    (pretend("tensorflow"), r"received tensorflow's Net\. .*TFSMLayer\(path"),
    (pretend("other", predict_proba=lambda self, x: x), r"received Net\. Use LIME with its"),
    (lambda x: x, r"received function\. For another predictor use LIME"),
    (None, r"received NoneType\. For another"),
])
@pytest.mark.parametrize("builder", [kx.grad_cam, kx.occlusion, kx.saliency])
def test_the_way_to_a_model_is_named(builder, model, words):
    with pytest.raises(TypeError, match="Expected a `keras.Model`, " + words):
        builder(model)


def test_a_folder_is_a_saved_model(tmp_path):
    with pytest.raises(TypeError, match="received str. .*TFSMLayer"):
        kx.occlusion(str(tmp_path))
    with pytest.raises(TypeError, match="received .*Path. .*TFSMLayer"):
        kx.occlusion(tmp_path)


def test_a_class_of_ours_that_builds_on_theirs_is_known():
    theirs = type(pretend("torch"))
    with pytest.raises(TypeError, match="torch's Net.*TorchModuleWrapper"):
        kx.saliency(pretend("mine", (theirs,)))


def test_lime_does_not_call_a_module_of_pytorch():
    with pytest.raises(TypeError, match="function from NumPy arrays.*torch's Net.*wrap it"):
        LimeImageExplainer(pretend("torch", __call__=lambda self, x: x))
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)])
    assert LimeImageExplainer(model) is not None  # under PyTorch, each Keras model is a module
