"""Coefficient maps per epoch in TensorBoard."""

import os
from collections.abc import Sequence

import numpy as np

from keras_explain import plots
from keras_explain.callbacks._report import ReportCallback
from keras_explain.checks import check_positive
from keras_explain.data.examples import first_examples
from keras_explain.linear._input_gradient import InputGradient
from keras_explain.linear.mean_gradient import average
from keras_explain.signatures import Data


class CoefficientCallback(ReportCallback):
    """Log what speaks for each class, epoch by epoch: coefficients, or the mean gradient.

    For a linear model the maps are its coefficients; for another its gradient, averaged over a
    few examples. In the first epochs they are noise; noise that stays is a model that could do
    with regularization.

    Args:
        data: images to average over: arrays, `(x, y)`, `tf.data`, `PyDataset`. One is enough
            for a linear model.
        log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
        every_n_epochs: log after each n-th epoch.
        max_images: how many images are averaged over.
        class_names: one for each class.
        shape: `(H, W)` of one input, where the model's own is flat.
        name: prefix of the tags.

    Raises:
        ValueError: no examples, or, before the first epoch, inputs that are no images.

    Example:
        >>> callback = CoefficientCallback(np.zeros((8, 28, 28)), log_dir="logs")
        >>> # model.fit(x, y, callbacks=[callback])
    """

    def __init__(
        self, data: Data, *, log_dir: str | os.PathLike = "logs", every_n_epochs: int = 1,
        max_images: int = 64, class_names: Sequence[str] | None = None,
        shape: Sequence[int] | None = None, name: str = "coefficients",
    ) -> None:
        super().__init__(log_dir, every_n_epochs, name)
        max_images = check_positive("max_images", max_images)
        self.inputs, _ = first_examples(data, None, max_images)
        self.shape, self.class_names = shape, class_names

    def _forget(self):
        super()._forget()
        self._gradient = None

    def prepare(self) -> None:
        """Compile the gradient once, and check that it can be drawn."""
        if self._gradient is None or self._gradient.question.model is not self.model:
            self._gradient = InputGradient(self.model)
        self._draw()

    def report(self, step: int) -> None:
        """Log the maps, and how much the slopes differ between examples (0 if linear)."""
        gradient, figure = self._draw()
        self.figure("maps", figure, step)
        size = np.abs(gradient.mean).mean()
        self.scalar("mean magnitude", size, step)
        spread = gradient.standard_error * np.sqrt(gradient.count)
        self.scalar("spread over examples", np.nan_to_num(spread).mean() / max(size, 1e-12), step)

    def _draw(self):
        gradient = average(self._gradient, self.inputs)
        maps = gradient.mean if np.ndim(gradient.intercept) else gradient.mean[None]
        if self.shape is not None:
            maps = maps.reshape(len(maps), *self.shape)
        if maps.ndim == 4:
            maps = maps.sum(axis=-1)
        if maps.ndim != 3:
            raise ValueError(
                f"Expected images, received inputs of shape {maps.shape[1:]}. Give"
                " `shape=(height, width)` for flat ones."
            )
        return gradient, plots.coefficient_maps({self.model.name: maps}, self._names(len(maps)))

    def _names(self, count):
        if self.class_names is None or len(self.class_names) == count:
            return self.class_names
        return list(self.class_names)[-1:] if count == 1 else self.class_names
