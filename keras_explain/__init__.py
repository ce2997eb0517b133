"""What did the model see to make that decision? Explanations for Keras 3."""

import sys

import lazy_loader

from keras_explain.explainers import METHODS
from keras_explain.serialization import register_when_imported

_find, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "audio", "auditing", "callbacks", "concepts", "error_analysis", "images", "lime", "linear",
        "metrics", "plots", "reasons", "superpixels", "tables", "targets", "text",
        "training_examples",
    ],
    submod_attrs={
        **{f"explainers.{method}": [method] for method in METHODS},
        "explainers._explained_model": ["BlankHeatmapWarning"],
        "explainers.finite_differences": ["finite_differences"],
        "auditing.auditor": ["audit"],
        "exporting": ["export"],
        "lime.image": ["LimeImageExplainer"],
        "lime.series": ["LimeSeriesExplainer"],
        "lime.submodular_pick": ["submodular_pick"],
        "lime.tabular": ["LimeTabularExplainer"],
        "lime.text": ["LimeTextExplainer"],
        "metrics.comparison": ["compare"],
        "reasons.explain": ["explain"],
        "serving": ["SavedExplainer"],
    },
)
__version__ = "0.1.0"


def __getattr__(name):
    try:
        return _find(name)
    except AttributeError:
        from keras_explain.checks import nearest

        near = nearest(name, __all__)
        hint = f" Did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else ""
        raise AttributeError(
            f"Expected a name of keras_explain, received {name!r}.{hint}", name=name,
            obj=sys.modules[__name__]) from None


register_when_imported()
