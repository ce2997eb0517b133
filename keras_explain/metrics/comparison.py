"""Which method can be trusted on this model and these images? One table."""

import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_explain.checks import nearest
from keras_explain.data.predicting import predict
from keras_explain.engine.resizing import resize
from keras_explain.explainers import METHODS as BUILDERS
from keras_explain.explainers._choice import choose_cam, choose_for_tokens, name_of, takes_tokens
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Baseline, Target
from keras_explain.graph import targets
from keras_explain.metrics import registry
from keras_explain.metrics._comparison_table import Comparison
from keras_explain.metrics._known import Known
from keras_explain.metrics._requests import add_classes, take_classes
from keras_explain.metrics.evaluator import Evaluator
from keras_explain.progress import Progress, Verbose
from keras_explain.signatures import Array, Inputs

METHODS = ("saliency", "occlusion")
METRICS = ("insertion", "deletion", "average_drop", "sparseness")


def compare(
    model: keras.Model, x: Inputs,
    methods: Sequence[Any] | Mapping[str, Any] | None = None,
    metrics: Sequence[str | Callable[..., Any]] = METRICS, *, target: Target = None,
    output: str | int | None = None, input: str | int | None = None,
    baseline: Baseline = None, regions: Array | None = None, confidence: float = 0.95,
    seed: int = 0, batch_size: int = 64, verbose: Verbose = "auto",
) -> Comparison:
    """Score methods by metrics on the user's own model and data.

    Three baselines that know nothing of the model always take part: a method that does not beat
    them on these images has shown nothing. Their names are in `Comparison.baselines`.

    - `random_pixels`: independent noise;
    - `random_patches`: smooth noise, as coarse as a CAM. Where noise per pixel does well on
      deletion (scattered holes destroy a prediction), this one is the fair opponent;
    - `center_gaussian`: photographs have their object in the middle.

    A second comparison of the same model and data reads what the first found of the baselines.

    Args:
        model: a built `keras.Model`.
        x: inputs as the model takes them, N examples.
        methods: names of builders ("grad_cam"), builders (with options: `functools.partial`),
            explained models, LIME explainers, arrays of heatmaps; a list, or a dict by name. None:
            grad_cam (hires_cam where the model does not average its last feature map), saliency
            and occlusion; of tokens local_linear or integrated_gradients, and occlusion.
        metrics: names or functions of `keras_explain.metrics` (with options:
            `functools.partial`).
        target: None: each example's own top class; a class; one class per example; a callable.
        output, input: name or index, for models with several.
        baseline: what methods and metrics that hide put in the place, unless they are told
            otherwise; tables need one, see `deletion`.
        regions: where the object is, for the pointing games.
        confidence: of the bootstrap intervals.
        seed: of baselines, LIME and bootstrap.
        batch_size: forward passes at a time. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: an unknown method or metric (the nearest names are listed), a metric that
            needs `regions` without them; data that do not fit.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
        >>> table = compare(model, np.random.rand(3, 16, 16, 3), ["grad_cam"], ["sparseness"])
        >>> table.methods
        ['grad_cam', 'random_pixels', 'random_patches', 'center_gaussian']
    """
    metrics = {m.name: m for m in map(registry.find, metrics)}
    for metric in metrics.values():
        if metric.reads == "regions" and regions is None:
            raise ValueError(
                f"Expected `regions`, because the metric {metric.name!r} compares heatmaps with"
                " them, received None. Pass boxes or masks."
            )
    options = {k: v for k, v in (("output", output), ("input", input)) if v is not None}
    methods = name_methods(_default_methods(model, target, options) if methods is None else methods)
    evaluator = Evaluator(model, target=target, batch_size=batch_size, verbose=0,
                          baseline=baseline, **options)
    classes = evaluator.classes(x)
    request = None if callable(target) else classes
    shape = evaluator.map_shape(x)
    uninformed = baselines(shape, seed)
    methods |= uninformed
    known = Known(evaluator, x, target if callable(target) else classes, baseline, options, seed)
    progress = Progress(len(methods), "comparing", verbose)
    scores, seconds, heatmaps, disagreement = {}, {}, {}, {}
    for name, method in methods.items():
        start = time.perf_counter()
        if callable(method) and not isinstance(method, ExplainedModel):
            given = {"baseline": baseline} if _may_be_given(method, baseline) else {}
            method = method(model, target=target if callable(target) else targets.INPUT,
                            **options, **given)
        if isinstance(method, ExplainedModel):
            method = take_classes(method)
        maps, spread = _heatmaps(method, x, classes, batch_size, seed)
        disagreement |= {} if spread is None else {name: spread}
        heatmaps[name], seconds[name] = maps, (time.perf_counter() - start) / len(maps)
        scores[name] = {}
        for metric in metrics.values():
            score = functools.partial(
                _score, metric, evaluator, x, maps, request, regions, method, classes)
            is_known = name in uninformed and metric.reads == "model"
            scores[name][metric.name] = (
                known.recall(score, name, *_parts(metric)) if is_known else score())
        progress.advance()
    progress.close()
    return Comparison(scores, {m.name: m.best for m in metrics.values()},
                      tuple(uninformed), seconds, heatmaps, x, classes, confidence,
                      seed, disagreement)


