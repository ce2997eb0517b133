"""`ExplanationCallback` with its builder filled in."""

import functools
import os
from collections.abc import Callable
from typing import Any, Unpack

from keras_explain.callbacks._options import CallbackOptions
from keras_explain.callbacks.explanation import ExplanationCallback
from keras_explain.explainers._choice import choose_cam, name_of
from keras_explain.explainers._options import (
    FeatureMapOptions,
    OcclusionOptions,
    SignedInputOptions,
)
from keras_explain.explainers.grad_cam import GradCAM
from keras_explain.explainers.occlusion import Occlusion, occlusion
from keras_explain.explainers.saliency import Saliency, saliency
from keras_explain.lime._arguments import Arguments
from keras_explain.lime._options import ExplainOptions
from keras_explain.signatures import spell_out


class GradCAMCallbackOptions(CallbackOptions, FeatureMapOptions, total=False):
    """The options of the callback and those of `grad_cam` and `hires_cam`."""


class OcclusionCallbackOptions(CallbackOptions, OcclusionOptions, total=False):
    """The options of the callback and those of `occlusion`."""


class SaliencyCallbackOptions(CallbackOptions, SignedInputOptions, total=False):
    """The options of the callback and those of `saliency`."""


class LimeCallbackOptions(CallbackOptions, ExplainOptions, total=False):
    """The options of the callback and those of `explain`."""


class GradCAMCallback(ExplanationCallback):
    """Grad-CAM per epoch, or HiResCAM where the model does not average its feature map.

    Behind global average pooling the two are equal; behind a Flatten or attention Grad-CAM's maps
    may be blank or point to the wrong place. The series is named after the method that was taken.

    Example:
        >>> import keras_explain as kx
        >>> callback = kx.callbacks.GradCAMCallback(x_val[:8], y_val[:8], log_dir="logs")
        ... # doctest: +SKIP
        >>> model.fit(x, y, callbacks=[callback])  # doctest: +SKIP
    """

    @spell_out([ExplanationCallback, GradCAM], positional=2)
    def __init__(self, data: Any, y: Any = None, **options: Unpack[GradCAMCallbackOptions]) -> None:
        """What is explained, and how.

        Args:
            data: examples: arrays, `(x, y)`, `tf.data`, `PyDataset`.
            y: true classes, shown beside the answers.
            **options: those of `GradCAMCallbackOptions`; `help` shows each.
        """
        build, options = _split(choose_cam, FeatureMapOptions, options)
        layer = build.keywords.get("layer")
        self._of_layer = f" {layer}" if isinstance(layer, str) else ""
        self._named = options.pop("name", None)
        super().__init__(build, data, y, name=self._named or f"grad_cam{self._of_layer}",
                         **options)

    def _name_after(self, source):
        if self._named is None:
            self.name = f"{name_of(source.explained)}{self._of_layer}"


class OcclusionCallback(ExplanationCallback):
    """Occlusion per epoch.

    Example:
        >>> import keras_explain as kx
        >>> callback = kx.callbacks.OcclusionCallback(x_val[:8], patch_size=4, log_dir="logs")
        ... # doctest: +SKIP
    """

    @spell_out([ExplanationCallback, Occlusion], positional=2)
    def __init__(
        self, data: Any, y: Any = None, **options: Unpack[OcclusionCallbackOptions]
    ) -> None:
        """What is explained, and how.

        Args:
            data: examples: arrays, `(x, y)`, `tf.data`, `PyDataset`.
            y: true classes, shown beside the answers.
            **options: those of `OcclusionCallbackOptions`; `help` shows each.
        """
        build, options = _split(occlusion, OcclusionOptions, options)
        super().__init__(build, data, y, **options)


class SaliencyCallback(ExplanationCallback):
    """Saliency per epoch.

    Example:
        >>> import keras_explain as kx
        >>> callback = kx.callbacks.SaliencyCallback(x_val[:8], signed=True, log_dir="logs")
        ... # doctest: +SKIP
    """

    @spell_out([ExplanationCallback, Saliency], positional=2)
    def __init__(
        self, data: Any, y: Any = None, **options: Unpack[SaliencyCallbackOptions]
    ) -> None:
        """What is explained, and how.

        Args:
            data: examples: arrays, `(x, y)`, `tf.data`, `PyDataset`.
            y: true classes, shown beside the answers.
            **options: those of `SaliencyCallbackOptions`; `help` shows each.
        """
        build, options = _split(saliency, SignedInputOptions, options)
        super().__init__(build, data, y, **options)


def _split(builder, of_builder, options):
    """The builder with its own options, and the options of the callback."""
    own = of_builder.__annotations__
    build = functools.partial(builder, **{k: v for k, v in options.items() if k in own})
    return build, {k: v for k, v in options.items() if k not in own}


class LimeCallback(ExplanationCallback):
    """LIME per epoch: superpixels of images, segments of series, words of texts.

    Example:
        >>> from keras_explain.callbacks import LimeCallback
        >>> from keras_explain.lime import LimeTextExplainer
        >>> callback = LimeCallback(["a fine day"], [1], explainer=LimeTextExplainer)
        >>> callback.name
        'lime'
    """

    @spell_out([ExplanationCallback, Arguments], positional=2)
    def __init__(
        self, data: Any, y: Any = None, *, explainer: Callable[..., Any] | None = None,
        samples: int = 250, log_dir: str | os.PathLike = "logs",
        every_n_epochs: int | None = None, name: str = "lime",
        **options: Unpack[LimeCallbackOptions],
    ) -> None:
        """What is explained, and how.

        Args:
            data: examples: arrays, `(x, y)`, `tf.data`, `PyDataset`, a list of texts.
            y: true classes, shown beside the answers.
            explainer: a function from a model to a LIME explainer; None takes
                `keras_explain.lime.LimeImageExplainer`.
            samples: how many perturbed inputs are tried for each example and epoch. The default
                is a quarter of LIME's own: what counts here is change over epochs.
            log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
            every_n_epochs: explain after each n-th epoch; None: as many as take at most a fifth
                of the training's time, and the last. The log says how many were left out.
            name: the series' name.
            **options: those of `LimeCallbackOptions`; `help` shows each.
        """
        asked = {k: v for k, v in options.items() if k in ExplainOptions.__annotations__}
        options = {k: v for k, v in options.items() if k not in asked}
        build = functools.partial(_build_lime, explainer, {**asked, "samples": samples})
        super().__init__(build, data, y, log_dir=log_dir, every_n_epochs=every_n_epochs, name=name,
                         **options)


def _build_lime(explainer, options, model):
    from keras_explain.lime import LimeImageExplainer

    return _WithOptions((explainer or LimeImageExplainer)(model), options)


class _WithOptions:
    """A LIME explainer that is asked with other options than its own."""

    def __init__(self, explainer, options):
        self.explainer, self.options = explainer, options

    def explain(self, x, **options):
        return self.explainer.explain(x, **{**self.options, **options})
