"""Models whose outputs are no scores of classes, until a target is asked of them."""

import keras

from keras_explain.lime.predictor import Predictor


class Unasked(Predictor):
    """A segmentation's or detector's model: a target of `explain` makes a predictor of it.

    Args:
        model: a Keras model.
        error: what `Predictor` says of it, for those who pass no target.
        **options: those of `Predictor`.
    """

    def __init__(self, model, error, **options):
        self.error = error
        super().__init__(model, **options)

    def _count_classes(self):
        return None

    def _ends_in_sigmoid(self):
        return None

    def reduce(self):
        return None


def predict_or_wait(model, **options):
    """A `Predictor`, or an `Unasked` where a Keras model's outputs are no scores of classes.

    Raises:
        TypeError, ValueError: those of `Predictor`, of anything else.
    """
    try:
        return Predictor(model, **options)
    except ValueError as error:
        if not isinstance(model, keras.Model):
            raise
        return Unasked(model, error, **options)
