"""The callbacks that users type most: `ExplanationCallback` with its builder filled in."""

import functools

from keras_explain.callbacks.explanation import ExplanationCallback
from keras_explain.explainers.grad_cam import grad_cam
from keras_explain.explainers.occlusion import occlusion
from keras_explain.explainers.saliency import saliency


class GradCAMCallback(ExplanationCallback):
    """Grad-CAM per epoch; `layer` as in `grad_cam`, everything else as in the base.

    Example:
        >>> import keras_explain as kx
        >>> callback = kx.callbacks.GradCAMCallback(x_val[:8], y_val[:8], log_dir="logs")
        ... # doctest: +SKIP
        >>> model.fit(x, y, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, data, labels=None, *, layer=None, target=None, **options):
        builder = functools.partial(grad_cam, layer=layer, target=target)
        super().__init__(builder, data, labels, **options)


class OcclusionCallback(ExplanationCallback):
    """Occlusion per epoch; `patch_size` and `stride` as in `occlusion`, the rest as in the base.

    Example:
        >>> import keras_explain as kx
        >>> callback = kx.callbacks.OcclusionCallback(x_val[:8], patch_size=4, log_dir="logs")
        ... # doctest: +SKIP
    """

    def __init__(self, data, labels=None, *, patch_size=None, stride=None, patch_value="mean",
                 target=None, **options):
        builder = functools.partial(occlusion, patch_size=patch_size, stride=stride,
                                    patch_value=patch_value, target=target)
        super().__init__(builder, data, labels, **options)


class SaliencyCallback(ExplanationCallback):
    """Saliency per epoch; `signed` as in `saliency`, everything else as in the base."""

    def __init__(self, data, labels=None, *, signed=False, target=None, **options):
        super().__init__(functools.partial(saliency, signed=signed, target=target), data, labels,
                         **options)
