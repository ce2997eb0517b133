"""Gradients whose way back through the activations is changed by a rule."""

from typing import Any, Unpack

import keras

from keras_explain.checks import check_bool
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._options import InputLayerOptions
from keras_explain.explainers.saliency import maps_of
from keras_explain.graph import steps as kinds
from keras_explain.graph.models import inner_layers
from keras_explain.graph.program import get_mask, set_mask, view
from keras_explain.signatures import spell_out


class ModifiedGradient(Explainer):
    """Abstract: a subclass gives `change(activation)`, the function to use in its place.

    `change` is asked of each step and of each layer's activation, and returns what it was given
    where it has nothing to change. What it returns has to give the same values: predictions are
    the model's own, and only the gradient differs (`keras.ops.custom_gradient`).

    Args:
        model: a built `keras.Model`. It is shared, never changed.
        signed: True keeps the sign, summed over the channels; else the largest magnitude.
        **options: `target`, `score` and the other options of `Explainer`.

    Raises:
        ValueError: the rule changes nothing in this model, or something in it is out of reach.
    """

    @spell_out(Explainer)
    def __init__(
        self, model: keras.Model, *, signed: bool = False, **options: Unpack[InputLayerOptions]
    ) -> None:
        super().__init__(model, **options)
        self.signed = check_bool("signed", signed)
        plain, self.question.program = self.question.program, self.question.program.replace(
            self._replace)
        changed = [a.fn is not b.fn for a, b in zip(
            plain.steps, self.question.program.steps, strict=True)]
        for step, is_changed in zip(plain.steps, changed, strict=True):
            if not is_changed and (self._changes_inside(step.fn) or self.overlooks(step)):
                raise ValueError(self._out_of_reach(step))
        if not any(changed):
            raise ValueError(self.nothing_to_change())
        self.explain_gradients()

    def change(self, activation: Any) -> Any:
        """The function in place of `activation`, or `activation` itself."""
        raise NotImplementedError

    def overlooks(self, step: Any) -> bool:
        """Whether a step in which nothing is changed computes inside what the rule is about."""
        return False

    def nothing_to_change(self) -> str:
        """The error's words where the rule changes nothing."""
        return (f"Expected a model with activations that {type(self).__name__} changes, received"
                f" {self.model.name!r} without any. Use `saliency`, the plain gradient.")

    def compute(self, values: list[Any], request: Any) -> tuple[Any, ...]:
        _, grads, predictions = self.question.differentiate(values, request, self.cut)
        return maps_of(self, grads, self.signed), predictions

    def get_config(self):
        return {**super().get_config(), "signed": self.signed}

    def _changes_inside(self, fn):
        """Whether the rule would change something in a layer inside of a step."""
        return any(self._replace(x) is not x or any(
            callable(f) and self.change(f) is not f
            for name, f in vars(x).items() if name.endswith("activation"))
            for x in inner_layers(fn))

    def _out_of_reach(self, step):
        """The error's words where the result would be a mixture of the rule and the gradient."""
        what = step.path or kinds.kind(step.fn)
        return (
            f"Expected activations that {type(self).__name__} can reach, received one inside"
            f" {what!r} ({kinds.kind(step.fn)}), which computes other things as well. Use"
            " `saliency`, or write the activation as a layer or step of its own"
            ' (`keras.layers.ReLU()`, `activation="relu"`).'
        )

    def _replace(self, fn):
        """The function of a step with its activation changed; `fn` itself where it is not."""
        changed = self.change(fn)
        if changed is not fn:
            return _KeepingMask(changed)
        activation = getattr(fn, "__dict__", {}).get("activation")
        changed = activation if activation is None else self.change(activation)
        return fn if changed is activation else view(fn, activation=changed)


class _KeepingMask:
    """A function whose result has the mask of what it is given."""

    def __init__(self, fn):
        self.fn = fn

    def __call__(self, x, *args, **kwargs):
        y = self.fn(x, *args, **kwargs)
        if get_mask(x) is not None and get_mask(y) is None:
            set_mask(y, get_mask(x))
        return y
