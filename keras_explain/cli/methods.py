"""The methods that a command names: the library's own, and those of the user's files."""

import importlib
import importlib.util
import inspect
import json
import pathlib
import sys

from keras_explain.checks import nearest
from keras_explain.explainers import METHODS
from keras_explain.explainers._choice import choose_cam, name_of


def find_method(text):
    """The name and the builder that a `--method` names.

    Args:
        text: the name of a builder, as grad_cam, or FILE.py:NAME or MODULE:NAME, where NAME is a
            builder (a function from a model to an explained model) or a subclass of `Explainer`.

    Returns:
        The method's name, by which files are named, and its builder.

    Raises:
        ValueError: no such method, or no such name in the file.
        OSError: no such file.
        ImportError: no such module.
    """
    import keras_explain as kx

    place, colon, name = text.rpartition(":")
    if not colon:
        if text not in METHODS:
            near = nearest(text, METHODS) or list(METHODS)
            raise ValueError(
                f"Expected a method of keras_explain, or FILE.py:NAME, received {text!r}."
                f" Did you mean one of {near}?"
            )
        return text, getattr(kx, text)
    module = _import(place)
    method = getattr(module, name, None)
    if not callable(method):
        raise ValueError(
            f"Expected a function or a class in {place}, received {name!r}. It has"
            f" {[n for n, v in vars(module).items() if callable(v) and n[0] != '_']}."
        )
    return name, _from_class(method) if inspect.isclass(method) else method


def find_methods(names):
    """Builders by name, as `find_method` finds them; without names the one that suits the model.

    Raises:
        ValueError: two methods of one name, and as `find_method`.
    """
    if not names:
        return {None: choose_cam}
    pairs = [find_method(text) for text in dict.fromkeys(names)]
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(
            f"Expected methods of different names, received {list(names)}. Rename one, because"
            " files are named after them."
        )
    return found


def build_methods(builders, model, layer=None, settings=(), target=None):
    """Explained models by the name of their method.

    Args:
        builders: by name, as from `find_methods`.
        model: a `keras.Model`.
        layer: for the methods that take one.
        settings: texts OPTION=VALUE; each method gets those that it takes.
        target: the class to explain.

    Raises:
        ValueError: an option that none of the methods takes, or a setting without a value.
    """
    settings, found, used = dict(map(_read_setting, settings)), {}, set()
    for name, build in builders.items():
        options = _options(build)
        given = {k: v for k, v in settings.items() if options is None or k in options}
        used.update(given)
        if layer and (options is None or "layer" in options):
            given["layer"] = layer
        explained = build(model, target=target, **given)
        found[name or name_of(explained)] = explained
    unknown = set(settings) - used
    if unknown:
        names = list(found)
        raise ValueError(f"Expected --set options that {names} take, received"
                         f" {sorted(unknown)}. See `help(keras_explain.{names[0]})`.")
    return found


def _import(place):
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = pathlib.Path(place)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a Python file, received {place!r}, which is none."
                                " Write FILE.py:NAME or MODULE:NAME.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _from_class(explainer):
    def build(model, **options):
        return explainer(model, **options).explained_model()

    build.__signature__ = inspect.signature(explainer)
    return build


def _options(build):
    """The options of a builder; None for one that takes any."""
    import keras_explain as kx

    build = kx.grad_cam if build is choose_cam else build
    parameters = inspect.signature(build).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return None if takes_any else set(parameters)


def _read_setting(text):
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"Expected --set OPTION=VALUE, received {text!r}. Add the value.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
