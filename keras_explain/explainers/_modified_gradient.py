"""Gradients whose way back through the activations is changed by a rule."""

from typing import Any, Unpack

import keras

from keras_explain.explainers._base import Explainer
from keras_explain.explainers._options import LayerOptions
from keras_explain.explainers.saliency import maps_of
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
        ValueError: the rule changes nothing in this model.
    """

    @spell_out(Explainer)
    def __init__(
        self, model: keras.Model, *, signed: bool = False, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(model, **options)
        self.signed = signed
        plain, self.question.program = self.question.program, self.question.program.replace(
            self._replace)
        if all(a.fn is b.fn for a, b in zip(plain.steps, self.question.program.steps, strict=True)):
            raise ValueError(self.nothing_to_change())
        self.explain_gradients()

    def change(self, activation: Any) -> Any:
        """The function in place of `activation`, or `activation` itself."""
        raise NotImplementedError

    def nothing_to_change(self) -> str:
        """The error's words where the rule changes nothing."""
        return (f"Expected a model with activations that {type(self).__name__} changes, received"
                f" {self.model.name!r} without any in reach (a layer that cannot be traced hides"
                " its own). Use `saliency`, the plain gradient.")

    def compute(self, values: list[Any], request: Any) -> tuple[Any, ...]:
        _, grads, predictions = self.question.differentiate(values, request, self.cut)
        return maps_of(self, grads, self.signed), predictions

    def get_config(self):
        return {**super().get_config(), "signed": self.signed}

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
