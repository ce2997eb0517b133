"""Explanations per epoch in TensorBoard."""

import os
import re
import warnings

import keras
import numpy as np
from keras import tree

from keras_explain import images
from keras_explain.callbacks.examples import first_examples
from keras_explain.explainers.explained_model import ExplainedModel
from keras_explain.tensorboard.writer import EventWriter

MOST_FRAMES = 24


class ExplanationCallback(keras.callbacks.Callback):
    """Log what the model looks at, epoch by epoch.

    A shortcut (a watermark, a ruler, a corner) shows in the maps long before it shows in a
    metric. The same few images are explained again after each epoch; TensorBoard's Images tab
    shows, per image: the input (once), the heatmap, the overlay with the model's answer, and a
    filmstrip of the epochs so far (TensorBoard itself keeps only a sample of steps).

    The model trains exactly as without it: weights, random numbers and history are the same. A
    drawing or disk problem warns once and training goes on; a wrong configuration is an error
    before the first epoch.

    Args:
        builder: a function from a model to an explained model (`keras_explain.grad_cam`, or a
            `functools.partial` of one), or an explained model of the model that trains.
        data: examples, see `first_examples`: arrays, `(x, y)`, `tf.data`, `PyDataset`.
        labels: true classes, shown beside the answers.
        log_dir: TensorBoard's directory; the run is `log_dir/explanations`.
        every_n_epochs: explain after each n-th epoch.
        max_images: how many examples are kept.
        class_names: names for the classes.
        unpreprocess: function from a batch of model inputs to pictures, undoing the
            preprocessing; None guesses from the value range.
        name: prefix of the tags; None takes the method's name.

    Raises:
        TypeError: `builder` is neither callable nor an explained model.
        ValueError: no examples, a heatmap that is no picture, `every_n_epochs` below 1.

    Example:
        >>> import functools, keras_explain as kx
        >>> method = functools.partial(kx.saliency, signed=True)
        >>> callback = kx.callbacks.ExplanationCallback(
        ...     method, np.zeros((2, 8, 8, 1)), log_dir="logs")
        >>> # model.fit(x, y, callbacks=[callback])
    """

    def __init__(self, builder, data, labels=None, *, log_dir="logs", every_n_epochs=1,
                 max_images=8, class_names=None, unpreprocess=None, name=None):
        super().__init__()
        if not (callable(builder) or isinstance(builder, ExplainedModel)):
            raise TypeError(
                "Expected `builder` to be a function such as keras_explain.grad_cam, or an"
                f" explained model, received {type(builder).__name__}."
            )
        if every_n_epochs < 1 or max_images < 1:
            raise ValueError(
                "Expected `every_n_epochs` and `max_images` of at least 1, received"
                f" {every_n_epochs} and {max_images}."
            )
        self.builder, self.log_dir = builder, os.fspath(log_dir)
        self.every_n_epochs, self.class_names = every_n_epochs, class_names
        self.unpreprocess = unpreprocess
        self.name = name or _method_name(builder)
        self.inputs, self.labels = first_examples(data, labels, max_images)
        self._frames = {}
        self._explained = self._writer = self._pictures = None
        self._warned = False

    def on_train_begin(self, logs=None):
        """Build, explain once (what is wrong shows now) and log the inputs."""
        if self._explained is None or self._explained.explainer.model is not self.model:
            self._explained = self._build()
        self._pictures = self._input_pictures()
        maps, answers = self._explain()
        self._writer = EventWriter(os.path.join(self.log_dir, "explanations"))
        for tag, pictures in self._pictures.items():
            for i, picture in enumerate(pictures):
                self._writer.image(f"{self.name}/{i}{tag}/input", _legible(picture), step=0)
        self._draw("start", None, maps, answers)

    def on_epoch_end(self, epoch, logs=None):
        """Explain and log; whatever fails, training goes on."""
        if (epoch + 1) % self.every_n_epochs:
            return
        try:
            self._draw(f"epoch {epoch + 1}", epoch, *self._explain())
        except Exception as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"{type(self).__name__} could not log its explanations and goes on without:"
                    f" {type(error).__name__}: {error}",
                    stacklevel=2,
                )

    def on_train_end(self, logs=None):
        """Close the log."""
        if self._writer is not None:
            self._writer.close()

    def _build(self):
        if not isinstance(self.builder, ExplainedModel):
            return self.builder(self.model)
        if self.builder.explainer.model is not self.model:
            raise ValueError(
                "Expected an explained model of the model that trains, received one of"
                f" {self.builder.explainer.model.name!r}. Pass the builder function instead."
            )
        return self.builder

    def _explain(self):
        """Heatmaps by tag suffix, and the predictions of the explained output."""
        outputs = tree.map_structure(
            keras.ops.convert_to_numpy, self._explained.predict_on_batch(self.inputs)
        )
        maps = outputs["heatmap"]
        if not isinstance(maps, dict):
            maps = dict(enumerate(maps)) if isinstance(maps, (list, tuple)) else {"": maps}
        maps = {f"/{key}" if key != "" else "": value for key, value in maps.items()}
        for value in maps.values():
            if value.ndim != 3:
                raise ValueError(
                    f"Expected heatmaps of images, shape (N, H, W), received {value.shape}."
                    " This callback draws pictures only."
                )
        answers = [a for a in tree.flatten(outputs["predictions"]) if a.ndim == 2]
        return maps, answers[0] if answers else None

    def _input_pictures(self):
        """The explained inputs as uint8 pictures, by the same tag suffixes as the heatmaps."""
        explainer = self._explained.explainer
        arrays = tree.flatten(self.inputs)
        shown = [arrays[explainer.program.inputs.index(v)] for v in explainer.explained]
        if explainer.program.data_format() == "channels_first":
            shown = [np.moveaxis(x, 1, -1) if x.ndim == 4 else x for x in shown]
        shown = [images.to_uint8(x, self.unpreprocess) for x in shown]
        if len(explainer.keys) == 1:
            return {"": shown[0]}
        shown = shown * len(explainer.keys) if len(shown) == 1 else shown
        return {f"/{key}": x for key, x in zip(explainer.keys, shown, strict=True)}

    def _draw(self, label, step, maps, answers):
        signed = self._explained.explainer.signed  # one palette for all epochs
        for tag, heatmaps in maps.items():
            overlays = images.overlay(self._pictures[tag], heatmaps, signed=signed)
            for i, overlay in enumerate(overlays):
                place = f"{self.name}/{i}{tag}"
                strip = self._frames.setdefault(place, Filmstrip())
                strip.add(overlay, label)
                if step is None:
                    continue
                text = f"{self._answer(i, answers)} {label}".strip()
                write = self._writer.image
                write(f"{place}/heatmap", _legible(images.colorize(heatmaps[i], signed=signed)), step)
                write(f"{place}/overlay", images.caption(overlay, text), step)
                write(f"{place}/filmstrip", strip.picture(), step)
        self._writer.flush()

    def _answer(self, i, answers):
        """What the model says of example i: "cat 87 % (is dog)"."""
        if answers is None:
            return ""
        scores = answers[i].astype("float32")
        if len(scores) == 1:
            return f"{scores[0]:.3g}{self._truth(i, None)}"
        best = int(scores.argmax())
        sure = f"{scores[best]:.0%}" if 0 <= scores.min() and scores.sum() < 1.01 else ""
        return f"{self._class_name(best)} {sure}{self._truth(i, best)}"

    def _truth(self, i, answer):
        if self.labels is None or self.labels[i] == answer:
            return ""
        return f" (is {self._class_name(self.labels[i])})"

    def _class_name(self, index):
        if self.class_names is None or not float(index).is_integer():
            return f"{index:g}"
        return str(self.class_names[int(index)])


class Filmstrip:
    """Small frames of many epochs, at most `MOST_FRAMES` of them: then every second one goes."""

    def __init__(self):
        self.frames, self.every, self.seen = [], 1, 0
        self.last = None

    def add(self, picture, label):
        self.last = (_small(picture), label)
        if self.seen % self.every == 0:
            self.frames.append(self.last)
        self.seen += 1
        if len(self.frames) > MOST_FRAMES:
            self.frames, self.every = self.frames[::2], self.every * 2

    def picture(self):
        frames = self.frames if self.frames[-1] is self.last else [*self.frames, self.last]
        return images.filmstrip([f for f, _ in frames], [label for _, label in frames])


def _small(picture):
    return images.filmstrip([picture], max_side=128, min_side=1, gap=0)


def _legible(picture):
    """Small pictures enlarged, so that they can be seen in the browser."""
    return images.filmstrip([picture], max_side=None, gap=0)


def _method_name(builder):
    if isinstance(builder, ExplainedModel):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(builder.explainer).__name__).lower()
    return getattr(getattr(builder, "func", builder), "__name__", "explanation").strip("<>")
