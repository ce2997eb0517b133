"""What the explainers of images, texts and tables have in common."""

from collections.abc import Callable, Sequence
from typing import Any

from keras_explain.lime._arguments import Arguments, check_names
from keras_explain.lime._local import LocalModel
from keras_explain.lime._options import ExplainerOptions, Kernel, Sampler, Surrogate
from keras_explain.lime._unasked import Unasked, predict_or_wait
from keras_explain.lime.explanation import Explanation
from keras_explain.lime.predictor import Predictor
from keras_explain.signatures import document


class LimeExplainer:
    """A predictor, how its surrogate is found, and the names of its classes.

    Args:
        model, preprocess: as for `Predictor`; or `model` is a `Predictor`.
        num_features: how many features may get a weight where the user does not say; `None` for
            all.
        batch_size, distance, default_surrogate: as for `LocalModel`.
        sampler, kernel, surrogate, class_names: those of `ExplainerOptions`.
        waits: True takes a model without scores of classes, of which a target has to be asked.
    """

    def __init_subclass__(cls) -> None:
        cls.__doc__ = document(cls.__doc__, ExplainerOptions)

    def __init__(
        self,
        model: Any,
        preprocess: Callable[..., Any] | None,
        *,
        num_features: int | None,
        batch_size: int,
        distance: str,
        default_surrogate: str,
        sampler: Sampler = None,
        kernel: Kernel = "exponential",
        surrogate: Surrogate = None,
        class_names: Sequence[str] | None = None,
        waits: bool = False,
    ) -> None:
        self._class_names = None if class_names is None else check_names(class_names)
        self._predictor = _make_predictor(
            model, preprocess, self._class_names, waits)
        self._local = LocalModel(sampler, kernel, surrogate, batch_size, distance=distance,
                                 default_surrogate=default_surrogate)
        self._num_features = num_features

    def _check_arguments(self, samples: int, **options: Any) -> Arguments:
        """The checked arguments of `explain`."""
        if options.get("num_features") is None and self._local.is_sparse:
            options["num_features"] = self._num_features
        arguments = Arguments(samples, **options, class_names=self._class_names,
                              num_classes=self._predictor.num_classes)
        self._local.check(arguments)
        return arguments

    def _predictor_for(self, arguments: Arguments) -> Predictor:
        """The predictor of the scores that are asked for."""
        if callable(arguments.target):
            return self._predictor.with_target(arguments.target)
        if isinstance(self._predictor, Unasked):
            raise self._predictor.error
        return self._predictor


def _make_predictor(model, preprocess, class_names, waits):
    if not isinstance(model, Predictor):
        make = predict_or_wait if waits else Predictor
        return make(model, preprocess=preprocess, class_names=class_names)
    if preprocess is not None:
        raise ValueError(
            "Expected `preprocess` on the Predictor, because one is the model, received it here."
            " Use Predictor(model, preprocess=...)."
        )
    if class_names is not None and model.is_ambiguous:
        return model.with_names(class_names)
    return model


def make_explanation(subject: Any, result: Any, arguments: Any) -> Explanation:
    """An `Explanation` of a subject from a `Result` and the `Arguments` of `explain`."""
    return Explanation(
        subject=subject,
        class_names=arguments.names(result.classes),
        seed=int(arguments.seed),
        **result._asdict(),
    )
