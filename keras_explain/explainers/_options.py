"""What builders take, list by list; see `keras_explain.signatures`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypedDict

Target = int | Sequence[int] | Literal["input"] | Callable[..., Any] | None
Baseline = str | float | Sequence[float] | Any
PerAxis = int | Sequence[int] | None


class Options(TypedDict, total=False):
    """What every builder takes."""

    target: Annotated[
        Target,
        "the score to explain. None: the top class of each example; an int: one class; a "
        "sequence: one class for each example of the batch; \"input\": the explained model gets "
        "a second input `target` (int32, -1 for the top class); a callable: from the model's "
        "outputs to a score of shape (N,); an object of `keras_explain.targets`.",
    ]
    output: Annotated[
        str | int | None,
        "name or index of the output to explain; needed where the model has several.",
    ]
    input: Annotated[
        str | int | Sequence[str | int] | None,
        "name or index, or a list of them, of the inputs to explain. None: those that look like "
        "images or series where there are any, else all.",
    ]
    score: Annotated[
        Literal["logit", "log_odds", "probability"] | None,
        '"logit", before softmax or sigmoid; "log_odds", of the class against all others, the '
        'logarithm of p / (1 - p) computed from the logits; or "probability". None: "log_odds" '
        'where a softmax or sigmoid ends the model, else the answer itself.',
    ]
    normalize: Annotated[
        Literal["max", "range"] | None,
        'None leaves raw numbers; "max" divides each map by its largest magnitude; "range" '
        'stretches it to 0..1.',
    ]


class LayerOptions(Options, total=False):
    """What the layer of an explainer takes besides, as every Keras layer does."""

    name: Annotated[str | None, "the layer's name."]
    dtype: Annotated[Any, "the dtype that Keras saves with the layer; heatmaps are float32."]
    trainable: Annotated[bool, "as in every Keras layer."]


class InputOptions(Options, total=False):
    """What maps with a number for each value of an input take besides."""

    channels: Annotated[
        Literal["keep"] | None,
        'None gives one number for each place of an image or moment of a series; "keep" one for '
        'each of its channels there, as one wants it of the channels of a series: heatmaps of '
        'shape (N, T, F), or (N, H, W, C).',
    ]


class InputLayerOptions(LayerOptions, InputOptions, total=False):
    """What the layer of a map of an input takes besides."""


class FeatureMapOptions(Options, total=False):
    """What class activation maps take besides."""

    layer: Annotated[
        Any,
        'the feature map to read: a name ("conv5"), a path into a nested model '
        '("backbone/conv5"), a layer object, or a list of them for one map each. None takes the '
        'last feature map before pooling; where the score reads several, the sum of their maps.',
    ]
    node_index: Annotated[
        int | None,
        "which call, for a layer that is called several times, as a head that the levels of a "
        "pyramid share.",
    ]
    reshape: Annotated[
        Sequence[int] | None,
        "(rows, columns) of the token grid, for a layer of a transformer. None finds it out by "
        "what the model computes, where that tells.",
    ]
    resize: Annotated[
        bool,
        "True enlarges the map to the size of the input; False leaves it at the size of the "
        "feature map.",
    ]


class SignedOptions(Options, total=False):
    """What gradient maps take besides."""

    signed: Annotated[
        bool,
        "True keeps the sign and sums over the channels: positive where more of the input "
        "raises the score; False takes the largest magnitude over the channels.",
    ]


class SignedInputOptions(SignedOptions, InputOptions, total=False):
    """What gradients by the input take besides."""