def _parts(metric):
    """The name of a metric and the options that it is given."""
    function = metric.function
    return metric.name, getattr(function, "args", ()), getattr(function, "keywords", {})


def _default_methods(model, target, options):
    """METHODS, and the class activation map that suits the model, if it has feature maps."""
    target = target if callable(target) else None
    if takes_tokens(model, target=target, output=options.get("output")):
        return [name_of(choose_for_tokens(model, target=target, **options)), "occlusion"]
    try:
        return [name_of(choose_cam(model, target=target, **options)), *METHODS]
    except ValueError:
        return METHODS


def baselines(shape, seed=0):
    """Heatmaps (N, ...) that know nothing of the model, by name."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((shape[0], *[min(7, n) for n in shape[1:]])).astype("float32")
    far = sum(((np.arange(n) + 0.5) / n - 0.5).reshape([-1 if a == axis else 1
              for a in range(len(shape) - 1)]) ** 2 for axis, n in enumerate(shape[1:]))
    return {
        "random_pixels": rng.random(shape).astype("float32"),
        "random_patches": _smooth(coarse, shape[1:]),
        "center_gaussian": np.broadcast_to(np.exp(-far / (2 * 0.25**2)), shape).astype("float32"),
    }


def _smooth(coarse, sizes):
    return keras.ops.convert_to_numpy(resize(keras.ops.convert_to_tensor(coarse), sizes))


def name_methods(methods):
    """Methods as a dict by name; names of builders are looked up.

    Raises:
        ValueError: an unknown name, two methods of one name.
    """
    import keras_explain

    if not isinstance(methods, dict):
        pairs = [(_name(m, i), m) for i, m in enumerate(methods)]
        methods = dict(pairs)
        if len(methods) < len(pairs):
            raise ValueError(
                f"Expected methods of different names, received {[n for n, _ in pairs]}. Pass a"
                " dict by name."
            )
    found = {}
    for name, method in methods.items():
        if isinstance(method, str):
            if method not in BUILDERS:
                near = nearest(method, BUILDERS) or sorted(BUILDERS)
                raise ValueError(
                    f"Expected the name of a method, received {method!r}. Did you mean one of"
                    f" {near}?"
                )
            method = getattr(keras_explain, method)
        found[name] = method
    return found


def _name(method, index):
    if isinstance(method, str):
        return method
    if isinstance(method, ExplainedModel):
        return method.name
    if isinstance(method, functools.partial):
        method = method.func
    return getattr(method, "__name__", None) or f"{type(method).__name__}_{index}"


def _may_be_given(method, baseline):
    """Whether a builder takes a baseline, and was not told one."""
    if baseline is None or "baseline" in getattr(method, "keywords", {}):
        return False
    return "baseline" in inspect.signature(method).parameters


def _heatmaps(method, data, classes, batch_size, seed):
    """The heatmaps of a method, and the spread between its fills if it has several."""
    spread = None
    if isinstance(method, ExplainedModel):
        answer = predict(method, add_classes(method, data, classes), batch_size)
        maps, spread = answer["heatmap"], answer.get("disagreement")
    elif hasattr(method, "explain"):
        maps = np.stack([
            method.explain(example, target=int(c), seed=seed, verbose=0).heatmap(int(c))
            for example, c in zip(data, classes, strict=True)])
    else:
        maps = np.asarray(method, "float32")
    if not isinstance(maps, np.ndarray):
        raise ValueError(
            "Expected one heatmap per example, received several (the model has several inputs)."
            " Name one with `input=`."
        )
    return maps, spread


def _score(metric, evaluator, data, maps, request, regions, method, classes):
    if metric.reads == "method":
        if not isinstance(method, ExplainedModel):
            return np.full(len(maps), np.nan)
        data = add_classes(method, data, classes)
    return np.asarray(
        metric(evaluator, data, maps, request, regions=regions, explained=method), "float64")
