"""Saved explained models load in a process that imported `keras_explain` and nothing else of it.

Keras finds the class behind a saved layer by its registered name, which the class's own module
registers when it is imported. Here the package stays light: a stand-in is registered for each
layer, which imports the module when Keras asks it for an instance. Keras itself may be imported
before or after.
"""

import importlib
import importlib.abc
import importlib.util
import sys

from keras_explain.explainers import METHODS

PACKAGE = "keras_explain"
TARGETS = ("Box", "Difference", "Neuron", "Region", "Similarity", "Token")
OTHERS = {"ExplainedModel": "explainers._explained_model",
          **{name: f"targets.{name.lower()}" for name in TARGETS}}


def register_when_imported():
    """Register the stand-ins now if Keras is imported, or when it will be."""
    if hasattr(sys.modules.get("keras"), "saving"):
        register()
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


def register():
    """Give Keras a stand-in for each class that it may find in a file."""
    known = sys.modules["keras"].saving.get_custom_objects()
    places = {layer: f"explainers.{method}" for method, layer in METHODS.items()} | OTHERS
    for name, module in places.items():
        known.setdefault(f"{PACKAGE}>{name}", _stand_in(name, f"{PACKAGE}.{module}"))


def _stand_in(name, module):
    """A class that makes instances of the class `name` of `module`, which it imports first."""

    def from_config(cls, config):
        return getattr(importlib.import_module(module), name).from_config(config)

    return type(name, (), {"from_config": classmethod(from_config), "__module__": module})


class _KerasFinder(importlib.abc.MetaPathFinder):
    """Finds Keras as it would be found without it, and registers once Keras is there."""

    def find_spec(self, fullname, path, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            register()

        spec.loader.exec_module = exec_module
        return spec
