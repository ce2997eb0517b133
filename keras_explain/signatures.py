"""Signatures that show every option, from one list of options and their defaults.

A family of functions shares options: every builder takes `target`, every class activation map
takes `layer`. Each list of them is a `TypedDict` of types annotated with their descriptions,
which type checkers and editors read:

    @spell_out(GradCAM)
    def grad_cam(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
        ...

`spell_out` gives the function the signature that `help` shows, with each option, its type and
its default, completes the docstring with what the list says of them, and answers an unknown
option with the nearest ones.
"""

import functools
import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Sequence

import numpy as np

from keras_explain.checks import nearest

Function = typing.TypeVar("Function", bound=Callable[..., typing.Any])
# What arguments of many functions are, in words that no type can say:
Array = typing.Any  # NumPy arrays, tensors of any backend, lists of numbers
Inputs = typing.Any  # arrays as the model takes them: one, or a list or dict of several
Data = typing.Any  # such arrays, (x, y), or what gives batches as `fit` takes them
Score = typing.Literal["logit", "log_odds", "probability"]

# Words of other libraries, and what they are called here.
ELSEWHERE = {
    "layer_name": "layer", "penultimate_layer": "layer", "conv_layer": "layer",
    "target_layer": "layer", "target_layers": "layer", "class_index": "target",
    "class_idx": "target", "pred_index": "target", "classes": "target", "label": "target",
    "patch_value": "baseline", "sliding_window_shapes": "patch_size", "strides": "stride",
    "baselines": "baseline", "n_steps": "steps", "m_steps": "steps", "masks": "samples",
    "num_samples": "samples", "n_samples": "samples", "nsamples": "samples",
    "nb_samples": "samples",
    "smooth_samples": "samples", "smooth_noise": "noise", "stdev_spread": "noise",
    "nt_samples": "samples", "labels": "y", "random_state": "seed", "output_index": "output",
    "preprocessing": "preprocess", "preprocessing_function": "preprocess",
    "top_labels": "top", "hide_color": "baseline", "mask_string": "baseline",
    "fill": "baseline", "replacement": "baseline", "encode": "tokenizer",
    "segmentation_fn": "segments", "random_seed": "seed",
}
# What a signature shows last, in this order.
GENERAL = ("target", "top", "output", "input", "score", "normalize")
CALL_ARGUMENTS = ("seed_input", "validation_data", "inputs", "images", "image", "x")


def spell_out(
    source: type | Sequence[type], *, positional: int = 1
) -> Callable[[Function], Function]:
    """Give a function the signature that its options' types and the defaults of `source` tell.

    Args:
        source: a class, or a list of them, whose `__init__` (its own or an inherited one) has
            each option's default.
        positional: how many arguments callers may give without their names.

    Returns:
        A decorator for a function, or the `__init__` of a class, that ends in
        `**options: Unpack[...]`.
    """
    sources = source if isinstance(source, (list, tuple)) else [source]

    def decorate(function):
        own = inspect.signature(function)
        *named, last = own.parameters.values()
        options = typing.get_args(last.annotation)[0]
        shared = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY,
                                    annotation=typing.get_args(hint)[0],
                                    default=_default(sources, name, function))
                  for name, hint in _hints(options).items() if name not in own.parameters]
        signature = own.replace(parameters=[*named, *shared])
        is_method = named[0].name == "self"
        shown = function.__qualname__.split("<locals>.")[-1].removesuffix(".__init__")
        allowed = positional + is_method

        @functools.wraps(function)
        def spelled_out(*args, **given):
            if len(args) > allowed:
                raise TypeError(_position_message(shown, signature, len(args) - is_method,
                                                  positional))
            unknown = [name for name in given if name not in signature.parameters]
            if unknown:
                raise TypeError(unknown_option(shown, unknown[0], signature.parameters))
            return function(*args, **{name: to_python(value) for name, value in given.items()})

        spelled_out.__signature__ = signature
        spelled_out.__doc__ = document(function.__doc__, options)
        return spelled_out

    return decorate


def to_python(value):
    """Numbers of NumPy as Python's: a saved file holds no others."""
    return value.item() if isinstance(value, np.generic) else value


def unknown_option(caller, option, known):
    """The words for an option that `caller` does not take."""
    known = [name for name in known if name != "self"]
    near = nearest(option, known)
    translated = ELSEWHERE.get(option)
    if translated in known:
        near = [translated]
    hint = f" Did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else ""
    if option in CALL_ARGUMENTS and "x" in known:
        hint = " Pass it first, without a name."
    elif option in CALL_ARGUMENTS:
        hint = " Pass the examples to the result: `explained.predict(x)`."
    return (f"Expected the options of `{caller}` ({', '.join(known)}), received"
            f" {option!r}.{hint}")


def document(text, options):
    """A docstring whose line "**options: ..." became what `options` says of each of its keys."""
    if not text or "**options" not in text:
        return text
    before = text.split("**options")[0]
    described = {name for names in re.findall(r"^ +([a-z_, ]+): ", before, re.M)
                 for name in names.split(", ")}
    indent = re.search(r"^( +)\*\*options:", text, re.M).group(1)
    paragraphs = [_paragraph(name, hint, indent) for name, hint in _hints(options).items()
                  if name not in described]
    return re.sub(r"^ +\*\*options:.*\n", lambda _: "".join(paragraphs), text, count=1, flags=re.M)


def _paragraph(name, hint, indent):
    description = " ".join(typing.get_args(hint)[1:])
    return textwrap.fill(f"{name}: {description}", 96, initial_indent=indent,
                         subsequent_indent=indent + " " * 4) + "\n"


def _hints(options):
    """The annotated types of a TypedDict, what all of its family share last."""
    hints = typing.get_type_hints(options, include_extras=True)
    own = [name for name in hints if name not in GENERAL]
    return {name: hints[name] for name in [*own, *(n for n in GENERAL if n in hints)]}


def _default(sources, name, function):
    for source in sources:
        for cls in source.__mro__:
            init = cls.__dict__.get("__init__")
            parameter = inspect.signature(init).parameters.get(name) if init else None
            if parameter is not None and parameter.default is not parameter.empty:
                return parameter.default
    raise TypeError(f"`{function.__qualname__}` lists the option {name!r}, for which"
                    f" {[s.__name__ for s in sources]} have no default.")


def _position_message(caller, signature, received, positional):
    first = [name for name in signature.parameters if name != "self"]
    example = first[positional] if len(first) > positional else first[-1]
    return (f"Expected {positional} argument{'s' * (positional > 1)} of `{caller}` without a name"
            f" ({', '.join(first[:positional])}), received {received}. Name the others, as in"
            f" {caller}({', '.join(first[:positional])}, {example}=...).")
