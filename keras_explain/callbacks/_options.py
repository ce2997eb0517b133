"""What the callbacks that explain examples take, see `keras_explain.signatures`."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict


class CallbackOptions(TypedDict, total=False):
    """What every callback that explains examples takes."""

    log_dir: Annotated[
        str | os.PathLike,
        "TensorBoard's directory; the run is `log_dir/explanations/<name>`.",
    ]
    every_n_epochs: Annotated[
        int | None,
        "explain after each n-th epoch; None: as many as take at most a fifth of the training's "
        "time, and the last.",
    ]
    every_n_batches: Annotated[
        int | None, "explain after each n-th batch instead; steps count batches then.",
    ]
    max_images: Annotated[int, "how many examples are shown."]
    class_names: Annotated[Sequence[str] | None, "names for the classes."]
    unpreprocess: Annotated[
        Callable[..., Any] | None,
        "function from a batch of model inputs to pictures, undoing the preprocessing; None "
        "guesses from the value range. For tokens: a function from `(N, T)` tokens to a list of "
        "words for each text.",
    ]
    name: Annotated[
        str | None,
        "the series' name; None takes the method's name. Two callbacks with one `log_dir` need "
        "two names.",
    ]
    pick: Annotated[
        Literal["first", "worst"],
        '"first" explains the same `max_images` examples each time; "worst" those of highest '
        'loss at that time, among the first `candidates`.',
    ]
    candidates: Annotated[int, "how many examples are looked through for the worst."]
    metrics: Annotated[
        Mapping[str, Callable[..., Any]] | None,
        '`keras_explain.metrics.logged("deletion", ...)`, or any dict of functions `(explained, '
        'inputs, columns) -> one number per example`; the mean is logged as the scalar '
        '`<name>/<key>`.',
    ]
