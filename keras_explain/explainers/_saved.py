"""Explainers and explained models from saved files, which may be damaged or of another version."""

import inspect

import keras

OF_EVERY_LAYER = {"name", "dtype", "trainable"}  # Keras has defaults for them
REMEDY = (
    "The file is damaged or was written by another version: build the explained model again from"
    " its model, and save it."
)


def read_config(cls, config):
    """The explainer of class `cls` that wrote `config`.

    Raises:
        ValueError: fields are missing or unknown, or their values are none that `cls` takes.
    """
    if not isinstance(config, dict):
        raise _error(cls, f"{type(config).__name__} {config!r:.60}")
    known = _options(cls)
    missing, unknown = known - set(config) - OF_EVERY_LAYER, set(config) - known
    if missing or unknown:
        raise _error(cls, " and ".join(
            [f"none of {sorted(missing)}"] * bool(missing)
            + [f"also {sorted(map(str, unknown))}"] * bool(unknown)))
    read = {**config, "model": _object(cls, config, "model")}
    if isinstance(config["target"], dict):  # a serialized callable
        read["target"] = _object(cls, config, "target")
        if not callable(read["target"]):
            raise _error(cls, f"a `target` that is no function: {read['target']!r:.60}")
    try:
        return cls(**read)
    except Exception as error:
        raise _error(cls, f"such that it cannot be built ({error})") from error


def _options(cls):
    """The names that `cls` takes, and its bases where it hands the rest on to them."""
    names = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            given = list(inspect.signature(base.__init__).parameters.values())[1:]
            names |= {p.name for p in given if p.kind is not p.VAR_KEYWORD}
            if all(p.kind is not p.VAR_KEYWORD for p in given):
                break
    return names


def _object(cls, config, field):
    """What Keras serialized; a dict that Keras itself cannot follow is an error of ours."""
    if field == "model" and not isinstance(config[field], dict):
        raise _error(cls, f"a `{field}` that is no serialized one: {config[field]!r:.60}")
    with whole(f"the field `{field}` of a saved {cls.__name__}"):
        return keras.saving.deserialize_keras_object(config[field])


class whole:
    """Around code of Keras that takes a file to be whole: its KeyErrors and alike in words."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (LookupError, AttributeError, RecursionError, AssertionError)):
            raise ValueError(
                f"Expected {self.what} as it was saved, received one that cannot be read"
                f" ({type(error).__name__}: {error}). {REMEDY}"
            ) from error


def _error(cls, received):
    return ValueError(
        f"Expected the fields of a saved {cls.__name__}, received {received}. {REMEDY}")
