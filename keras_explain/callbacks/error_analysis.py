"""Confusion matrix, mistakes and their reasons per epoch in TensorBoard."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import tree

from keras_explain import plots
from keras_explain.callbacks._report import ReportCallback
from keras_explain.checks import check_positive
from keras_explain.data.examples import first_rows
from keras_explain.error_analysis.analysis import (
    analyze_errors,
    class_heatmaps,
    request_model,
)
from keras_explain.signatures import Array, Data


class ErrorAnalysisCallback(ReportCallback):
    """Log what a classifier gets wrong, and why, epoch by epoch.

    In TensorBoard: the confusion matrix, the classification report, the surest mistakes with
    heatmaps for the true and the predicted class and their difference, and as scalars the
    accuracy, the number of mistakes and the share of the worst pair of classes.

    Args:
        data: validation data: arrays, `(x, y)`, `tf.data`, `PyDataset`.
        y: true classes, indices or one-hot rows, where `data` is arrays without them.
        builder: a function from a model and `target=` to an explained model; None is as in
            `explain_errors`.
        log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
        every_n_epochs: log after each n-th epoch.
        max_images: how many mistakes are shown.
        candidates: how many examples are looked through.
        class_names: one for each class.
        unpreprocess: function from a batch of model inputs to pictures.
        name: prefix of the tags.

    Raises:
        ValueError: no examples or labels, a count below 1; before the first epoch, labels that
            do not fit the model or heatmaps that are no images.

    Example:
        >>> callback = ErrorAnalysisCallback(np.zeros((8, 28, 28)), np.zeros(8), log_dir="logs")
        >>> # model.fit(x, y, callbacks=[callback])
    """

    def __init__(
        self, data: Data, y: Array | None = None, *, builder: Callable[..., Any] | None = None,
        log_dir: str | os.PathLike = "logs", every_n_epochs: int = 1, max_images: int = 8,
        candidates: int = 2000, class_names: Sequence[str] | None = None,
        unpreprocess: Callable[..., Any] | None = None, name: str = "errors",
    ) -> None:
        super().__init__(log_dir, every_n_epochs, name)
        max_images = check_positive("max_images", max_images)
        candidates = check_positive("candidates", candidates)
        self.inputs, self.labels = first_rows(data, y, candidates)
        if self.labels is None or isinstance(self.labels, (dict, list, tuple)):
            raise ValueError(
                "Expected labels of one output with the data, received"
                f" {'none' if self.labels is None else type(self.labels).__name__}. Pass"
                " (x, y) with the classes of one output as y."
            )
        self.builder, self.max_images = builder, max_images
        self.class_names, self.unpreprocess = class_names, unpreprocess

    def _forget(self):
        super()._forget()
        self._explained = None

    def prepare(self) -> None:
        """Build the explained model, and check labels and heatmaps on one example."""
        self._explained = request_model(self.model, self.builder)
        self._analyze()
        maps = self._why(np.zeros(1, int), np.zeros(1, int), np.zeros(1, int))
        if np.ndim(maps.true) != 3:
            raise ValueError(
                f"Expected heatmaps of images, shape (N, H, W), received {np.shape(maps.true)}."
                " This callback draws pictures only."
            )

    def report(self, step: int) -> None:
        """Log matrix, report, gallery and scalars."""
        analysis = self._analyze()
        self.figure("confusion", plots.confusion_matrix({f"epoch {step + 1}": analysis}), step)
        self.text("report", analysis.report(), step)
        self.scalar("accuracy", analysis.accuracy, step)
        self.scalar("mistakes", len(analysis.misclassified), step)
        worst = analysis.most_confused(1)
        self.scalar("worst pair", worst[0].rate if worst else 0.0, step)
        rows = analysis.misclassified[: self.max_images]
        if len(rows):
            why = self._why(rows, analysis.y[rows], analysis.predicted[rows])
            figure = plots.error_gallery(self._pictures(rows), analysis, why, rows=rows,
                                         title=f"epoch {step + 1}")
            self.figure("gallery", figure, step)

    def _analyze(self):
        return analyze_errors(self.model, self.inputs, self.labels, class_names=self.class_names,
                              verbose=0)

    def _why(self, rows, labels, predicted):
        chosen = tree.map_structure(lambda x: x[rows], self.inputs)
        return class_heatmaps(self._explained, chosen, labels, predicted, self.max_images)

    def _pictures(self, rows):
        pictures = tree.flatten(self.inputs)[0][rows]
        return pictures if self.unpreprocess is None else self.unpreprocess(pictures)
