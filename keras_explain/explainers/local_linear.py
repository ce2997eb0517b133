"""The linear map that a network is at an example."""

from typing import Unpack

import keras
from keras import ops

from keras_explain import backend
from keras_explain.engine.holding.plan import hold_gates
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import InputOptions
from keras_explain.explainers.saliency import maps_of
from keras_explain.graph.opening import append_function, open_steps
from keras_explain.graph.precision import HALF
from keras_explain.graph.targets import is_function
from keras_explain.signatures import spell_out
from keras_explain.targets.token import Token

SHARE = 1e-3  # of all that is added up, by which the sum may miss the score
SHARE_OF_HALF = 5e-2


@keras.saving.register_keras_serializable("keras_explain")
class LocalLinear(Explainer):
    """The layer behind `local_linear`."""

    signed = True
    figures = ("remainder",)

    def __init__(self, model, **options):
        super().__init__(model, **options)
        target = self.question.target
        score = target.score if isinstance(target, Token) else self.question.score
        if score != "logit":
            raise ValueError(
                'Expected score="logit", because probabilities and log-odds are no sums of'
                f" contributions, received {score!r}. Leave `score` out, or use"
                " `integrated_gradients`."
            )
        self.explain_gradients()
        self.held, self.one = self._hold()
        self._is_half = any(v.spec.dtype in HALF for s in self.held.steps for v in s.outputs)

    def _hold(self):
        question, program = self.question, self.question.program
        scored, predictions = program.outputs
        if is_function(question.target):
            program, scored = append_function(program, question.target, predictions)
        program = program.with_outputs((scored, predictions))
        reached = _find_reached(program, self.cut)
        program = open_steps(program, self.model, lambda step: id(step) in reached)
        return hold_gates(program, self.cut, program.outputs[0])

    def compute(self, values, request):
        question = self.question
        points, rest = question.split_at(
            values, (*self.cut, self.one), self.held, self._scores)

        def run(points):
            scores, predictions = rest(points)
            return scores + 0.0 * ops.expand_dims(points[-1] - 1.0, -1), predictions

        scores, predictions, pull = backend.vjp(run, points, self.model.variables)
        chosen = question.choose_class(scores, request)
        *grads, remainder = question.pull_back(pull, chosen)
        each = [ops.cast(x, "float32") * ops.cast(g, "float32")
                for x, g in zip(points, grads, strict=False)]
        maps = maps_of(self, each, signed=True)
        shown = self._without_padding_each(maps, values)
        looked_up = any(place.read is not None for place in self.places)
        remainder = ops.cast(remainder, "float32") + sum(
            map(_total, each if looked_up else maps)) - sum(map(_total, shown))  # of no input
        self._check_sum(ops.sum(scores * chosen, axis=-1), shown, remainder)
        return shown, predictions, remainder

    def _scores(self, raw, predictions):
        if not is_function(self.question.target):
            return self.question.scores(raw, predictions)
        if len(raw.shape) != 1:
            return self.question.scores(raw, predictions)  # says what is wrong
        return ops.expand_dims(ops.cast(raw, "float32"), -1)

    def _check_sum(self, score, maps, remainder):
        """Warn where what is added up misses the score: a step is not as linear as it looked."""
        total = sum(map(_total, maps)) + remainder
        size = ops.abs(score) + ops.abs(remainder) + sum(_total(ops.abs(m)) for m in maps)
        share = SHARE_OF_HALF if self._is_half else SHARE
        backend.warn_if(
            ops.any(ops.abs(total - score) > share * size),
            f"LocalLinear of {self.model.name!r}: contributions and remainder miss the score of"
            " some examples, because a step is less linear there than on the numbers that it was"
            " tried out on. Do not trust these maps; use `integrated_gradients` or `occlusion`.")


def _total(heatmap):
    """The sum over all but the examples."""
    return ops.sum(heatmap, axis=tuple(range(1, len(heatmap.shape))))


def _find_reached(program, cut):
    """Which steps compute with what is differentiated, the makers of that left out: their ids."""
    values, steps = set(cut), []
    for step in program.steps:
        if values.intersection(step.reads) and not set(cut).intersection(step.outputs):
            values.update(step.outputs)
            steps.append(step)
    return set(map(id, steps))


@spell_out(LocalLinear)
def local_linear(model: keras.Model, **options: Unpack[InputOptions]) -> ExplainedModel:
    """Build a model that splits the logit into what each token or pixel contributes.

    A network multiplies what it is given by numbers that it computes from the same: attention
    weights, one over a standard deviation, the ratio of an activation's output and input. With
    these gates held at the values that they have for an example, the network is a linear map of
    that example, and gives exactly the same logit. The map's rows times the input are the
    contributions: they and the `"remainder"` (biases, position embeddings, masked tokens) add up
    to the logit. One backward pass. On transformers it comes close to leaving words out one by
    one, where `gradient_x_input` is worse than random; on networks of ReLUs without normalization
    the two are the same. It does not tell why attention went where it went. No propagation rule
    of LRP is used: those are patented.

    Reference: Golden 2025, "Large Language Models are Locally Linear Mappings",
    https://arxiv.org/abs/2505.24293. Mohan et al. 2020, "Robust and Interpretable Blind Image
    Denoising via Bias-Free Convolutional Neural Networks", https://arxiv.org/abs/1906.05478. Ali
    et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation",
    https://arxiv.org/abs/2202.07304.

    Args:
        model: a built `keras.Model` of Keras's layers, `keras.ops` and layers made of them.
            Never changed.
        **options: those of `InputOptions`; `help` shows each. The score is always the logit; a
            callable `target` has to be written with `keras.ops`.

    Returns:
        A `keras.Model` to {"predictions", "heatmap", "remainder"}; the heatmap is signed, float32
        of shape (N, H, W) for images, (N, T) for sequences and tokens (at their embedding),
        (N, F) for tables, the remainder of shape (N,), both in units of the logit. With several
        inputs, a list or dict of heatmaps. `normalize` leaves the remainder as it is.

    Raises:
        TypeError, ValueError: see `grad_cam`; or a step computes something in which no gate is
            found, as a recurrent layer or a layer of one's own that cannot be looked into.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> x = inputs = keras.Input((6, 8))
        >>> y = keras.layers.MultiHeadAttention(2, 4)(x, x)
        >>> x = keras.layers.LayerNormalization()(x + y)
        >>> x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x))
        >>> explained = kx.local_linear(keras.Model(inputs, x), target=0)
        >>> out = explained(np.random.default_rng(0).normal(size=(2, 6, 8)))
        >>> total = keras.ops.sum(out["heatmap"], axis=-1) + out["remainder"]
        >>> bool(keras.ops.all(keras.ops.abs(total - out["predictions"][:, 0]) < 1e-5))
        True
    """
    return LocalLinear(model, **options).explained_model()
