"""Can this explanation be trusted? Metrics of heatmaps and sanity checks of methods."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "axioms": ["completeness"],
        "confidence": ["average_drop", "increase_in_confidence"],
        "curves": ["Curve", "deletion", "deletion_curve", "insertion", "insertion_curve"],
        "evaluator": ["Evaluator"],
        "localization": ["energy_pointing_game", "pointing_game"],
        "randomization": ["Randomization", "label_randomization", "weight_randomization"],
        "registry": ["METRICS", "Meter", "Metric", "logged"],
        "removal": ["infidelity", "sensitivity_n"],
        "robustness": ["max_sensitivity"],
        "simplicity": ["complexity", "sparseness"],
        "surrogates": ["fidelity", "stability"],
    },
)
