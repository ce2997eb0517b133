"""One vocabulary: every public signature is typed, shown in full, and names a thing by one name."""

import dataclasses
import importlib
import inspect
import itertools
import re
import typing

import keras
import pytest

import keras_explain as kx
from keras_explain.explainers import METHODS
from keras_explain.signatures import ELSEWHERE

# Arguments that several functions share: what each is, and the defaults that it may have.
NEEDED = inspect.Parameter.empty
SHARED = {
    # who is asked, and about what
    "model": ("a Keras model, or what stands for one", {NEEDED}),
    "builder": ("from a model to an explained model", {NEEDED, None}),
    "explained": ("an explained model", {NEEDED, None}),
    "x": ("arrays as the model takes them", {NEEDED, None}),
    "data": ("any source of data", {NEEDED, None}),
    "y": ("true classes", {NEEDED, None}),
    "heatmaps": ("one or several heatmaps", {NEEDED, None}),
    "explanations": ("what LIME returned", {NEEDED}),
    # the question
    "target": ("what the model is asked", {None}),
    "output": ("name or index of an output", {None}),
    "input": ("name or index of an input", {None}),
    "score": ("logit, log-odds or probability", {"logit", "probability", None}),
    "layer": ("the feature map to read", {None}),
    "node_index": ("which call of a layer", {None}),
    "reshape": ("the grid of tokens", {None}),
    # how a heatmap comes out
    "normalize": ("raw numbers or a range", {None}),
    "resize": ("enlarge a map to the input's size", {True}),
    "signed": ("whether the sign is kept or meant", {False, None}),
    "channels": ("whether each channel gets a number", {None}),
    "top": ("how many of the best classes are asked for", {None}),
    # numbers of a method
    "baseline": ("what stands in for hidden parts", {None, "mean", ""}),
    "patch_size": ("side of what is hidden at once", {None, 1}),
    "samples": ("perturbed inputs", {2000, 1024, 1000, 250, 100, 32, 10}),
    "steps": ("points of an integral or a curve", {32, 50}),
    "seed": ("randomness", {0}),
    "batch_size": ("rows that a forward pass sees", {None, *range(1, 1025)}),
    "background": ("over how many examples is averaged", {None}),
    "verbose": ("whether progress is shown", {"auto", 0}),
    # names and pictures
    "class_names": ("names of classes", {None}),
    "feature_names": ("names of features", {None}),
    "rate": ("moments or frames in a second", {None, 5.0}),
    "preprocess": ("from what the user has to what the model takes", {None}),
    "unpreprocess": ("from what the model takes to pictures", {None}),
    "tokenizer": ("from text to ids", {None}),
    "image": ("one picture", {NEEDED}),
    "heatmap": ("one heatmap", {NEEDED, None}),
    "pictures": ("several pictures", {NEEDED}),
    "captions": ("a text for each picture", {None}),
    "alpha": ("weight of colors over a picture", {0.5, 0.6}),
    "cmap": ("a color map", {None}),
    "limits": ("values at both ends of the colors", {None}),
    "columns": ("pictures in a row", {10, None}),
    "title": ("of a figure", {None}),
    "k": ("how many of the best are listed", {5, 10, 15}),
    # callbacks
    "log_dir": ("TensorBoard's folder", {"logs"}),
    "every_n_epochs": ("how often is logged", {1, None}),
    "every_n_batches": ("how often is logged, in batches", {None}),
    "max_images": ("how many examples are shown", {8, 64}),
    "candidates": ("how many examples are looked through", {1000, 2000}),
    "metrics": ("metrics by name or function", {None, ("deletion", "insertion"),
                                                ("insertion", "deletion", "average_drop",
                                                 "sparseness")}),
    "methods": ("methods by name", {None, ("grad_cam", "saliency", "occlusion")}),
    "name": ("of a series or layer", {NEEDED, None, "lime", "coefficients", "errors"}),
    "path": ("a file or folder", {NEEDED, None}),
    "regions": ("where the object is", {NEEDED, None}),
    "shape": ("of one input", {None}),
}
# What one function, or one family, takes besides.
OWN = {
    "occlusion": {"stride", "engine", "precision", "search"},
    "Reasons": {"row"}, "rise": {"grid", "probability", "estimator", "sampling"},
    "smooth_grad": {"noise", "form"},
    "integrated_gradients": {"method"},
    "score_cam": {"channels"}, "series": {"times"},
    "keep": {"waveform", "top"}, "write_wav": {"waveform"},
    "finite_differences": {"epsilon", "channel_axis"},
    "export": {"signatures", "image_options", "format", "versioned", "overwrite"},
    "SavedExplainer": {"signature", "outputs", "columns"},
    "compare": {"confidence"}, "audit": {"method"}, "Audit": {"notes"},
    "find_wrong_labels": {"checkpoints"},
    "influence": {"checkpoints", "method", "penalty"}, "concepts": {"found"},
    "craft": {"count", "crops"}, "Concepts": {"concept", "rows"},
    "tcav": {"examples", "random", "repeats"},
    "sensitivity_n": {"share"}, "infidelity": {"scale"}, "max_sensitivity": {"radius"},
    "pointing_game": {"tolerance"}, "fidelity": {"held_out"},
    "weight_randomization": {"mode", "stages", "weights"}, "label_randomization": {"fit"},
    "Evaluator": {"plan", "values", "request"}, "Metric": {"evaluator"},
    "explain_errors": {"predicted"}, "ErrorAnalysis": {"digits"},
    "agreement": {"gradient", "agreement"}, "MeanGradient": {"points"},
    "Agreement": {"scores"}, "ranking": {"gradient"}, "coefficient_maps": {"source", "rows"},
    "comparison": {"predictions", "disagreement"}, "confusion_matrix": {"analyses"},
    "gallery": {"colors"}, "error_gallery": {"analysis", "rows"},
    "filmstrip": {"frames", "min_side", "max_side", "gap"}, "caption": {"text"},
    "write_gif": {"frames"},
    "LimeImageExplainer": {"segments", "precision"},
    "LimeTextExplainer": {"words", "split"}, "LimeSeriesExplainer": {"segments", "domain"},
    "LimeExplainer": {"sampler", "kernel", "surrogate", "tolerance", "num_features"},
    "submodular_pick": {"num_features", "budget", "vocabulary"},
    "Surrogate": {"problem"}, "Exponential": {"changes"}, "Explanation": {"sign", "text"},
    "Predictor": {"batch", "scores", "binary", "pad_to", "executor", "count", "sample", "compose",
                  "may_be_undefined"},
    "Table": {"names", "exact", "bins", "categorical", "row", "part", "values", "groups"},
    **{name: {"contributions", "row", "column", "color"} for name in (
        "beeswarm", "dependence", "waterfall")}, "effects": {"found"}, "importance": {"found"},
    "Contributions": {"column"}, "accumulated_effects": {"column", "bins"},
    "permutation_importance": {"loss", "repeats"},
    "counterfactuals": {"count", "frozen", "increasing", "decreasing"},
    "Vocabulary": {"subjects"}, "split_words": {"text"},
    "felzenszwalb": {"min_size", "sigma", "scale"}, "grid": {"num_segments"},
    "lsc": {"compactness", "num_segments"}, "slic": {"compactness", "num_segments"},
    "quickshift": {"max_dist", "kernel_size", "ratio"}, "seeds": {"num_segments"},
    "segment": {"method"}, "TextScores": {"color"}, "WordScores": {"color", "row"},
    "Token": {"outputs", "asked", "specs", "values", "real", "moves"},
    "Region": {"outputs", "asked", "specs", "values", "where", "id", "scores"},
    "Difference": {"outputs", "asked", "specs", "values", "a", "b"},
    "Neuron": {"outputs", "asked", "specs", "values", "channel", "place"},
    "Similarity": {"outputs", "asked", "specs", "values", "reference", "measure"},
    "Box": {"outputs", "asked", "specs", "values", "box", "id", "boxes", "scores", "format",
            "activation", "decode", "score"},
    "show": {"texts"}, "leave_one_out": {"texts"}, "top_expressions": {"width", "texts"},
    "LimeCallback": {"explainer"}, "ExplanationCallback": {"pick"},
    "CoefficientCallback": {"step"}, "ErrorAnalysisCallback": {"step"},
    "Explainer": {"dtype", "trainable", "default", "values", "request", "chosen"},
    "ModifiedGradient": {"activation", "step"},
    "FeatureMap": {"value", "row", "values", "group", "outside", "request"},
    "CAM": {"features", "gradients", "group", "values", "request"}, "fade": {"disagreement"},
}
FAMILIES = {"GradCAMCallback": ("ExplanationCallback",), "SaliencyCallback": (
    "ExplanationCallback",), "OcclusionCallback": ("ExplanationCallback", "occlusion"),
    "LimeCallback": ("LimeCallback", "LimeExplainer", "ExplanationCallback"),
    **{name: (name, "LimeExplainer") for name in (
        "LimeImageExplainer", "LimeTextExplainer", "LimeTabularExplainer", "LimeSeriesExplainer")},
    **{name: ("Surrogate",) for name in (
        "DecisionTree", "ForwardSelection", "HighestWeights", "KLasso", "Ridge")},
    "ModifiedGradient": ("ModifiedGradient", "Explainer"),
    "FeatureMap": ("FeatureMap", "Explainer"), "CAM": ("CAM", "FeatureMap", "Explainer")}
