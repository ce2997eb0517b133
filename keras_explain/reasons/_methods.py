"""Two methods that suit a model: one that measurements favor, one that works differently."""

import dataclasses
import functools
from typing import Any

import numpy as np

from keras_explain.explainers._choice import choose_cam, name_of
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers.integrated_gradients import integrated_gradients
from keras_explain.explainers.local_linear import local_linear
from keras_explain.explainers.occlusion import occlusion
from keras_explain.graph.axes import space_axes
from keras_explain.graph.order import are_columns
from keras_explain.graph.question import Question
from keras_explain.graph.tokens import explainable_inputs, is_tokens
from keras_explain.metrics.evaluator import Evaluator

# Why a method comes first, from benchmarks that everybody can run.
WHY = {
    "image": "It measures: hide a patch, ask again. On photographs it kept the answer with fewer"
             " pixels than Grad-CAM (docs/comparison.md).",
    "text": "Its contributions add up to the score, and words taken out in its order cost the"
            " answer as much as in that of leaving each word out (docs/methods/local_linear.md).",
    "series": "It measures: hide some moments of a channel, ask again. It finds planted cues in"
              " every channel (docs/series.md).",
    "table": "Its contributions add up to the difference from your data's mean answer"
             " (docs/tables.md).",
}
OTHERWISE = "The method that suits this kind of input best is not made for this model."


@dataclasses.dataclass(frozen=True)
class Choice:
    """Two explained models, by kind of input.

    Args:
        kind: "image", "text", "series" or "table".
        first, second: explained models; the second may be missing.
        why: what speaks for the first.
        refused: {method: the reason why it could not be taken}.
        baseline: what stands in for what is hidden, as given.
    """

    kind: str
    first: ExplainedModel
    second: ExplainedModel | None
    why: str
    refused: dict[str, str]
    baseline: Any = None

    @functools.cached_property
    def evaluator(self):
        """What measures orders of the first method, with one graph for all inputs."""
        nothing = self.kind == "text" and self.baseline is None
        return Evaluator(self.first, baseline="zero" if nothing else self.baseline, verbose=0)

    @property
    def names(self):
        """Of the methods."""
        return [name_of(m) for m in (self.first, self.second) if m is not None]


def choose(model, baseline, options):
    """The `Choice` for a model.

    Args:
        model: a `keras.Model`.
        baseline: as for `explain`.
        options: `target`, `output` and `input`, as given.

    Raises:
        ValueError: inputs of several kinds, or no method that suits.
    """
    question = Question(model, **options)
    kind, value = _find_kind(question)
    refused, made = {}, []
    for name, build, given in _list_builders(kind, value, question.program, baseline):
        if len(made) == 2:
            break
        try:
            made.append(build(model, **options, **given))
        except ValueError as error:
            refused[name] = str(error)
    if not made:
        raise ValueError(
            f"Expected a model that can be explained, received {model.name!r}, for which every"
            f" method says no: {next(iter(refused.values()))} Use LIME, which needs scores alone.")
    wanted = "local_linear" if kind == "text" else next(
        name for name, *_ in _list_builders(kind, value, question.program, baseline))
    first, second = made[0], made[1] if len(made) > 1 else None
    return Choice(kind, first, second, WHY[kind] if name_of(first) == wanted else OTHERWISE,
                  refused, baseline)


def _find_kind(question):
    """What the explained inputs are, and one of them."""
    program = question.program
    values = question.choose_inputs(()).explained or tuple(explainable_inputs(program))
    kinds = {v: _kind_of(program, v) for v in values}
    if not kinds:
        raise ValueError(
            f"Expected an input that can be explained, received {question.model.name!r}, which"
            " has none. Name one with `input=`.")
    found = set(kinds.values())
    if len(found) > 1 or (len(kinds) > 1 and found != {"table"}):
        raise ValueError(
            "Expected one input to explain, received a model with"
            f" {[v.spec.name for v in values]} ({', '.join(sorted(found))}). Name one of them with"
            " `input=`.")
    return found.pop(), values[0]


def _kind_of(program, value):
    if is_tokens(program, value):
        return "text"
    if are_columns(program, value):
        return "table"
    if value.spec.dtype == "string":
        return "text"
    return "image" if len(space_axes(program, value)) > 1 else "series"


def _list_builders(kind, value, program, baseline):
    """(name, builder, options), the best first."""
    fill = {} if baseline is None else {"baseline": baseline}
    if kind == "text":
        return [("local_linear", local_linear, {}), ("occlusion", occlusion, fill),
                ("integrated_gradients", integrated_gradients, fill)]
    if kind == "table":
        return [("integrated_gradients", integrated_gradients, fill),
                ("occlusion", occlusion, fill)]
    sizes = [value.spec.shape[a] for a in space_axes(program, value)]
    side = {} if None in sizes else {"patch_size": max(1, round(np.min(sizes) / 8)),
                                     "stride": max(1, round(np.min(sizes) / 16))}
    if kind == "series":
        kept = {"channels": "keep"} if len(value.spec.shape) == 3 and value.spec.shape[-1] != 1 \
            else {}
        return [("occlusion", occlusion, {**fill, **side, **kept}),
                ("integrated_gradients", integrated_gradients, {**fill, **kept}),
                ("local_linear", local_linear, kept)]
    return [("occlusion", occlusion, {**fill, **side}), ("cam", choose_cam, {}),
            ("local_linear", local_linear, {}),
            ("integrated_gradients", integrated_gradients, fill)]
