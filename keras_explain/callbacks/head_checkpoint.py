"""The last layer after each epoch, for TracIn."""

import os
import warnings

import keras
import numpy as np

from keras_explain.callbacks._logging import is_chief
from keras_explain.checks import check_positive
from keras_explain.graph.models import has_shapes
from keras_explain.training_examples._head import Head
from keras_explain.training_examples.checkpoints import HeadCheckpoint, save_checkpoint


class HeadCheckpointCallback(keras.callbacks.Callback):
    """Keep the last layer after epochs, for `training_examples.influence` and wrong labels.

    TracIn adds up what training examples did to an answer over the training. It needs the weights
    of that time; here those of the last layer alone, some kilobytes an epoch. A training that is
    begun again with `initial_epoch` goes on in the same folder; an epoch that is trained again
    takes the place of the earlier one. A problem while training warns once.

    Args:
        path: the folder. `training_examples.load_checkpoints` reads it.
        every_n_epochs: keep after each n-th epoch.

    Raises:
        ValueError: before the first epoch, a model without one linear last layer.

    Example:
        >>> callback = HeadCheckpointCallback("heads", every_n_epochs=5)
        >>> # model.fit(x, y, callbacks=[callback])
    """

    def __init__(self, path: str | os.PathLike, *, every_n_epochs: int = 1) -> None:
        super().__init__()
        self.path = os.fspath(path)
        self.every_n_epochs = check_positive("every_n_epochs", every_n_epochs)
        self._head, self._warned = None, False

    def __getstate__(self):
        return {**self.__dict__, "_model": None, "params": None, "_head": None, "_warned": False}

    def on_train_begin(self, logs=None):
        """Check that the model has a last layer to keep, if it has its shapes by now."""
        self._head, self._warned = None, False
        if is_chief(self.model) and has_shapes(self.model):
            self._head = Head(self.model)

    def on_epoch_end(self, epoch, logs=None):
        """Keep the last layer; a problem warns once."""
        if not is_chief(self.model) or (epoch + 1) % self.every_n_epochs:
            return
        try:
            self._head = self._head or Head(self.model)
            kernel, bias = self._head.read_weights()
            rate = float(np.asarray(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
            save_checkpoint(self.path, HeadCheckpoint(kernel, bias, rate, epoch + 1))
        except Exception as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{type(self).__name__} could not keep the last layer and goes on without:"
                    f" {type(error).__name__}: {error}", stacklevel=2)
