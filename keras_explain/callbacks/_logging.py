"""What all callbacks share: one process logs, into a folder, and training goes on."""

import os
import warnings
import weakref

import keras

from keras_explain.checks import check_positive
from keras_explain.graph.models import has_shapes
from keras_explain.tensorboard.naming import FOLDER
from keras_explain.tensorboard.writer import EventWriter, safe_tag

_writing = weakref.WeakValueDictionary()  # the callback that wrote into a folder last


class LoggingCallback(keras.callbacks.Callback):
    """Abstract: logs for TensorBoard beside a training.

    A subclass gives `prepare()`, where a wrong configuration is an error. It is called before
    training, or after the first batch of a model that gets its shapes from the data.

    A copy, or one that was pickled, has the configuration and nothing of a training.

    Args:
        log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
        every_n_epochs: log after each n-th epoch.
        name: prefix of the tags and name of the run.
    """

    def __init__(self, log_dir, every_n_epochs, name):
        super().__init__()
        self.log_dir, self.name = os.fspath(log_dir), name
        self.every_n_epochs = check_positive("every_n_epochs", every_n_epochs)
        self._forget()

    def prepare(self) -> None:
        """Look at the model once: what is wrong shows now."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        """Check the configuration and open the log, if the model has its shapes by now."""
        self._writer, self._warned, self._is_ready = None, False, False
        self._writes = self._is_chief()
        if not self._writes:
            return
        if has_shapes(self.model):
            self._get_ready()
        else:
            self._claim()

    def on_train_batch_end(self, batch, logs=None):
        """The same after the first batch, if the model had no shapes before."""
        if self._writes and not self._is_ready:
            self._get_ready()

    def _get_ready(self):
        self.prepare()
        self._writer = EventWriter(self._claim())
        self._is_ready = True

    def _forget(self):
        """Set what belongs to one training as it is before any."""
        self._writer, self._warned, self._writes, self._is_ready = None, False, False, False

    def __getstate__(self):
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _model=None, params=None)
        other._forget()
        return other.__dict__

    def _is_chief(self):
        return is_chief(self.model)

    def _claim(self):
        """The folder of this series, which no other callback of this training writes."""
        name = safe_tag(self.name).replace("/", "_").strip(" .") or "explanations"
        folder = os.path.join(self.log_dir, FOLDER, name)
        key = os.path.normcase(os.path.abspath(folder))
        other = _writing.get(key)
        # all callbacks of one training have the same dict
        if other not in (None, self) and self.params and other.params is self.params:
            raise ValueError(
                f"Expected one callback for each series, received {type(other).__name__} and"
                f" {type(self).__name__}, which both write {folder!r}. Give one of them another"
                " `name=`."
            )
        _writing[key] = self
        return folder

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


def is_chief(model):
    """Whether this process logs: under distributed training one does."""
    extended = getattr(getattr(model, "distribute_strategy", None), "extended", None)
    return getattr(extended, "should_save_summary", True)
