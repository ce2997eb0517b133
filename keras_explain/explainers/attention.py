"""Attention weights of each layer and head, and attention rollout."""

import warnings
from typing import Unpack

import keras
from keras import ops, tree

from keras_explain import backend
from keras_explain.engine.attending import as_heads, find_weights, unfuse
from keras_explain.engine.attending_inside import look_inside, take_out
from keras_explain.engine.holding.trial import Trial
from keras_explain.engine.resizing import lay, resize
from keras_explain.engine.rolling_out import OWN, find_roles, roll_out
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Options
from keras_explain.explainers._placement import Placement
from keras_explain.explainers._token_maps import find_attended
from keras_explain.graph.axes import heatmap_axes
from keras_explain.graph.opening import open_steps
from keras_explain.graph.tokens import explainable_inputs
from keras_explain.signatures import spell_out


class AttentionWarning(UserWarning):
    """Attention weights say where a model looked, hardly why it answered."""


@keras.saving.register_keras_serializable("keras_explain")
class Attention(Explainer):
    """The layer behind `attention`.

    Attributes:
        paths: of the attention layers, in the order of the output "attention".
    """

    figures = ("attention",)

    def __init__(self, model, **options):
        super().__init__(model, **options)
        opened = unfuse(open_steps(self.question.program, model, lambda step: True))
        trial = Trial(opened)
        inside = look_inside(opened, trial)
        found = find_weights(inside.program, trial.numbers, inside.unsure)
        if not found:
            self._check(found)
        inputs = explainable_inputs(self.question.program)
        self.question.choose_one_input(inputs, "the tokens of one input are followed")
        self.keys = self.question.keys
        roles = find_roles(inside.program, found, self.question.explained[0], inputs)
        found = [one for one in found if one in roles]
        own = [one for one in found if roles[one] == OWN]
        self._check(own)
        self.opened = take_out(opened, [one.value for one in found], inside)
        self.paths, self.shape = tuple(one.path for one in own), own[0].shape
        self.maps = tuple(one.value for one in found)
        self.roles = tuple(roles[one] for one in found)
        self._lay = self._find_place()

    def _check(self, found):
        if not found:
            raise ValueError(
                f"Expected a model with attention that can be looked into, received"
                f" {self.model.name!r}, in which none was found. Use `local_linear` or"
                " `occlusion`.")
        shapes = {w.shape for w in found}
        if len(shapes) > 1 or found[0].shape[1] != found[0].shape[2]:
            raise ValueError(
                "Expected layers of self-attention with as many heads and tokens each, which can"
                f" be rolled out, received (heads, tokens, tokens) of {sorted(shapes)}. Use"
                " `local_linear` or `occlusion`.")

    def _find_place(self):
        """From scores of tokens (N, T) to the heatmap of the input."""
        (source,), tokens = self.question.explained, self.shape[-1]
        if source.spec.dtype == "string":
            return lambda scores, sizes: scores
        axes = heatmap_axes(self.question.program, source)
        if len(axes) == 1:
            return lambda scores, sizes: scores[:, ops.shape(scores)[1] - sizes[0] :]
        value, grid = find_attended(self.opened, source, self.maps[0], tokens)
        if grid is None:
            raise ValueError(
                f"Expected tokens that were cut from a grid, received {tokens} tokens of"
                f" {self.model.name!r}, before which no map has as many cells. Use"
                " `local_linear` or `occlusion`.")
        placement = Placement(self.opened, source, axes, value, (grid.rows, grid.columns),
                              self.paths[0])

        def lay_grid(scores, sizes):
            maps = ops.reshape(grid.cut(scores), (-1, grid.rows, grid.columns))
            found = placement.at(sizes)
            return resize(maps, sizes) if found is None else lay(maps, found, sizes)

        return lay_grid

    def compute(self, values, request):
        question, (source,) = self.question, self.question.explained
        cut = self.maps[-1:]
        raw, predictions = self.opened.outputs
        program = self.opened.with_outputs((raw, (predictions, list(self.maps[:-1]))))
        points, rest = question.split_at(
            values, cut, program, lambda raw, both: question.scores(raw, both[0]))
        scores, (_, before), pull = backend.vjp(rest, points, self.model.variables)
        with backend.no_gradient():  # fused attention, to the last bit
            predictions = question.program(values)[1]
        (gradient,) = question.pull_back(pull, question.choose_class(scores, request))
        layers = [as_heads(w) for w in (*before, points[0])]
        read = ops.cast(ops.any(as_heads(gradient) != 0, axis=(1, 3)), "float32")
        count = ops.sum(read, axis=-1, keepdims=True)
        share = ops.where(count > 0, read / ops.maximum(count, 1.0), 1.0 / ops.cast(
            ops.shape(read)[-1], "float32"))
        tokens = ops.einsum("nt,nts->ns", share, roll_out(layers, self.roles))
        axes = heatmap_axes(self.question.program, source)
        sizes = [ops.shape(values[question.index(source)])[a] for a in axes] if (
            source.spec.dtype != "string") else None
        own = [w for w, role in zip(layers, self.roles, strict=True) if role == OWN]
        return [self._lay(tokens, sizes)], predictions, ops.stack(own, axis=1)

    def compute_output_spec(self, inputs, training=False):
        found = super().compute_output_spec(inputs, training)
        batch = tree.flatten(inputs)[0].shape[0]
        heads, tokens, _ = self.shape
        if None in self.question.explained[0].spec.shape[1:]:
            tokens = None
        return {**found, "attention": keras.KerasTensor(
            (batch, len(self.paths), heads, tokens, tokens), "float32")}


