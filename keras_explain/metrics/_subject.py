"""The question that every metric asks: what does the model score when the input is changed so?"""

import keras
import numpy as np
from keras import ops

from keras_explain.engine import hiding
from keras_explain.engine.chunks import even, in_chunks
from keras_explain.engine.folding import bind, fold
from keras_explain.graph.axes import heatmap_axes, image_like, space_axes
from keras_explain.graph.padding import find_padding
from keras_explain.graph.question import Question
from keras_explain.graph.rows import take_rows
from keras_explain.metrics._filling import thaw


class Subject:
    """A question, the place and axes of the one input that is changed, and a fast program.

    Args:
        model: a `keras.Model`.
        **asked: see `Question`.
    """

    def __init__(self, model, **asked):
        self.question = Question(model, **asked)
        program = self.question.program
        self.question.choose_one_input(image_like(program), "a metric changes one at a time")
        (self.value,) = self.question.explained
        self.index = self.question.index(self.value)
        self.axes = heatmap_axes(program, self.value)
        self.find_data = find_padding(program, self.value)
        self.fast = fold(program)


class Trials(keras.layers.Layer):
    """Inputs, heatmaps, class -> scores (N, 1 + K): as it is, then in the K trials of a plan.

    Args:
        subject: a Subject.
        plan: has `count(sizes)` (K); `prepare(heatmap)`, which gives a list of tensors with one
            row per image; `see(prepared, k, sizes)`, which tells how much of each place is seen
            in the trials `k`, bool or 0 to 1, (B, *sizes); and `baseline`, the frozen fills of
            what is not seen. Scores are averaged over the fills.
        batch_size: forward passes at a time.
    """

    def __init__(self, subject, plan, batch_size):
        super().__init__(dtype="float32", autocast=False)
        self.subject, self.plan, self.batch_size = subject, plan, batch_size
        self.model = subject.question.model  # whose weights the trials read

    def call(self, inputs):
        *values, heatmap, request = inputs
        subject = self.subject
        run = bind(subject.fast)
        image = values[subject.index]
        sizes = [image.shape[a] for a in subject.axes]
        asked = subject.question
        scores = asked.scores(*run(values))
        chosen = asked.choose_class(scores, None if callable(asked.target) else request)
        clean = ops.sum(scores * chosen, axis=-1)
        prepared, count = self.plan.prepare(heatmap), self.plan.count(sizes)
        data = subject.find_data and subject.find_data(values)
        fills = hiding.Fills(image, space_axes(asked.program, subject.value),
                             thaw(self.plan.baseline), data=data, places=subject.axes)

        def score(pairs):
            which, k = pairs // count, pairs % count
            rows = which // fills.count
            given = take_rows(values, rows)
            seen = self.plan.see(take_rows(prepared, rows), k, sizes)
            given[subject.index] = hiding.blend(
                given[subject.index], fills.take(which, seen), seen, subject.axes)
            return ops.sum(asked.scores(*run(given)) * ops.take(chosen, rows, axis=0), axis=-1)

        found = for_all(score, ops.shape(image)[0] * fills.count * count, self.batch_size)
        found = ops.mean(ops.reshape(found, (-1, fills.count, count)), axis=1)
        return ops.concatenate([clean[:, None], found], axis=1)

    def compute_output_spec(self, inputs):
        image = inputs[self.subject.index]
        count = self.plan.count([image.shape[a] for a in self.subject.axes])
        return keras.KerasTensor((None, 1 + count), "float32")

    def build(self, input_shape):
        self.built = True


def for_all(score, total, batch_size):
    """`score(pairs)` for the pairs 0 to `total` - 1, in equal chunks: none is wasted on padding.

    Returns:
        float32 of shape (total,).
    """
    return in_chunks(score, total, even(total, batch_size))


def build_trials(subject, plan, shapes, heatmap_shape, batch_size):
    """The `keras.Model` that runs the trials of `plan` on inputs of fixed shapes."""
    inputs = [keras.Input(shape, dtype=v.spec.dtype)
              for shape, v in zip(shapes, subject.question.program.inputs, strict=True)]
    inputs += [keras.Input(heatmap_shape, dtype="float32"), keras.Input((), dtype="int32")]
    return keras.Model(inputs, Trials(subject, plan, batch_size)(inputs))


def flat_count(sizes):
    """Number of pixels of a heatmap."""
    return int(np.prod(sizes))