# Shared arguments come in this order, whatever stands between them.
ORDERS = (
    ("model", "x", "target"), ("model", "heatmaps", "target"), ("x", "y"), ("data", "y"),
    ("target", "output", "input", "score"), ("seed", "batch_size", "verbose"),
    ("samples", "batch_size"), ("log_dir", "every_n_epochs", "every_n_batches", "max_images"),
    ("alpha", "title"), ("layer", "node_index", "reshape", "resize"),
)


def members(module):
    return getattr(module, "__all__", None) or [n for n in dir(module) if n[0] != "_"]


def public():
    """Each public function, class and method: a label, the name of its owner, and itself."""
    modules = [kx, *[importlib.import_module(f"keras_explain.{name}") for name in (
        *[n for n in kx.__all__ if inspect.ismodule(getattr(kx, n))], "explainers")]]
    seen = set()
    for module, name in ((m, n) for m in modules for n in members(m)):
        found = getattr(module, name)
        made = getattr(found, "__module__", "")
        if id(found) in seen or not made.startswith("keras_explain.") or not callable(found) \
                or inspect.ismodule(found):
            continue
        seen.add(id(found))
        label = f"{module.__name__.removeprefix('keras_explain')}.{name}".strip(".")
        if not inspect.isclass(found):
            yield pytest.param(name, found, id=label)
            continue
        if not issubclass(found, (tuple, Exception)) and not dataclasses.is_dataclass(found):
            yield pytest.param(name, found.__init__, id=label)
        for method, function in vars(found).items():
            of_keras = any(hasattr(base, method) for base in (
                keras.layers.Layer, keras.callbacks.Callback)) and issubclass(
                found, (keras.layers.Layer, keras.callbacks.Callback))
            if of_keras or method[0] == "_" and method != "__call__":
                continue
            function = getattr(function, "__func__", getattr(function, "fget", function))
            if inspect.isfunction(function):
                yield pytest.param(name, function, id=f"{label}.{method}")


