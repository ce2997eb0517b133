"""What the axes of inputs and feature maps mean, and which of them a heatmap keeps."""

from keras_explain.graph import steps as kinds
from keras_explain.graph.categories import is_category
from keras_explain.graph.tokens import explainable_inputs, is_tokens


def heatmap_axes(program, value):
    """The axes of an input that its heatmap keeps: space, time, features; channels if asked for."""
    if value.keeps_channels:
        return tuple(range(1, len(value.spec.shape)))
    return space_axes(program, value)


def space_axes(program, value):
    """The axes along which the numbers of an input lie side by side; not channels."""
    rank, channel = len(value.spec.shape), program.channel_axis(value)
    if value.spec.dtype == "string" and not is_category(program, value):
        return (1,)  # of the tokens or word counts that it becomes
    if rank > 2 and is_tokens(program, value):
        return tuple(range(1, rank))
    if rank == 3 and _is_flat_image(program, value):
        return (1, 2)
    if rank > 2:
        return tuple(a for a in range(1, rank) if a != channel)
    return tuple(range(1, rank))


def channel_axes(program, value, rank):
    """The axes of a tensor of `rank` at `value` that its heatmap sums up."""
    kept = heatmap_axes(program, value)
    return tuple(a for a in range(1, rank) if a not in kept)


def keep_channels(program, values):
    """Let the heatmaps of inputs with channels have a number for each of them.

    Raises:
        ValueError: none of the inputs has channels.
    """
    found = [v for v in values if v.spec.dtype != "string"
             and len(space_axes(program, v)) < len(v.spec.shape) - 1]
    for value in found:
        value.keeps_channels = True
    whole = [v for v in values if len(v.spec.shape) > 2 and not is_tokens(program, v)]
    if not found and not whole:
        raise ValueError(
            'Expected inputs with channels for channels="keep", received'
            f" {[tuple(v.spec.shape) for v in values]}. Leave `channels` out: the heatmap has a"
            " number for each value of the input as it is."
        )


def image_like(program):
    """Images, sequences and volumes if the model takes any, else all inputs."""
    large = [v for v in program.inputs if len(v.spec.shape) > 2]
    return large or explainable_inputs(program)


def _is_flat_image(program, value):
    """An image without channel axis: its model reshapes it before anything else."""
    if value.spec.shape[-1] == 1:
        return False
    reached = {value}
    for step in program.steps:
        if reached.intersection(step.reads):
            shape, kind = step.outputs[0].spec.shape, kinds.kind(step.fn)
            if kind == "Flatten" or len(shape) == 4:
                return True
            if shape != value.spec.shape or kinds.has_weights(step.fn):
                return False
            reached.update(step.outputs)
    return False
