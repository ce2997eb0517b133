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


class OcclusionOptions(InputOptions, total=False):
    """What `occlusion` takes."""

    patch_size: Annotated[
        PerAxis,
        "pixels, an int or one per axis. None: an eighth of the input's size (one token, one "
        "column for tokens and tables). A last patch that would stick out is shifted inward, so "
        "that the border is covered.",
    ]
    stride: Annotated[
        PerAxis,
        "step between patches, an int or one per axis; None: half a patch. Where a stride "
        "larger than the patch leaves gaps, the nearest patch speaks for them.",
    ]
    baseline: Annotated[
        Baseline,
        "what stands in the patch: \"mean\" (of the image, per channel; the default), \"zero\", "
        "\"blur\", \"noise\" (of the image's own statistics), \"inpaint\" (from the pixels around "
        "the patch), a number, a color, or an array of the input's shape. Tokens are replaced by "
        "0 unless a number is given. Or several, whose drops are averaged: \"several\" (mean, "
        "blur, noise and inpaint), or background data (`X_train`), of which at most 64 rows are "
        "drawn. Tables need rows of data, a value per column or a number; with several inputs, "
        "a dict may hold one for each by name.",
    ]
    batch_size: Annotated[
        int,
        "forward passes at a time. It bounds the memory and changes no number.",
    ]
    engine: Annotated[
        Literal["auto", "incremental", "full"],
        '"incremental" (by windows), "full" (the whole model at each position), or "auto": by '
        'windows where they save work. `explained.explainer.report()` tells which and why.',
    ]
    precision: Annotated[
        Literal["float32", "bfloat16"],
        '"float32", or "bfloat16" for the part of the model that the windows no longer shrink: '
        'about twice as fast where the processor computes it natively. A rank correlation of '
        'about 0.99 with the exact map is checked on 16 positions of every image; where it '
        'fails the image is computed again in float32, with a warning.',
    ]
    search: Annotated[
        Literal["full", "adaptive"],
        '"full", or "adaptive": half of the positions (a third where the patch is at least 4 '
        'strides), a coarse grid and then those that may change the hottest tenth; the rest is '
        'interpolated. On 17 pictures that it was not tuned on the heatmaps kept a rank '
        'correlation of 0.93 (worst 0.84) and 97 % of the hottest tenth, with a third of the '
        'positions at a stride of 4 pixels 0.96 (0.88) and 95 %.',
    ]