PUBLIC = list(public())


def parameters(function):
    return [p for p in inspect.signature(function).parameters.values()
            if p.name not in ("self", "cls")]


def test_there_is_something_to_look_at():
    labels = {p.id for p in PUBLIC}
    assert len(labels) > 100
    assert {"grad_cam", "compare", "export", "SavedExplainer", "callbacks.CoefficientCallback",
            "metrics.deletion", "metrics.Evaluator.of", "linear.MeanGradient.top",
            "error_analysis.ErrorAnalysis.report", "images.overlay", "plots.ranking",
            "explainers.CAM.combine"} <= labels


@pytest.mark.parametrize("owner, function", PUBLIC)
def test_is_typed_and_documented(owner, function):
    for parameter in parameters(function):
        assert parameter.annotation is not parameter.empty, parameter
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    typing.get_type_hints(inspect.unwrap(function), vars(importlib.import_module(
        inspect.unwrap(function).__module__)) | _type_checking_names())
    method = function.__name__ not in (owner, "__init__")
    inherited = owner in ("CAM", "FeatureMap", "ModifiedGradient")  # see `Explainer`
    assert function.__doc__ or not method or inherited
    if not method and not inherited:
        said = f"{function.__doc__}\n{getattr(_class_of(function), '__doc__', '')}"
        listed = set(re.findall(r"\w+", " ".join(re.findall(r"^ +\*?([\w, ]+):", said, re.M))))
        assert {p.name for p in parameters(function)} <= listed


