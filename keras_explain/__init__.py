"""What did the model see to make that decision? Explanations for Keras 3."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["callbacks", "images", "plots"],
    submod_attrs={
        "explainers.explained_model": ["BlankHeatmapWarning"],
        "explainers.grad_cam": ["grad_cam"],
        "explainers.occlusion": ["occlusion"],
        "explainers.saliency": ["saliency"],
        "exporting": ["export"],
    },
)
__version__ = "0.1.0"