@spell_out(Attention)
def attention(model: keras.Model, **options: Unpack[Options]) -> ExplainedModel:
    """Build a model that shows its attention: the weights of each layer and head, and rollout.

    Fused attention keeps its weights to itself; they come out of the operation all the same, with
    its masks, biases and scales. Of a model with an encoder and a decoder `input` names the tokens
    that are followed; the weights are those among them. The heatmap is attention rollout: how
    much of each input token is mixed into the tokens that the score reads, with half of each token
    passing attention by.

    Attention says where a model looked. As an explanation of its answer, rollout is hardly better
    than chance: on a sentence transformer words taken out in its order moved the logit by an area
    of 0.36, by chance -0.17, by `local_linear` 6.07. A warning says so. The weights are right; what
    they mean is another question.

    Reference: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers",
    https://arxiv.org/abs/2005.00928. Jain and Wallace 2019, "Attention is not Explanation",
    https://arxiv.org/abs/1902.10186.

    Args:
        model: a built `keras.Model` with self-attention of Keras, of keras-hub or written in
            `keras.ops`. Never changed.
        **options: those of `Options`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap", "attention"}; the heatmap is not negative,
        float32 of shape (N, T) for tokens, (N, H, W) for pictures; the weights have the shape
        (N, layers, heads, T, T), each row sums to one. `explained.explainer.paths` names the
        layers.

    Raises:
        TypeError, ValueError: see `grad_cam`; or no attention is found, or layers differ in their
            heads or tokens.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> x = inputs = keras.Input((6, 8))
        >>> x = x + keras.layers.MultiHeadAttention(2, 4)(x, x)
        >>> x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x))
        >>> explained = kx.attention(keras.Model(inputs, x))
        >>> out = explained.predict(np.ones((2, 6, 8)), verbose=0)
        >>> out["attention"].shape, out["heatmap"].shape
        ((2, 1, 2, 6, 6), (2, 6))
    """
    layer = Attention(model, **options)
    warnings.warn(
        "Attention rollout says where the model looked. As an explanation of its answer it was"
        " measured to be hardly better than chance: use `local_linear` or `occlusion`.",
        AttentionWarning, stacklevel=3)
    return layer.explained_model()
