"""Class activation maps: what a layer's feature maps say about the explained score."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_explain import backend
from keras_explain.checks import check_bool, check_integer, check_per_axis
from keras_explain.engine.resizing import lay
from keras_explain.engine.resizing import resize as resized
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._choosing import check_branches, choose_maps
from keras_explain.explainers._options import LayerOptions
from keras_explain.explainers._placement import Placement
from keras_explain.explainers._token_maps import Grid, have_attended
from keras_explain.graph.axes import heatmap_axes
from keras_explain.graph.rows import check_rows
from keras_explain.graph.steps import Value
from keras_explain.signatures import spell_out

DEAD = ("The feature map of {!r} is zero everywhere, a dead layer. Name another with `layer=`, or"
        " train the model.")
AGAINST = ("All evidence in the feature map speaks against the class, and is cut off at zero."
           " `hires_cam(signed=True)` shows it; or explain another class.")
CANCELED = ("Cells of the feature map speak for the class, but not in the mean over the map that"
            " this method takes. Use `hires_cam`.")


class AttendedMapWarning(UserWarning):
    """A class activation map of tokens that attended to each other shows no place of the image."""


class FeatureMap(Explainer):
    """Abstract: a subclass gives `map_at(value, values, request) -> (map, predictions)`.

    `value` is the feature map to read, `values` are the model's inputs; the map has shape
    (N, ...) at the feature map's own size.

    Args:
        model: see `Explainer`.
        layer: name, path or layer object, or a list of them (one map for each); None takes
            the last feature map, or the sum of the last ones where the score reads several, for
            each input that has its own.
        node_index: which call, for a layer that is used several times.
        reshape: (height, width) of the token grid, for layers that output tokens
            (N, tokens, channels). Tokens in front of the grid (class token) are left out.
        resize: False leaves the map at the size of the feature map.
        **options: `target`, `score` and the other options of `Explainer`.
    """

    @spell_out(Explainer)
    def __init__(
        self, model: keras.Model, *, layer: Any = None, node_index: int | None = None,
        reshape: Sequence[int] | None = None, resize: bool = True,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(model, **options)
        self.resize, self.node_index = check_bool("resize", resize), node_index
        if node_index is not None:
            self.node_index = check_integer("node_index", node_index, 0)
        self.reshape = None if reshape is None else check_per_axis(
            "reshape", reshape, "Give the rows and columns of the token grid.")
        self.several = isinstance(layer, (list, tuple))
        chosen = choose_maps(self.question, layer, self.node_index, self.reshape)
        calls = [call for one in chosen for call in one.calls]
        paths = tuple(dict.fromkeys(c.path for c in calls))
        self.layer_path = paths if self.several or len(paths) > 1 else paths[0]
        self.named_layer = None if layer is None else self.layer_path
        self.features = tuple(c.outputs[0] for c in calls)
        self.grids = {one.calls[0].outputs[0]: one.grid for one in chosen if one.grid}
        self.groups = tuple(tuple(c.outputs[0] for c in one.calls) for one in chosen)
        for call, value in zip(calls, self.features, strict=True):
            check_rows(self.question.program, value, call.path)
        self.native_shapes = tuple(self._feature_shape(c) for c in calls)
        shapes = dict(zip(self.features, self.native_shapes, strict=True))
        self.explain_inputs([one.source for one in chosen] if len(chosen) > 1 and not self.several
                            else self._inputs_like(shapes[self.features[0]]))
        if len(self.question.explained) != (1 if self.several else len(chosen)):
            raise ValueError(
                "Expected one `input` to lay the map over, received"
                f" {len(self.question.explained)}. Name one."
            )
        sources = self.question.explained * (len(chosen) if self.several else 1)
        self.sources = {value: source for group, source in zip(self.groups, sources, strict=True)
                        for value in group}
        check_branches(self.question, calls, self.groups, self.sources)
        for call in calls:
            self._check_axes(call, shapes[call.outputs[0]])
        if self.several:
            self.keys = self.layer_path
        self.placements = tuple(self._placement(c, shapes[c.outputs[0]]) for c in calls)
        self._warn_where_attended(calls)

    def _warn_where_attended(self, calls):
        scored = self.question.scored
        mixed = [c.path for c in calls if have_attended(
            scored, self.sources[c.outputs[0]], c.outputs[0])]
        if mixed:
            warnings.warn(
                f"The cells of layer {mixed[0]!r} have attended to all others: its map tells where"
                " the model keeps its evidence, which need not be where in the image it found it."
                " Use `local_linear`, `integrated_gradients` or `occlusion`.",
                AttendedMapWarning, stacklevel=6)

    def _placement(self, call, shape):
        source = self.sources[call.outputs[0]]
        axes = self._image_axes(source)
        if len(shape) != len(axes) or source.spec.dtype == "string":
            return None
        grid = self.grids.get(call.outputs[0])
        found = Placement(self.question.scored, source, axes, call.outputs[0],
                          grid and (grid.rows, grid.columns), call.path)
        sizes = [source.spec.shape[a] for a in axes]
        if self.resize and None not in sizes:
            found.at(sizes)
        return found

    def _feature_shape(self, call):
        value, spec = call.outputs[0], call.outputs[0].spec
        if value in self.grids:
            return self.grids[value].rows, self.grids[value].columns
        if self.reshape is not None:
            tokens = spec.shape[1] if len(spec.shape) == 3 else None
            grid = self.reshape[0] * self.reshape[1]
            if tokens is None or not 0 <= tokens - grid < min(self.reshape):
                raise ValueError(
                    f"Expected `reshape` to fit the tokens of layer {call.path!r}, of shape"
                    f" {spec.shape}, received {self.reshape} ({grid} tokens). Give the rows"
                    " and columns of the patch grid; a few tokens in front of it may be others."
                )
            self.grids[value] = Grid(*self.reshape, tokens - grid)
            return self.reshape
        if len(spec.shape) < 3:
            raise ValueError(
                f"Expected a layer with a feature map, received {call.path!r} of output shape"
                f" {spec.shape}. Name a convolution, or use `saliency` or `occlusion`."
            )
        return self.question.scored.spatial_shape(call.outputs[0])

    def _check_axes(self, call, shape):
        axes = len(self._image_axes(self.sources[call.outputs[0]]))
        if self.resize and len(shape) < axes:
            raise ValueError(
                f"Expected a layer with a map of {axes} axes, as the input has, received"
                f" {call.path!r} of shape {call.outputs[0].spec.shape}. For tokens that were cut"
                " from an image give their grid, as reshape=(14, 14); for the numbers as they"
                " are, resize=False."
            )

    def _inputs_like(self, shape):
        """The input that the features see and that has as many axes as they."""
        program = self.question.program
        seen = program.ancestors(self.features)
        candidates = [v for v in program.inputs if v in seen]
        fitting = [v for v in candidates if len(heatmap_axes(program, v)) == len(shape)]
        return (fitting or candidates)[:1]

    def heatmap_shapes(self) -> list[tuple[int | None, ...]]:
        return [self._size_of(group) for group in self.groups]

    def _size_of(self, group):
        """Shape of a heatmap: that of the input, or else of the finest of its maps."""
        source = self.sources[group[0]]
        shape = self._shape_of(self._finest(group))
        if not self._resizes(group[0]):
            return shape
        return tuple(source.spec.shape[a] for a in self._image_axes(source))

    def _shape_of(self, value):
        return self.native_shapes[self.features.index(value)]

    def _finest(self, group):
        """The map with most cells; the first where sizes are free."""
        return max(group, key=lambda v: math.prod(n or 0 for n in self._shape_of(v)))

    def _resizes(self, value):
        """A flat input that the model reshapes into an image has no size to resize to."""
        axes = self._image_axes(self.sources[value])
        return self.resize and len(self._shape_of(value)) == len(axes)

    def _image_axes(self, source):
        return heatmap_axes(self.question.program, source)

    @property
    def lies_evenly(self) -> bool:
        """Whether stretching the maps over the whole input lays them where they belong."""
        return all(p is None or p.is_even() for p in self.placements)

    @property
    def place(self) -> Any:
        return self.layer_path

    @property
    def at_input_size(self) -> bool:
        return self.resize

    def compute(self, values: list[Any], request: Any) -> tuple[Any, ...]:
        heatmaps = []
        for group in self.groups:
            maps, predictions = self.maps_at(group, values, request)
            if self._resizes(group[0]):
                maps = [self.lay_over(m, v, values) for m, v in zip(maps, group, strict=True)]
            elif len(group) > 1:
                sizes = ops.shape(maps[group.index(self._finest(group))])[1:]
                maps = [resized(m, sizes) for m in maps]
            heatmaps.append(sum(maps[1:], maps[0]))
        return heatmaps, predictions

    def lay_over(self, heatmap: Any, value: Value, values: list[Any], outside: str = "zero") -> Any:
        """A map of the feature map `value` at the size of the input, where its cells look."""
        source = self.sources[value]
        image = values[self.question.index(source)]
        sizes = [ops.shape(image)[a] for a in self._image_axes(source)]
        placement = self.placements[self.features.index(value)]
        axes = placement and placement.at(sizes)
        return lay(heatmap, axes, sizes, outside) if axes else resized(heatmap, sizes)

    def maps_at(
        self, group: Sequence[Value], values: list[Any], request: Any
    ) -> tuple[list[Any], Any]:
        """The maps of all feature maps that one heatmap adds up, and the predictions."""
        maps = []
        for value in group:
            heatmap, predictions = self.map_at(value, values, request)
            maps.append(heatmap)
        return maps, predictions

    def map_at(self, value: Value, values: list[Any], request: Any) -> tuple[Any, Any]:
        raise NotImplementedError

    def blank_causes(self, values: list[Any], chosen: Any) -> list[str | None]:
        """Zeros of the feature map; else what became of what it says."""
        features = self.question.program.with_outputs(self.features)(values)
        return [DEAD.format(self.layer_path) if not any(_reacts(f[i]) for f in features)
                else self.cut_off(values, chosen, i) for i in range(len(chosen))]

    def cut_off(self, values: list[Any], chosen: Any, row: int) -> str | None:
        """What happened to evidence that the feature map has: a sentence, or None."""
        return None

    def channels_last(self, x: Any, value: Value | None = None) -> Any:
        """float32 of shape (N, ..., channels), tokens laid out as a grid.

        Args:
            x: of the shape of a feature map.
            value: whose; None: the first one's.
        """
        value = value or self.features[0]
        x, grid = ops.cast(x, "float32"), self.grids.get(value)
        if grid is not None:
            return ops.reshape(grid.cut(x), (-1, grid.rows, grid.columns, x.shape[-1]))
        channel = self.question.program.channel_axis(value)
        return x if channel == len(x.shape) - 1 else ops.moveaxis(x, channel, -1)

    def get_config(self):
        layer = list(self.named_layer) if self.several else self.named_layer
        inherited = {k: v for k, v in super().get_config().items() if k != "channels"}
        return {**inherited, "layer": layer, "node_index": self.node_index,
                "reshape": self.reshape, "resize": self.resize}


def _reacts(x):
    return bool(ops.any(x != 0))


class CAM(FeatureMap):
    """Abstract: a subclass gives `combine(features, gradients) -> map`.

    Both arrive as float32 of shape (N, ..., channels), channels last whatever the model's data
    format; the map has shape (N, ...).
    """

    def maps_at(
        self, group: Sequence[Value], values: list[Any], request: Any
    ) -> tuple[list[Any], Any]:
        """All differentiated at once, so that of one behind another nothing counts twice."""
        points, grads, predictions = self.question.differentiate(values, request, list(group))
        return [self.combine(self.channels_last(f, v), self.channels_last(g, v))
                for v, f, g in zip(group, points, grads, strict=True)], predictions

    def combine(self, features: Any, gradients: Any) -> Any:
        """The map (N, ...) of features and their gradients, both (N, ..., channels)."""
        raise NotImplementedError

    def cut_off(self, values: list[Any], chosen: Any, row: int) -> str | None:
        """Gradients that cancel, or evidence below zero."""
        one = [v[row : row + 1] for v in values]
        points, head = self.question.split_at(one, list(self.features))
        _, _, pull = backend.vjp(head, points, self.question.model.variables)
        gradients = self.question.pull_back(pull, chosen[row : row + 1])
        if not any(_reacts(g) for g in gradients):
            return None
        exact = [ops.sum(self.channels_last(g, v) * self.channels_last(p, v), axis=-1)
                 for v, g, p in zip(self.features, gradients, points, strict=True)]
        return CANCELED if any(float(ops.max(e)) > 0 for e in exact) else AGAINST
