"""Signatures and docstrings of the reference as `help` shows them, with each option spelled out.

What a builder takes is put together when the package is imported, which reading the source alone
does not tell.
"""

import importlib
import inspect

import griffe


class SpelledOut(griffe.Extension):
    """Take parameters and docstrings of the package's functions from the functions themselves."""

    def on_package(self, *, pkg, **kwargs):
        if pkg.name == "keras_explain":
            for module in [pkg, *find_modules(pkg)]:
                complete(module)


def find_modules(module):
    for found in module.modules.values():
        if not found.is_alias:
            yield found
            yield from find_modules(found)


def complete(module):
    if module.filepath.suffix == ".pyi" or module.name == "__main__":
        return
    try:
        space = vars(importlib.import_module(module.path))
    except ImportError:  # of a backend that is not installed
        return
    for name, shown in [*module.functions.items(), *module.classes.items()]:
        found = space.get(name)
        if shown.is_alias or found is None or name.startswith("_"):
            continue
        if shown.docstring is not None and inspect.getdoc(found):
            shown.docstring.value = inspect.getdoc(found).replace("Example:\n", "Examples:\n")
        if shown.is_function:
            shown.parameters = read_parameters(found)
        elif "__init__" in shown.members and "__init__" in vars(found):
            shown.members["__init__"].parameters = read_parameters(found, "self")


def read_parameters(found, *first):
    """The parameters of a callable, and such as are written before them."""
    return griffe.Parameters(
        *(griffe.Parameter(name, kind=griffe.ParameterKind.positional_or_keyword)
          for name in first),
        *map(read_parameter, inspect.signature(found).parameters.values()))


def read_parameter(parameter):
    default, note = parameter.default, parameter.annotation
    kind = griffe.ParameterKind(parameter.kind.description)
    return griffe.Parameter(
        parameter.name, kind=kind,
        default=None if default is inspect.Parameter.empty else repr(default),
        annotation=None if note is inspect.Parameter.empty else inspect.formatannotation(note))
