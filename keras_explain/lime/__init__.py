"""LIME: explanations by simple models of the scores around one input."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_samples": ["LimeWarning"],
        "explanation": ["Explanation", "Feature"],
        "image": ["LimeImageExplainer"],
        "predictor": ["Predictor"],
        "sampling": ["Exponential"],
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
