"""What every explainer layer shares: its question, finishing of heatmaps, saving."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops, tree

from keras_explain.checks import check_choice
from keras_explain.engine.hiding import expand_mask
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Target
from keras_explain.explainers._saved import read_config
from keras_explain.graph import targets
from keras_explain.graph.axes import heatmap_axes
from keras_explain.graph.models import keep_closed
from keras_explain.graph.padding import find_padding
from keras_explain.graph.question import Question
from keras_explain.graph.tokens import explainable_inputs, places, token_ids, without_padding
from keras_explain.signatures import Score

NORMALIZE = (None, "max", "range")


class Explainer(keras.layers.Layer):
    """Abstract layer: model inputs -> {"predictions", "heatmap"}.

    A subclass gives `compute(values, request) -> (heatmaps, predictions)`, where `heatmaps`
    is a list with one raw map of shape (N, ...) for each of `self.keys`, and ends its
    `__init__` with `self.explain_inputs(...)`. If it names `figures`, `compute` returns further
    tensors of shape (N,), which become outputs under those names; before them, a list of maps
    like the heatmaps for each name in `further_maps`, in the heatmaps' unit.

    Args:
        model: a built `keras.Model`. It is shared, never changed.
        target, output, input, score: what is asked, see `Question`.
        channels: "keep" for a number for each channel of an input; for maps of inputs alone.
        normalize: None (raw numbers), "max" (largest magnitude is 1) or "range" (0 to 1).
        name, dtype, trainable: as for every Keras layer; heatmaps are float32.
    """

    figures = ()
    further_maps = ()

    stays_closed = False  # whether the model was found to answer otherwise when looked into
    plans_by_size = False  # whether what is computed depends on sizes that the model leaves free
    signed = False  # whether heatmaps have values below zero that mean something

    def __init__(
        self, model: keras.Model, *, target: Target = None, output: str | int | None = None,
        input: str | int | Sequence[str | int] | None = None, score: Score | None = "logit",
        normalize: Literal["max", "range"] | None = None,
        channels: Literal["keep"] | None = None, name: str | None = None,
        dtype: Any = "float32", trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, autocast=False, trainable=trainable)
        check_choice("normalize", normalize, NORMALIZE)
        self.question = Question(model, target=target, output=output, input=input, score=score,
                                 channels=channels)
        self.model, self.normalize, self._padding = model, normalize, {}

    def explain_inputs(self, default: Sequence[Any]) -> None:
        """Settle which inputs get a heatmap: those that the user named, else `default`."""
        self.question.choose_inputs(default)
        self.keys = self.question.keys
        self._padding = {v: find_padding(self.question.program, v)
                         for v in self.question.explained} if self.at_input_size else {}

    def _data_of(self, value, values):
        """Which moments of an explained input are data: bool (N, T); None without padding."""
        find = self._padding.get(value)
        return None if find is None else find(values)

    def explain_gradients(self) -> None:
        """Settle the same, and where to differentiate for them: `places`, and the Values `cut`."""
        self.explain_inputs(explainable_inputs(self.question.program))
        self.places = tuple(self.question.differentiable_places())
        self.cut = tuple(dict.fromkeys(place.cut for place in self.places))

    @property
    def place(self) -> str | None:
        """The path of the layer that is looked at, for those that look inside."""
        return None

    @property
    def at_input_size(self) -> bool:
        """Whether a heatmap has a number for each place of its input."""
        return True

    # In the graph -----------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        kwargs["training"] = False  # for every layer inside, whatever the caller's mode
        return super().__call__(*args, **kwargs)

    def call(self, inputs, training=False):
        values, request = self.question.split_inputs(inputs)
        heatmaps, predictions, *more = self.compute(values, request)
        heatmaps, *further = [self._without_padding_each(maps, values)
                              for maps in (heatmaps, *more[: len(self.further_maps)])]
        scales = [_shift_and_scale(h, self.normalize) for h in heatmaps]
        heatmaps = [_scale(h - shift, scale)
                    for h, (shift, scale) in zip(heatmaps, scales, strict=True)]
        further = [[_scale(m, scale) for m, (_, scale) in zip(maps, scales, strict=True)]
                   for maps in further]
        rows = [_finite_rows(values), self.question.has_target(values)]
        finite = functools.reduce(ops.logical_and, [r for r in rows if r is not None] or [None])
        heatmaps, *further = [[_where(finite, m, np.nan) for m in maps]
                              for maps in (heatmaps, *further)]
        return {"predictions": predictions, "heatmap": self.pack(heatmaps),
                **{name: self.pack(maps)
                   for name, maps in zip(self.further_maps, further, strict=True)},
                **dict(zip(self.figures, more[len(self.further_maps) :], strict=True))}

    def compute(self, values: list[Any], request: Any) -> tuple[Any, ...]:
        """The raw heatmaps, a list, and the predictions of a batch; see the class."""
        raise NotImplementedError

    def blank_causes(self, values: list[Any], chosen: Any) -> list[str | None]:
        """What of this method may make maps blank: a sentence or None for each example.

        Args:
            values: the model's inputs, numbers.
            chosen: the explained classes as one-hot rows.
        """
        return [None] * len(chosen)

    def run_layers_alone(self) -> bool:
        """Give up programs that were made to run faster; whether there are any to give up.

        Asked for where rounding in them would show, which a network can amplify.
        """
        return False

    def _without_padding_each(self, maps, values):
        explained = self.question.explained
        shown = explained * (len(maps) // len(explained))  # one map for each layer
        return [self._without_padding(ops.cast(m, "float32"), v, values)
                for m, v in zip(maps, shown, strict=True)]

    def _without_padding(self, heatmap, value, values):
        data = self._data_of(value, values)
        if data is not None:
            data = expand_mask(data, len(heatmap.shape), (1,))
            return ops.where(data, heatmap, ops.zeros_like(heatmap))
        ids = token_ids(self.question.program, value) if self.at_input_size else None
        return heatmap if ids is None else without_padding(heatmap, ids(values)[0])

    def pack(self, heatmaps: list[Any]) -> Any:
        """One heatmap alone; several as a dict or list under `self.keys`."""
        if len(heatmaps) == 1:
            return heatmaps[0]
        if isinstance(self.keys[0], str):
            return dict(zip(self.keys, heatmaps, strict=True))
        return heatmaps

    # Keras ------------------------------------------------------------------------------------

    def heatmap_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the heatmaps without batch: by default, of the explained inputs."""
        program, explained = self.question.program, self.question.explained
        shown = [places(program, v)[0].shown if v.spec.dtype == "string" else v for v in explained]
        return [tuple(s.spec.shape[a] for a in heatmap_axes(program, v))
                for v, s in zip(explained, shown, strict=True)]

    def build(self, input_shape):
        self.built = True

    def compute_output_spec(self, inputs, training=False):
        batch = tree.flatten(inputs)[0].shape[0]
        _, outputs = self.question.program.outputs
        predictions = tree.map_structure(
            lambda v: keras.KerasTensor((batch, *v.spec.shape[1:]), v.spec.dtype), outputs
        )
        shapes = self.heatmap_shapes()
        maps = {name: self.pack([keras.KerasTensor((batch, *s), "float32") for s in shapes])
                for name in ("heatmap", *self.further_maps)}
        figures = {name: keras.KerasTensor((batch,), "float32") for name in self.figures}
        return {"predictions": predictions, **maps, **figures}

    def get_config(self):
        asked = self.question
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "target": keras.saving.serialize_keras_object(asked.target)
            if callable(asked.target) else asked.target,
            "output": asked.output,
            "input": list(asked.input) if isinstance(asked.input, tuple) else asked.input,
            "score": asked.score,
            "normalize": self.normalize,
            "channels": asked.channels,
        }

    @classmethod
    def from_config(cls, config):
        return read_config(cls, config)

    def variant(self, **changes: Any) -> "Explainer":
        """The same method on the same model, which is shared, with other options."""
        config = {**self.get_config(), "model": self.model, "target": self.question.target}
        config |= changes
        with keep_closed() if self.stays_closed else contextlib.nullcontext():
            return type(self)(**{k: v for k, v in config.items() if k != "name"})

    def explained_model(self, name: str | None = None) -> ExplainedModel:
        """Wrap this layer into the `keras.Model` that users get."""
        inputs = self.question.symbolic_inputs()
        if self.question.takes_target:
            inputs = targets.add_target(inputs, keras.Input((), dtype="int32", name="target"))
        return ExplainedModel(inputs, self(inputs), name=name or f"{self.name}_explained")


