"""What notebooks and debuggers show of results: short and telling, never pages of numbers."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx

X = np.random.default_rng(0).random((3, 16, 16, 3), dtype="float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((16, 16, 3)), layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")], name="net")


def test_explained_models(model):
    assert repr(kx.grad_cam(model)) == "<GradCAM of 'net', layer 'conv'>"
    assert repr(kx.saliency(model)) == "<Saliency of 'net'>"


def test_comparisons(model):
    table = kx.compare(model, X, ["grad_cam"], ["deletion"], verbose=0)
    assert repr(table) == "<Comparison of grad_cam by deletion on 3 inputs>"
    assert str(table) == table._repr_markdown_() == table.to_markdown()


def test_randomizations(model):
    found = kx.metrics.weight_randomization(kx.saliency, model, X, verbose=0)
    assert repr(found).startswith("<Randomization, cascading: ")
    assert f"{found.survives:.2f}" in repr(found)


def test_picks(model):
    explain = kx.LimeImageExplainer(model, segments="grid").explain
    pick = kx.submodular_pick([explain(x, samples=20, verbose=0) for x in X], 2)
    assert repr(pick) == (f"<Pick of {list(pick.indices)}, which cover"
                          f" {pick.covered[-1]:.0%} of importance>")
