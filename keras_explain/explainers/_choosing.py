"""Which feature maps class activation maps read, and for which input."""

import dataclasses
import warnings

from keras import tree

from keras_explain.explainers._token_maps import Grid, find_token_map, follow_image, read_grid
from keras_explain.graph.axes import heatmap_axes, image_like
from keras_explain.graph.feature_maps import find_last_maps
from keras_explain.graph.steps import Call


class MergedMapWarning(UserWarning):
    """A heatmap adds up the maps of several layers, because the score is computed from each."""


@dataclasses.dataclass
class Chosen:
    """One heatmap: the calls whose maps it adds up, and the input Value that it is laid over.

    `source` is None where the calls tell it. `grid` tells which tokens are the map, where they are.
    """

    calls: list[Call]
    source: object = None
    grid: Grid | None = None


def choose_maps(question, layer, node_index, reshape):
    """A `Chosen` for each heatmap."""
    named = () if question.input is None else question.choose_inputs(()).explained
    scored = question.scored
    if layer is not None:
        source = named[0] if len(named) == 1 else None
        layers = layer if isinstance(layer, (list, tuple)) else [layer]
        calls = [scored.find(one, node_index, source) for one in layers]
        return [Chosen([c], None, None if reshape else _find_grid(scored, c, named)) for c in calls]
    images = named if len(named) == 1 else [
        v for v in image_like(scored) if len(heatmap_axes(scored, v)) == 2]
    if reshape:
        return [Chosen([_choose_tokens(scored, images, reshape)])]
    try:
        maps = find_last_maps(scored, named[0] if len(named) == 1 else None)
    except ValueError:  # tokens follow, or there is no convolution at all
        chosen = _choose_token_map(scored, images)
        if chosen is None:
            raise
        return chosen
    if any(len(call.outputs[0].spec.shape) == 3 for call in maps):  # tokens, if of an image
        chosen = _choose_token_map(scored, images)
        if chosen is not None:
            return chosen
    return _share_maps(scored, named, maps)


def _choose_token_map(program, images):
    """A `Chosen` of the tokens of the one image that a model takes, or None."""
    if len(images) != 1:
        return None
    call, grid = find_token_map(program, images[0])
    return call and [Chosen([call], images[0], grid)]


def _choose_tokens(program, images, reshape):
    """The Call whose tokens make the grid that a user tells."""
    if len(images) == 1:
        call, grid = find_token_map(program, images[0])
        if grid is not None and (grid.rows, grid.columns) == tuple(reshape):
            return call
    return program.last_tokens()


def _find_grid(program, call, named):
    """The `Grid` of a layer's tokens, or None."""
    (value, *_), images = call.outputs, named or image_like(program)
    if len(value.spec.shape) != 3:
        return None
    seen = program.ancestors([value])
    program = program.with_outputs([value])
    found = [read_grid(follow_image(program, v).get(value)) for v in images if v in seen]
    return found[0] if len(found) == 1 else None


def _share_maps(scored, named, maps):
    """A `Chosen` for each heatmap of last feature maps."""
    if len(named) == 1:
        return [Chosen(maps)]
    each = _share_out(scored, maps, named or image_like(scored))
    if each or len(maps) == 1:
        return each or [Chosen(maps)]
    seen = scored.ancestors(maps[-1].outputs)
    sources = [v for v in image_like(scored) if v in seen]
    return [Chosen(find_last_maps(scored, sources[0]) if sources else maps[-1:])]


def _share_out(program, maps, sources):
    """A `Chosen` for each of several inputs, where no map is computed from two of them."""
    found = {v: [] for v in sources}
    for call in maps:
        seen = program.ancestors(call.outputs)
        reaching = [v for v in sources if v in seen]
        if not reaching:
            continue
        if len(reaching) > 1 or len(heatmap_axes(program, reaching[0])) != len(
                program.spatial_shape(call.outputs[0])):
            return []
        found[reaching[0]].append(call)
    several = [Chosen(calls, source) for source, calls in found.items() if calls]
    return several if len(several) > 1 else []


def check_branches(question, calls, groups, sources):
    """Compare layers with the inputs that they are to explain.

    An error for a layer of another input's branch; warnings for inputs that are left out, and
    for maps that are added up.

    Args:
        calls: the calls that are read.
        groups: the Values whose maps each heatmap adds up.
        sources: {Value of a map: the input Value that it is laid over}.
    """
    program = question.program
    for call in calls:
        source = sources[call.outputs[0]]
        if source not in program.ancestors(call.outputs):
            raise ValueError(
                f"Expected a layer that the input {source.spec.name!r} reaches, received"
                f" {call.path!r}, which is in the branch of another. Name the branch's input"
                " with `input=`, or for a layer that is called several times the call with"
                " `node_index=`."
            )
    seen = program.ancestors([call.outputs[0] for call in calls])
    others = [v.spec.name for v in image_like(question.scored) if v not in seen
              and v in program.ancestors(tree.flatten(question.scored.outputs))]
    if others and question.input is None:
        names = [v.spec.name for v in question.explained]
        warnings.warn(
            f"The map of layer {calls[0].path!r} explains the input"
            f" {repr(names[0]) if len(names) == 1 else names} only; the score depends on"
            f" {others} too. Name the input to explain with `input=`.",
            UserWarning, stacklevel=4)
    for group in groups:
        merged = [c for c in calls if c.outputs[0] in group]
        if len(merged) > 1:
            twice = len({c.path for c in merged}) < len(merged)
            names = [_name_call(program, c) for c in merged] if twice else [
                c.path for c in merged]
            warnings.warn(
                f"The heatmap adds up the maps of {len(merged)} layers, all of which the score"
                f" is computed from: {names}. For one of them alone name it with `layer=`"
                f"{' and `node_index=`' if twice else ''}.", MergedMapWarning, stacklevel=4)


def _name_call(program, call):
    """The path of a call, and which of several calls of one layer it is."""
    same = sorted((c for c in program.calls if c.path == call.path), key=lambda c: c.index)
    return call.path if len(same) == 1 else f"{call.path} (node_index={same.index(call)})"
