"""What callbacks share that log one figure of the whole model per epoch."""

import io

from keras_explain.callbacks._logging import LoggingCallback


class ReportCallback(LoggingCallback):
    """Abstract: log a report of the model after epochs.

    A subclass gives `prepare()`, and `report(step)`, which writes with `figure`, `scalar` and
    `text`.
    """

    def report(self, step: int) -> None:
        """Write what is to be seen of the model at this epoch."""
        raise NotImplementedError

    def on_epoch_end(self, epoch, logs=None):
        """Report; a problem warns once."""
        if self._writer is not None and (epoch + 1) % self.every_n_epochs == 0:
            self._survive(self._report_and_flush, epoch)

    def _report_and_flush(self, step):
        self.report(step)
        self._writer.flush()

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
