"""What the explainers of images, texts and tables have in common."""

from keras_explain.lime._local import LocalModel
from keras_explain.lime._request import Request
from keras_explain.lime.predictor import Predictor


class Explainer:
    """A predictor, how its surrogate is found, and the names of its classes.

    Args:
        model, preprocess: as for `Predictor`; or `model` is a `Predictor`.
        class_names: the classes' names, or `None`.
        num_features: how many features may get a weight where the user does not say; `None` for
            all.
        local: what `LocalModel` takes.
    """

    def __init__(self, model, preprocess, class_names, num_features=None, **local):
        self._predictor = _as_predictor(model, preprocess)
        self._local = LocalModel(**local)
        self._class_names = None if class_names is None else tuple(map(str, class_names))
        self._num_features = num_features

    def _request(self, classes, num_samples, num_features, seed, tolerance, verbose):
        """The checked arguments of `explain`."""
        if num_features is None and self._local.is_sparse:
            num_features = self._num_features
        request = Request(
            classes,
            num_samples,
            num_features,
            seed,
            tolerance,
            verbose,
            self._class_names,
            self._predictor.num_classes,
        )
        self._local.check(request)
        return request


def _as_predictor(model, preprocess):
    if not isinstance(model, Predictor):
        return Predictor(model, preprocess=preprocess)
    if preprocess is not None:
        raise ValueError(
            "Expected preprocess= on the Predictor, because one was passed as the model; use "
            "Predictor(model, preprocess=...)."
        )
    return model
