"""Builders: a `keras.Model` in, an explained `keras.Model` out. One method a file.

`METHODS` is the one list of them, from a builder's name to the layer behind it: the public
names, callbacks, `compare` and the command line read it, and saved files find their layers by it.
`CAM`, `FeatureMap`, `ModifiedGradient` and `Explainer` are what a method of your own builds on:
docs/develop.
"""

import lazy_loader

METHODS = {
    "ablation_cam": "AblationCAM",
    "attention": "Attention",
    "cam": "ClosedFormCAM",
    "eigen_cam": "EigenCAM",
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "gradient_x_input": "GradientXInput",
    "guided_backprop": "GuidedBackprop",
    "guided_grad_cam": "GuidedGradCAM",
    "hires_cam": "HiResCAM",
    "integrated_gradients": "IntegratedGradients",
    "layer_cam": "LayerCAM",
    "local_linear": "LocalLinear",
    "occlusion": "Occlusion",
    "rise": "RISE",
    "saliency": "Saliency",
    "score_cam": "ScoreCAM",
    "smooth_grad": "SmoothGrad",
    "xgrad_cam": "XGradCAM",
}

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"_base": ["Explainer"], "_cam": ["CAM", "FeatureMap"],
                            "_modified_gradient": ["ModifiedGradient"]})
