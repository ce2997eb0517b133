"""What did the model see to make that decision? Explanations for Keras 3."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "callbacks", "error_analysis", "images", "lime", "linear", "metrics", "plots",
        "superpixels", "text",
    ],
    submod_attrs={
        "comparing": ["compare"],
        "explainers.ablation_cam": ["ablation_cam"],
        "explainers.closed_form_cam": ["cam"],
        "explainers.eigen_cam": ["eigen_cam"],
        "explainers.explained_model": ["BlankHeatmapWarning"],
        "explainers.grad_cam": ["grad_cam"],
        "explainers.grad_cam_plus_plus": ["grad_cam_plus_plus"],
        "explainers.gradient_x_input": ["gradient_x_input"],
        "explainers.guided_backprop": ["guided_backprop", "guided_grad_cam"],
        "explainers.hires_cam": ["hires_cam"],
        "explainers.integrated_gradients": ["integrated_gradients"],
        "explainers.layer_cam": ["layer_cam"],
        "explainers.occlusion": ["occlusion"],
        "explainers.rise": ["rise"],
        "explainers.saliency": ["saliency"],
        "explainers.score_cam": ["score_cam"],
        "explainers.smooth_grad": ["smooth_grad"],
        "explainers.xgrad_cam": ["xgrad_cam"],
        "exporting": ["export"],
        "lime.image": ["LimeImageExplainer"],
        "lime.submodular_pick": ["submodular_pick"],
        "lime.tabular": ["LimeTabularExplainer"],
        "lime.text": ["LimeTextExplainer"],
        "serving": ["SavedExplainer"],
    },
)
__version__ = "0.1.0"
