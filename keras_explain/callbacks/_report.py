"""What callbacks share that log one figure of the whole model per epoch."""

import io
import os
import warnings

import keras

from keras_explain.tensorboard.naming import FOLDER
from keras_explain.tensorboard.writer import EventWriter, safe_tag


class ReportCallback(keras.callbacks.Callback):
    """Abstract: log a report of the model after epochs; training goes on whatever fails.

    A subclass gives `prepare()`, called before training, where a wrong configuration is an
    error, and `report(step)`, which writes with `figure`, `scalar` and `text`.

    Args:
        log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
        every_n_epochs: report after each n-th epoch.
        name: prefix of the tags and name of the run.
    """

    def __init__(self, log_dir, every_n_epochs, name):
        super().__init__()
        if isinstance(every_n_epochs, bool) or not isinstance(every_n_epochs, int) \
                or every_n_epochs < 1:
            raise ValueError(
                "Expected `every_n_epochs` to be an integer of at least 1, received"
                f" {every_n_epochs!r}."
            )
        self.log_dir, self.every_n_epochs, self.name = os.fspath(log_dir), every_n_epochs, name
        self._writer, self._warned = None, False

    def prepare(self):
        """Look at the model once: what is wrong shows now."""
        raise NotImplementedError

    def report(self, step):
        """Write what is to be seen of the model at this epoch."""
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        """Check the configuration and open the log."""
        self._warned = False
        extended = getattr(getattr(self.model, "distribute_strategy", None), "extended", None)
        if not getattr(extended, "should_save_summary", True):
            return  # under distributed training one worker writes
        self.prepare()
        folder = safe_tag(self.name).replace("/", "_").strip(" .") or "report"
        self._writer = EventWriter(os.path.join(self.log_dir, FOLDER, folder))

    def on_epoch_end(self, epoch, logs=None):
        """Report; a problem warns once."""
        if self._writer is None or (epoch + 1) % self.every_n_epochs:
            return
        try:
            self.report(epoch)
            self._writer.flush()
        except Exception as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{type(self).__name__} could not log its report and goes on without:"
                    f" {type(error).__name__}: {error}",
                    stacklevel=2,
                )

    def on_train_end(self, logs=None):
        """Close the log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def figure(self, tag, figure, step):
        """Write a matplotlib figure to the Images tab."""
        png = io.BytesIO()
        figure.savefig(png, format="png")
        self._writer.image(f"{self.name}/{tag}", png.getvalue(), step)

    def scalar(self, tag, value, step):
        """Write a number to the Scalars tab."""
        self._writer.scalar(f"{self.name}/{tag}", value, step)

    def text(self, tag, words, step):
        """Write preformatted text to the Text tab."""
        indented = "\n".join(f"    {line}" for line in words.splitlines())
        self._writer.text(f"{self.name}/{tag}", indented, step)
