"""The last feature maps of a program: those that its outputs are computed from, by way of no other.

One in most networks. Several where a score reads several: levels of a pyramid, convolutions of
several widths side by side, towers of several inputs.
"""

from keras import tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.frames import OverFrames
from keras_explain.graph.models import inner_layers

REMEDY = (
    "Use a method that needs no inner layer (`saliency`, `occlusion`), name the layer with"
    " `layer=`, or give a transformer's token grid as `reshape=(rows, columns)`."
)
MOVING = ("Reshape", "Flatten", "Squeeze", "ExpandDims", "Permute", "Transpose", "Moveaxis",
          "Swapaxes", "GetItem", "Cropping", "CenterCrop", "Resiz", "Concatenate",
          "_Ask", "_Decode")  # the last two of `asking`: what a target reads are the scores
MIXING = ("Matmul", "Einsum", "Dot", "Tensordot")
FREE = 64  # what a free size is taken for


def find_last_maps(program, source=None):
    """The Calls whose outputs are the last feature maps, in the order of the program.

    It walks back from the program's outputs and stops at feature maps: what is computed after
    convolutions, before pooling. Values of spatial extent 1 (a 1x1 convolution after pooling, as
    in MobileNet) do not count, nor do pooling, padding, resizing, dropout, reshaping. Maps that
    *are* the scores (class scores of pixels or of boxes, from which the outputs are made without
    weights and without pooling) are passed over, unless there is no other map.

    Args:
        source: the input Value that they have to be computed from; None: any.

    Raises:
        ValueError: the model has no convolution, or only those that cut an image into the
            tokens of a transformer.
    """
    program = program.prune()
    calls, maps = program.calls_by_value(), _find_maps(program, source)
    outputs = set(tree.flatten(program.outputs))
    scores, used, stops, passed = set(outputs), set(), [], []
    for step in reversed(program.steps):
        if used.intersection(step.outputs):
            found = [v for v in step.outputs if v in maps and v in used]
            stops += found
            if not found:
                used.update(step.reads)
            continue
        if not scores.intersection(step.outputs):  # before a stop
            continue
        passed += [v for v in step.outputs if v in maps and v not in outputs]
        for value in step.reads:
            (scores if _keeps_numbers(step, value) else used).add(value)
    stops = [v for v in stops or passed[:1] if v in calls]
    if not stops:
        raise ValueError(_no_convolution(program))
    found = [calls[v] for v in reversed(stops)]
    for call, value in zip(found, reversed(stops), strict=True):
        _check_no_tokens_after(program, call, value)
    return found


def _find_maps(program, source):
    """The Values that are feature maps, of those that `source` reaches."""
    ranks, found = {}, set()  # Values that a convolution reaches -> its rank
    reached, calls = {source}, program.calls_by_value()
    for step in program.steps:
        if source is not None and not reached.intersection(step.reads):
            continue
        reached.update(step.outputs)
        rank = max((ranks[v] for v in step.reads if v in ranks), default=None)
        if kinds.is_convolution(step):
            rank = len(step.outputs[0].spec.shape)
        for value in step.outputs:
            if rank is None or len(value.spec.shape) != rank:
                continue
            ranks[value] = rank
            large = max(2 if n is None else n for n in _sizes(program, step, value)) > 1
            if large and kinds.is_feature_map(step) and value in calls:
                found.add(value)
    return found


def _sizes(program, step, value):
    """The sizes of a map; of one frame where the step runs over frames."""
    fn, sizes = step.fn, program.spatial_shape(value)
    while isinstance(fn, OverFrames):
        fn, sizes = fn.fn, sizes[1:]
    return sizes


def _keeps_numbers(step, value):
    """Whether a step without weights moves or changes each number that it reads for itself.

    A step that gives fewer numbers than it reads is taken for pooling.
    """
    if kinds.has_weights(step.fn) or kinds.is_attention(step.fn) or kinds.kind(
            step.fn).startswith(MIXING) or kinds.is_convolution(step):
        return False
    return kinds.kind(step.fn).startswith(MOVING) or _count(step.outputs[0]) >= _count(value)


def _count(value):
    count = 1
    for n in value.spec.shape[1:]:
        count *= FREE if n is None else n
    return count


def _no_convolution(program):
    opaque = [f"{s.path!r} ({kinds.kind(s.fn)})" for s in program.steps if inner_layers(s.fn)
              and not kinds.is_attention(s.fn)]
    found = f"one with {', '.join(opaque)}, which cannot be looked into" if opaque else (
        "one without")
    return (
        "Expected a model with a convolution whose feature map is larger than 1x1, received"
        f" {found}. {REMEDY}"
    )


def _check_no_tokens_after(program, call, value):
    cells = 1
    for n in _sizes(program, program.producer(value), value):
        cells *= n or 1
    if len(value.spec.shape) < 4:
        return
    for step in program.split([value])[1].steps:
        if kinds.is_token_step(step, cells):
            raise ValueError(
                "Expected `reshape`, because the model goes on with tokens after its last"
                f" convolution {call.path!r} (at {step.path!r}), received none. Give the rows"
                " and columns of the token grid, as reshape=(14, 14), or name the layer with"
                " `layer=`."
            )