def _class_of(function):
    module = inspect.getmodule(inspect.unwrap(function))
    return getattr(module, function.__qualname__.split(".")[0])


def _type_checking_names():
    import matplotlib.figure

    return {"matplotlib": matplotlib, "Figure": matplotlib.figure.Figure}


@pytest.mark.parametrize("owner, function", PUBLIC)
def test_shows_all_of_its_arguments(owner, function):
    kinds = {p.kind for p in parameters(function)}
    assert inspect.Parameter.VAR_KEYWORD not in kinds or function.__name__ == "variant"
    assert inspect.Parameter.VAR_POSITIONAL not in kinds or function.__name__ == "logged"


@pytest.mark.parametrize("owner, function", PUBLIC)
def test_names_and_defaults(owner, function):
    own = set().union(*(OWN.get(name, set()) for name in FAMILIES.get(owner, (owner,))))
    for parameter in parameters(function):
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in own:
            continue
        assert name not in ELSEWHERE, f"{name} is called {ELSEWHERE[name]} here"
        assert name in SHARED, f"{name} is no word of the vocabulary"
        meaning, defaults = SHARED[name]
        assert parameter.default in defaults or parameter.default is NEEDED, (
            f"{name} ({meaning}): {parameter.default!r}")


@pytest.mark.parametrize("owner, function", PUBLIC)
def test_shared_arguments_come_in_one_order(owner, function):
    names = [p.name for p in parameters(function)]
    for order in ORDERS:
        there = [name for name in order if name in names]
        for one, two in itertools.pairwise(there):
            assert names.index(one) < names.index(two), f"{one} comes before {two}"


@pytest.mark.parametrize("owner, function", PUBLIC)
def test_what_says_how_is_named(owner, function):
    """What is asked about goes without a name, in a builder the model alone; the rest is named."""
    positional = [p.name for p in parameters(function)
                  if p.kind is p.POSITIONAL_OR_KEYWORD]
    if owner in METHODS:
        assert positional == ["model"]
    always_named = {"output", "input", "seed", "batch_size", "verbose", "title", "alpha", "signed",
                    "log_dir", "every_n_epochs", "baseline", "steps", "samples",
                    "layer", "resize", "normalize", "feature_names"}
    if owner == "Neuron":  # which is asked about a layer
        always_named -= {"layer"}
    assert not always_named & set(positional)
    # What a metric is called with, not what users call; and what is asked of an answer.
    assert owner in ("Metric", "Explanation", "Predictor") or "target" not in positional


def test_every_word_of_the_vocabulary_is_used():
    used = {p.name for item in PUBLIC for p in parameters(item.values[1])}
    assert set(SHARED) | set().union(*OWN.values()) <= used
