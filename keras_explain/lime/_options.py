"""What LIME's explainers take, list by list; see `keras_explain.signatures`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypedDict

from keras_explain.progress import Verbose

Target = int | str | Sequence[int | str] | Callable[..., Any] | None
Sampler = Literal["hadamard", "bernoulli", "uniform", "sobol"] | Callable[..., Any] | None
Kernel = Literal["exponential", "shapley"] | Callable[..., Any]
Surrogate = (
    Literal["k_lasso", "highest_weights", "forward_selection", "ridge", "decision_tree"]
    | Callable[..., Any] | None
)


class ExplainerOptions(TypedDict, total=False):
    """How the surrogate is found."""

    sampler: Annotated[
        Sampler,
        'which parts are out in which sample: "hadamard", "bernoulli", "uniform" (the paper\'s), '
        '"sobol", or a callable as in `keras_explain.lime.sampling`. None takes "hadamard".',
    ]
    kernel: Annotated[
        Kernel,
        'how samples are weighted: "exponential" of the distance to the input, another '
        '`Exponential(width, distance)`, a callable, or "shapley" for KernelSHAP, whose weights '
        "sum to the score of the input minus that of nothing.",
    ]
    surrogate: Annotated[
        Surrogate,
        '"k_lasso", "highest_weights", "forward_selection", "ridge", "decision_tree" or a '
        'callable. None takes "highest_weights" for images and series, "k_lasso" else.',
    ]
    class_names: Annotated[
        Sequence[str] | None, "names for the classes, one for each score of the model.",
    ]


class ExplainOptions(TypedDict, total=False):
    """What is asked about one input, and how hard is tried."""

    target: Annotated[
        Target,
        "the score to explain: a class by its index or name; a list of classes, which share one "
        "set of samples; a callable from the model's outputs to one score per input, shape (N,); "
        "None for the top class.",
    ]
    top: Annotated[
        int | None, "explain so many of the best classes instead of naming them by `target`.",
    ]
    num_features: Annotated[
        int | None,
        "how many parts may get a weight (K in the paper). None: 10 of a text or a row, all with "
        '"shapley" and "ridge", and all superpixels or segments.',
    ]
    seed: Annotated[
        int,
        "the same seed gives the same explanation. The global generators are not used.",
    ]
    tolerance: Annotated[
        float | None,
        "stop as soon as the relative standard error of the weights is below this.",
    ]
    verbose: Annotated[
        Verbose, 'progress on stderr: "auto" where it is a terminal, 0 never, 1 always.',
    ]
