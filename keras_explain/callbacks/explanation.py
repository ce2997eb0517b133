"""Explanations per epoch in TensorBoard."""

import copy
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_explain.callbacks._answers import Found, Namer, name_label, read_answers, sentence
from keras_explain.callbacks._logging import LoggingCallback
from keras_explain.callbacks._pace import Pace
from keras_explain.callbacks._pictures import ImagesTab
from keras_explain.callbacks._progress import batches_seen, digest
from keras_explain.callbacks._sources import make_source
from keras_explain.callbacks._worst import WorstExamples, take
from keras_explain.checks import check_choice, check_positive
from keras_explain.data.batches import class_indices
from keras_explain.data.examples import first_rows
from keras_explain.explainers._choice import name_of
from keras_explain.explainers._explained_model import BlankHeatmapWarning, ExplainedModel
from keras_explain.signatures import Array, Data
from keras_explain.tensorboard.records import MOST_EXAMPLES, SeriesWriter

PICKS = ("first", "worst")


class ExplanationCallback(LoggingCallback):
    """Log what the model looks at, epoch by epoch.

    A shortcut (a watermark, a ruler, a corner) shows in the maps long before it shows in a
    metric. A few examples are explained again after each epoch. TensorBoard's Explanations tab
    (it is there when `keras_explain` is installed beside TensorBoard) keeps every epoch; the
    Images tab shows the input, the overlay with the model's answer and a filmstrip.

    The model trains exactly as without it: weights, random numbers and history are the same. A
    drawing or disk problem warns once and training goes on; a wrong configuration is an error
    before the first epoch. What it costs is a scalar, `<name>/seconds`.

    The first step shows the model that training begins with, after other callbacks have restored
    its weights. A model that gets its shapes from the data is looked at after the first batch. A
    training that is resumed (`initial_epoch`, `BackupAndRestore`) goes on where the log ended.

    Args:
        builder: a function from a model to an explained model (`keras_explain.grad_cam`, or a
            `functools.partial` of one) or to a LIME explainer; or an explained model of the
            model that trains; or a LIME explainer.
        data: examples: arrays, `(x, y)`, `tf.data`, `PyDataset`, a list of texts.
        y: true classes, shown beside the answers.
        log_dir: TensorBoard's directory; the run is `log_dir/explanations/<name>`.
        every_n_epochs: explain after each n-th epoch; None: as many as take at most a fifth of
            the training's time, and the last.
        every_n_batches: explain after each n-th batch instead; steps count batches then.
        max_images: how many examples are shown.
        class_names: names for the classes.
        unpreprocess: function from a batch of model inputs to pictures, undoing the
            preprocessing; None guesses from the value range. For tokens: a function from
            `(N, T)` tokens to a list of words for each text.
        name: the series' name; None takes the method's name. Two callbacks with one `log_dir`
            need two names.
        pick: "first" explains the same `max_images` examples each time; "worst" those of
            highest loss at that time, among the first `candidates`.
        candidates: how many examples are looked through for the worst.
        metrics: `keras_explain.metrics.logged("deletion", ...)`, or any dict of functions
            `(explained, inputs, columns) -> one number per example`; the mean is logged as the
            scalar `<name>/<key>`.

    Raises:
        TypeError: `builder` is neither callable nor explains.
        ValueError: no examples, a heatmap that cannot be drawn, a count below 1, "worst" without
            labels or loss.

    Example:
        >>> import functools, keras_explain as kx
        >>> method = functools.partial(kx.saliency, signed=True)
        >>> callback = kx.callbacks.ExplanationCallback(
        ...     method, np.zeros((2, 8, 8, 1)), log_dir="logs")
        >>> # model.fit(x, y, callbacks=[callback])
    """

    def __init__(
        self, builder: Any, data: Data, y: Array | None = None, *,
        log_dir: str | os.PathLike = "logs", every_n_epochs: int | None = 1,
        every_n_batches: int | None = None, max_images: int = 8,
        class_names: Sequence[str] | None = None,
        unpreprocess: Callable[..., Any] | None = None, name: str | None = None,
        pick: Literal["first", "worst"] = "first", candidates: int = 1000,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        if not (callable(builder) or hasattr(builder, "explain")):
            raise TypeError(
                "Expected `builder` to be a function such as keras_explain.grad_cam, an"
                f" explained model or a LIME explainer, received {type(builder).__name__}. Wrap"
                " options: functools.partial(kx.grad_cam, layer=...)."
            )
        self._is_paced, n = every_n_epochs is None, every_n_epochs
        super().__init__(log_dir, 1 if self._is_paced else n, name or _method_name(builder))
        max_images = check_positive("max_images", max_images)
        candidates = check_positive("candidates", candidates)
        if every_n_batches is not None:
            every_n_batches = check_positive("every_n_batches", every_n_batches)
        if max_images > MOST_EXAMPLES:
            raise ValueError(
                f"Expected `max_images` of at most {MOST_EXAMPLES}, received {max_images}."
                " Nobody looks at more; use several callbacks with other `name`s."
            )
        check_choice("pick", pick, PICKS)
        self.builder, self.every_n_batches = builder, every_n_batches
        self.max_images, self.unpreprocess, self.pick = max_images, unpreprocess, pick
        self.class_name, self.metrics = Namer(class_names), dict(metrics or {})
        count = max_images if pick == "first" else max(candidates, max_images)
        self._inputs, self._targets = first_rows(data, y, count)

    def _forget(self):
        super()._forget()
        self._source = self._worst = self._series = self._start = self._shown = self._pace = None
        self._tabs, self._warned_of = {}, set()
        self._epoch = self._batches = self._batches_before = self._step = 0
        self._epoch_began, self._is_resumed = None, False

    def __deepcopy__(self, memo):
        other = memo[id(self)] = object.__new__(type(self))
        if isinstance(self.builder, ExplainedModel) or (
                hasattr(self.builder, "explain") and not isinstance(self.builder, type)):
            memo[id(self.builder)] = self.builder  # of the model that trains, not of a copy of it
        other.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return other

    def on_train_begin(self, logs=None):
        """Build and explain once, if the model has its shapes: what is wrong shows now."""
        self._series = None
        if self.pick == "worst":
            self._worst = WorstExamples(self.model, self._inputs, self._targets, self.max_images)
        super().on_train_begin(logs)

    def prepare(self) -> None:
        """Build and explain once: what is wrong shows now."""
        if self._source is None or self._source.model is not self.model:
            self._source = make_source(self.builder, self.model, self.unpreprocess)
        self._name_after(self._source)
        self._look()

    def on_epoch_begin(self, epoch, logs=None):
        """Log the model that training begins with: by now all callbacks have restored weights."""
        self._epoch, self._epoch_began = epoch, time.perf_counter()
        if self._writes and self._series is None:
            self._batches = batches_seen(self.model)
            self._is_resumed = bool(epoch if self.every_n_batches is None else self._batches)
            if self._is_ready:
                self._survive(self._begin, "start")
        self._batches_before = self._batches

    def on_train_batch_end(self, batch, logs=None):
        """Explain, if asked for after batches, or if the model had no shapes before."""
        is_late = self._writes and not self._is_ready
        super().on_train_batch_end(batch, logs)
        before, self._batches = self._batches, self._batches_before + batch + 1
        n = self.every_n_batches
        is_due = self._writes and n is not None and self._batches // n > before // n
        if is_late:
            self._survive(self._begin, None if is_due else f"batch {batch + 1}")
        if is_due:
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()  # the variables lag behind within an epoch
            self._survive(self._log, self._batches, f"batch {self._batches}")

    def on_epoch_end(self, epoch, logs=None):
        """Explain and log; whatever fails, training goes on."""
        if self.every_n_batches is None and self._writes and self._is_due(epoch):
            self._survive(self._log, epoch, f"epoch {epoch + 1}")

    def _is_due(self, epoch):
        if not self._is_paced or self._series is None:
            return (epoch + 1) % self.every_n_epochs == 0
        passed = time.perf_counter() - self._epoch_began
        return self._pace.is_due(passed, epoch + 1 == self.params.get("epochs"))

    def on_train_end(self, logs=None):
        """Complete and close the log."""
        if self._writer is not None:
            self._survive(self._finish)
            self._survive(self._writer.close)

    def _name_after(self, source):
        """Take the name of the method that was chosen for the model."""

    def _look(self):
        """Explain the model as it is before the first step that is logged."""
        self._start = self._explain()
        self._shown = self._source.show_inputs(self._start.inputs)
        self._start_weights = digest(self.model)

    def _explain(self):
        began = time.perf_counter()
        inputs, labels = self._inputs, self._targets
        if self._worst is not None:
            rows = self._worst.rows()
            inputs, labels = take(inputs, rows), labels[rows]
        if labels is not None and not isinstance(labels, (dict, list, tuple)):
            labels = class_indices(labels)
        else:
            labels = None  # several outputs: which is explained is not known here
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            columns, scores = self._source.columns(inputs)
        self._pass_on(caught)
        answers = read_answers(scores, labels, self.class_name, self._source.activation)
        truth = None if labels is None else [name_label(self.class_name, y) for y in labels]
        return Found(inputs, truth, columns, answers, time.perf_counter() - began)

    def _pass_on(self, caught):
        """Warn of a thing once, not at each epoch: blank maps, few samples. The tab marks them."""
        for warning in caught:
            blank = issubclass(warning.category, BlankHeatmapWarning)
            what = warning.category, "" if blank else str(warning.message)
            if what not in self._warned_of:
                self._warned_of.add(what)
                warnings.warn_explicit(warning.message, warning.category, warning.filename,
                                       warning.lineno)

    def _begin(self, label):
        """Open the series; log its first step, unless a training before this one has done it."""
        if self._start_weights != digest(self.model):
            self._look()
        unit = "epoch" if self.every_n_batches is None else "batch"
        step = self._epoch - 1 if unit == "epoch" else self._batches
        self._series, self._tabs, found = {}, {}, self._start
        self._pace = Pace(found.seconds)
        for suffix, column in found.columns.items():
            name = f"{self.name}{suffix}"
            series = SeriesWriter(self._writer, name, kind=column.kind, signed=self._source.signed,
                                  unit=unit, pick=self.pick)
            self._series[suffix] = series
            self._tabs[suffix] = ImagesTab(self._writer, name, self._source.signed)
            series.examples(step, self._shown[suffix], found.truth, column.segments)
            if column.maps is not None and self._worst is None:
                self._tabs[suffix].keep_inputs(self._shown[suffix], max(step, 0))
        if label is not None and not self._is_resumed:
            self._write(found, step, label)
        self._start = None

    def _log(self, step, label):
        if self._series is None:
            raise RuntimeError("the examples could not be logged")
        with self._pace:
            self._write(self._explain(), step, label)

    def _write(self, found, step, label):
        self._step = max(step, 0)
        shown = self._shown if self._worst is None else self._source.show_inputs(found.inputs)
        for suffix, column in found.columns.items():
            examples = None
            if self._worst is not None:
                examples = shown[suffix], found.truth, column.segments
            self._series[suffix].step(step, label, column.values, found.answers, found.seconds,
                                      examples)
            if column.maps is not None:
                captions = [sentence(found.answers, found.truth, i)
                            for i in range(len(column.maps))]
                self._tabs[suffix].add(shown[suffix], column.maps, captions, label, step,
                                       draw=step >= 0)
        if step >= 0:
            self._scalars(found, step)
        self._writer.flush()

    def _scalars(self, found, step):
        self._writer.scalar(f"{self.name}/seconds", found.seconds, step)
        if self._epoch_began is not None and self.every_n_batches is None:
            passed = time.perf_counter() - self._epoch_began
            share = found.seconds / max(passed, 1e-9)
            self._writer.scalar(f"{self.name}/share of the epoch", share, step)
        if self._pace.skipped:
            self._writer.text(f"{self.name}/epochs", self._pace.describe(), step)
        for key, metric in self.metrics.items():
            explained = getattr(self._source, "explained", self._source)
            numbers = np.asarray(metric(explained, found.inputs, found.columns), float)
            known = numbers[np.isfinite(numbers)]
            self._writer.scalar(f"{self.name}/{key}", known.mean() if len(known) else np.nan, step)

    def _finish(self):
        for tab in (self._tabs if self._series else {}).values():
            tab.finish(self._step)


def _method_name(builder):
    if isinstance(builder, ExplainedModel):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(builder.explainer).__name__)
        return name_of(builder) or words.lower()
    if hasattr(builder, "explain") and not isinstance(builder, type):
        return "lime"
    name = getattr(getattr(builder, "func", builder), "__name__", "explanation")
    return "lime" if name.startswith("Lime") else name.strip("<>")
