"""LIME: explanations by simple models of the scores around one input."""

import sys
import types

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_samples": ["LimeWarning"],
        "explanation": ["Explanation", "Feature"],
        "image": ["LimeImageExplainer"],
        "predictor": ["Predictor"],
        "sampling": ["Exponential"],
        "series": ["LimeSeriesExplainer"],
        "submodular_pick": ["Pick", "submodular_pick"],
        "surrogate": [
            "DecisionTree",
            "ForwardSelection",
            "HighestWeights",
            "KLasso",
            "Ridge",
        ],
        "table": ["Table"],
        "tabular": ["LimeTabularExplainer"],
        "text": ["LimeTextExplainer"],
        "vocabulary": ["Vocabulary"],
        "words": ["split_words"],
    },
)


class _Package(types.ModuleType):
    def __call__(self, *args, **options):
        raise TypeError(
            "Expected a class of `keras_explain.lime`, received a call of the package itself. Use"
            " LimeImageExplainer(model).explain(image), LimeTextExplainer(model),"
            " LimeSeriesExplainer(model) or LimeTabularExplainer(model, data)."
        )

    def __setattr__(self, name, value):
        if name in __all__ and isinstance(value, types.ModuleType):
            return  # the import of a file does not hide the function of its name
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
