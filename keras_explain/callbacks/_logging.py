"""What all callbacks share: one process logs, into a folder, and training goes on."""

import os
import warnings

import keras

from keras_explain.checks import check_positive
from keras_explain.tensorboard.naming import FOLDER
from keras_explain.tensorboard.writer import EventWriter, safe_tag


class LoggingCallback(keras.callbacks.Callback):
    """Abstract: logs for TensorBoard beside a training.

    Args:
        log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
        every_n_epochs: log after each n-th epoch.
        name: prefix of the tags and name of the run.
    """

    def __init__(self, log_dir, every_n_epochs, name):
        super().__init__()
        self.log_dir, self.name = os.fspath(log_dir), name
        self.every_n_epochs = check_positive("every_n_epochs", every_n_epochs)
        self._writer, self._warned = None, False

    def _is_chief(self):
        """Whether this process logs: under distributed training one does."""
        extended = getattr(getattr(self.model, "distribute_strategy", None), "extended", None)
        return getattr(extended, "should_save_summary", True)

    def _open_log(self):
        folder = safe_tag(self.name).replace("/", "_").strip(" .") or "explanations"
        self._writer = EventWriter(os.path.join(self.log_dir, FOLDER, folder))

    def _survive(self, action, *args):
        """Do `action`; what fails there warns once, and training goes on."""
        try:
            action(*args)
        except Exception as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{type(self).__name__} could not log and goes on without:"
                    f" {type(error).__name__}: {error}",
                    stacklevel=3,
                )
