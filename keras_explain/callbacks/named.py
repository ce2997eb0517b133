"""`ExplanationCallback` with its builder filled in."""

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

    def __init__(self, data, labels=None, *, layer=None, target=None, name=None, **options):
        builder = functools.partial(grad_cam, layer=layer, target=target)
        name = name or (f"grad_cam {layer}" if isinstance(layer, str) else None)
        super().__init__(builder, data, labels, name=name, **options)


class OcclusionCallback(ExplanationCallback):
    """Occlusion per epoch; `patch_size` and `stride` as in `occlusion`, the rest as in the base.

    Example:
        >>> import keras_explain as kx
        >>> callback = kx.callbacks.OcclusionCallback(x_val[:8], patch_size=4, log_dir="logs")
        ... # doctest: +SKIP
    """

    def __init__(self, data, labels=None, *, patch_size=None, stride=None, baseline="mean",
                 target=None, **options):
        builder = functools.partial(occlusion, patch_size=patch_size, stride=stride,
                                    baseline=baseline, target=target)
        super().__init__(builder, data, labels, **options)


class SaliencyCallback(ExplanationCallback):
    """Saliency per epoch; `signed` as in `saliency`, everything else as in the base."""

    def __init__(self, data, labels=None, *, signed=False, target=None, **options):
        super().__init__(functools.partial(saliency, signed=signed, target=target), data, labels,
                         **options)


class LimeCallback(ExplanationCallback):
    """LIME per epoch: superpixels of images, words of texts; the rest as in the base.

    Args:
        data, labels: as in the base.
        explainer: a function from a model to a LIME explainer; None takes
            `keras_explain.lime.LimeImageExplainer`.
        num_samples: how many perturbed inputs are tried for each example and epoch. The default
            is a quarter of LIME's own: what counts here is change over epochs.
        **options: as in the base.

    Example:
        >>> import functools
        >>> from keras_explain.callbacks import LimeCallback
        >>> from keras_explain.lime import LimeTextExplainer
        >>> callback = LimeCallback(["a fine day"], [1], explainer=LimeTextExplainer)
        >>> callback.name
        'lime'
    """

    def __init__(self, data, labels=None, *, explainer=None, num_samples=250, name="lime",
                 **options):
        def build(model):
            from keras_explain.lime import LimeImageExplainer

            return _WithSamples((explainer or LimeImageExplainer)(model), num_samples)

        super().__init__(build, data, labels, name=name, **options)


class _WithSamples:
    """A LIME explainer with another number of samples."""

    def __init__(self, explainer, num_samples):
        self.explainer, self.num_samples = explainer, num_samples

    def explain(self, x, **options):
        return self.explainer.explain(x, num_samples=self.num_samples, **options)