def _shift_and_scale(heatmap, how):
    """What `normalize` subtracts from a heatmap, and divides it by; None: by nothing."""
    if how is None:
        return 0.0, None
    axes = tuple(range(1, len(heatmap.shape)))
    if how == "max":
        return 0.0, ops.max(ops.abs(heatmap), axis=axes, keepdims=True)
    low = ops.min(heatmap, axis=axes, keepdims=True)
    return low, ops.max(heatmap, axis=axes, keepdims=True) - low


def _scale(heatmap, scale):
    return heatmap if scale is None else ops.divide_no_nan(heatmap, scale)


def _finite_rows(values):
    """Which examples have neither NaN nor infinity in their inputs; None: all, for sure.

    By a comparison, which each format of an exported model has.
    """
    rows = [ops.all(ops.reshape(ops.abs(x) < np.inf, (ops.shape(x)[0], -1)), axis=1)
            for x in values if "float" in keras.backend.standardize_dtype(x.dtype)]
    return None if not rows else functools.reduce(ops.logical_and, rows)


def _where(rows, maps, otherwise):
    if rows is None:
        return maps
    rows = ops.reshape(rows, (-1, *[1] * (len(maps.shape) - 1)))
    return ops.where(rows, maps, ops.cast(otherwise, maps.dtype))
