"""What is public in LIME, superpixels and texts is typed, documented and in the common words."""

import importlib
import inspect
import pkgutil

import pytest

from keras_explain import lime, superpixels, text

OLD = {"classes", "num_samples", "fill", "encode", "replacement", "label", "image", "row"}


def modules():
    for package in (lime, superpixels, text):
        for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            yield importlib.import_module(found.name)


def functions():
    """Every public function and method, by its whole name."""
    for module in modules():
        if module.__name__.rpartition(".")[2].startswith("_"):
            continue
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") != module.__name__ or name.startswith("_"):
                continue
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    function = getattr(function, "__func__", getattr(function, "fget", function))
                    if inspect.isfunction(function) and (
                            method in ("__init__", "__call__") or not method.startswith("_")):
                        if function.__module__ == module.__name__:
                            yield f"{module.__name__}.{name}.{method}", function


@pytest.mark.parametrize("name, function", functions(), ids=lambda v: v if type(v) is str else "")
def test_public_functions_are_typed_and_documented(name, function):
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values()
            if p.annotation is p.empty and p.name not in ("self", "cls")]
    assert not bare and signature.return_annotation is not signature.empty
    assert function.__doc__ or name.endswith("__init__")


@pytest.mark.parametrize("explainer", [
    lime.LimeImageExplainer, lime.LimeTextExplainer, lime.LimeTabularExplainer,
    lime.LimeSeriesExplainer])
def test_explainers_speak_the_common_words(explainer):
    made, asked = inspect.signature(explainer).parameters, inspect.signature(
        explainer.explain).parameters
    assert not OLD & {*made, *asked}
    assert list(asked) == ["self", "x", "samples", "num_features", "seed", "tolerance", "verbose",
                           "target", "top"]
    positional = [p.name for p in made.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional[0] == "model" and set(positional) <= {"model", "data"}
    for parameters, words in ((made, explainer.__doc__), (asked, explainer.explain.__doc__)):
        for name in set(parameters) - {"self"}:
            assert f"{name}: " in words
