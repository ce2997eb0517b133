"""One model, asked by many metrics: each graph is built once."""

import copy
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_explain.checks import check_choice, check_positive
from keras_explain.data.predicting import predict
from keras_explain.data.preparing import as_arrays, prepare, prepares
from keras_explain.data.state import look_at_state
from keras_explain.engine.resizing import lay, resize
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Baseline, Target
from keras_explain.explainers._prepared import find_frame
from keras_explain.graph import targets
from keras_explain.graph.axes import space_axes
from keras_explain.graph.question import SCORES
from keras_explain.metrics._arrays import check_array, check_heatmaps
from keras_explain.metrics._requests import add_classes, take_classes
from keras_explain.metrics._subject import Subject, build_trials
from keras_explain.progress import VERBOSE, Verbose
from keras_explain.signatures import Array, Inputs, Score


class Evaluator:
    """Holds what metrics of the same model share, so that a second call starts at once.

    Every metric takes one in place of the model. It follows the model's weights as they train.

    Args:
        model: a `keras.Model`, or an explained model, whose target, output, input and score are
            then the defaults, and whose heatmaps are taken where none are given.
        target: the class or score that is watched, see `keras_explain.grad_cam`; None for an
            explained model means its own.
        output, input: name or index, for models with several.
        score: "probability", "log_odds" or "logit"; None leaves the choice to each metric.
        baseline: what metrics put in the place of what they hide, unless they are told, see
            `deletion`. None for a table: that of the explained model.
        batch_size: forward passes at a time. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Example:
        >>> import keras, numpy as np
        >>> from keras_explain import metrics
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(),
        ...                           keras.layers.Dense(2, activation="softmax")])
        >>> x, maps = np.random.rand(5, 8, 8, 3), np.random.rand(5, 8, 8)
        >>> evaluator = metrics.Evaluator(model, batch_size=16)
        >>> metrics.deletion(evaluator, x, maps).shape, metrics.insertion(evaluator, x, maps).shape
        ((5,), (5,))
    """

    def __init__(
        self, model: keras.Model, *, target: Target = None, output: str | int | None = None,
        input: str | int | None = None, score: Score | None = None,
        baseline: Baseline = None, batch_size: int = 64, verbose: Verbose = "auto",
    ) -> None:
        if score is not None:
            check_choice("score", score, SCORES)
        self.batch_size = check_positive("batch_size", batch_size)
        check_choice("verbose", verbose, VERBOSE)
        self.score, self.verbose, self.baseline = score, verbose, baseline
        self.explained = model if isinstance(model, ExplainedModel) else None
        if self.explained is not None:
            question = self.explained.explainer.question
            model, target = question.model, question.target if target is None else target
            output = question.output if output is None else output
            if input is None and len(question.explained) == 1:
                input = question.index(question.explained[0])
        self.model = model
        channels = None if self.explained is None else question.channels
        self._options = {"output": output, "input": input, "channels": channels}
        self._callable = target if callable(target) else None
        self._subjects, self._graphs, self._is_asked = {}, {}, False
        self.target = _target(target, self._subject("probability").question.classes)

    @classmethod
    def of(
        cls, model: "Asked", *, target: Target = None, batch_size: int = 64,
        verbose: Verbose = "auto",
    ) -> "Evaluator":
        """`model` if it is an Evaluator (with another target, if one is given), or a new one."""
        if not isinstance(model, cls):
            return cls(model, target=target, batch_size=batch_size, verbose=verbose)
        if target is None:
            return model
        if callable(target) or model._callable:
            raise ValueError(
                "Expected classes as `target` beside an Evaluator, received a callable. Build"
                " the Evaluator with it."
            )
        twin = copy.copy(model)
        twin.target = _target(target, model._subject("probability").question.classes)
        return twin

    def subject(self, score: Score) -> Subject:
        """The model with the score that a metric watches unless the user chose one."""
        return self._subject(self.score or score)

    def _subject(self, score):
        if score not in self._subjects:
            target = self._callable or targets.INPUT
            self._subjects[score] = Subject(self.model, target=target, score=score, **self._options)
        return self._subjects[score]

    def data(
        self, x: Inputs, heatmaps: Array | None = None
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Inputs as a flat list of arrays, heatmaps (N, ...), classes (N,) int32; -1: the top.

        Raises:
            ValueError: numbers or shapes that do not fit, NaN, no heatmaps for a plain model.
        """
        subject, given = self._subject("probability"), as_arrays(x)
        x, request = self._split_target(given)
        values = self._values(x)
        if not self._is_asked:
            asked, self._is_asked = subject.question, True
            look_at_state(asked.model, tree.pack_sequence_as(asked.signature, values))
        count = len(values[0])
        request = self._request(request, count)
        if heatmaps is None:
            heatmaps = self.heatmaps(given)
        heatmaps = check_heatmaps(heatmaps, count)
        heatmaps = self._with_channels(heatmaps, values[subject.index])
        subject = self._subject("probability")
        if heatmaps.ndim - 1 != len(subject.axes):
            shape = tuple(values[subject.index].shape[a] for a in subject.axes)
            raise ValueError(
                f"Expected heatmaps of shape {(count, *shape)} (or smaller, to be enlarged), one"
                f" number per pixel, received {heatmaps.shape}. Sum over the channels first."
            )
        sizes = [values[subject.index].shape[a] for a in subject.axes]
        frame = self._frame(x)
        if frame is not None and heatmaps.shape[1:] == frame.raw:
            heatmaps = frame.to_network(heatmaps)
        return values, self._enlarge(heatmaps, sizes), request

    def _with_channels(self, heatmaps, x):
        """Heatmaps of channels let them be watched; others then hold for each channel alike."""
        subject = self._subject("probability")
        if len(subject.axes) < x.ndim - 1 and heatmaps.shape == x.shape:
            self._options["channels"] = "keep"
            self._subjects.clear()
            self._graphs.clear()
        elif self._options["channels"] == "keep" and heatmaps.ndim == x.ndim - 1:
            missing = set(subject.axes).difference(space_axes(subject.question.program,
                                                              subject.value))
            for axis in missing:
                heatmaps = np.repeat(np.expand_dims(heatmaps, axis), x.shape[axis], axis)
        return heatmaps

    def _enlarge(self, heatmaps, sizes):
        """Maps at the size of the input: those of a CAM lie where its cells look."""
        if heatmaps.shape[1:] == tuple(sizes):
            return heatmaps
        placements = getattr(self.explained and self.explained.explainer, "placements", ())
        axes = placements[0].at(sizes) if len(placements) == 1 and placements[0] else None
        maps = ops.convert_to_tensor(heatmaps)
        return ops.convert_to_numpy(lay(maps, axes, sizes) if axes else resize(maps, sizes))

    def map_shape(self, x: Inputs) -> tuple[int, ...]:
        """The shape (N, ...) of heatmaps of `x`."""
        subject, (x, _) = self._subject("probability"), self._split_target(as_arrays(x))
        value, frame = self._values(x)[subject.index], self._frame(x)
        sizes = [value.shape[a] for a in subject.axes]
        return (len(value), *(sizes if frame is None else frame.raw))

    def _frame(self, x):
        """Where the model's own preparation moves pictures to: a `Frame` or None."""
        if not prepares(self.model):
            return None
        first = tree.map_structure(lambda a: a[:1], x)
        return find_frame(self._subject("probability").question, first, prepare(self.model, first))

    def heatmaps(self, x: Inputs) -> np.ndarray:
        """What the explained model says of `x`, float32."""
        if self.explained is None:
            raise ValueError(
                "Expected `heatmaps`, because the model explains nothing itself, received None."
                " Pass an array (N, ...), or an explained model in place of the model."
            )
        explained = self.explained
        if isinstance(self.target, tuple) or self.target != explained.explainer.question.target:
            explained = take_classes(explained)
            x, request = self._split_target(x)
            x = add_classes(explained, x, self._request(request, len(tree.flatten(x)[0])))
        return predict(explained, x, self.batch_size)["heatmap"]

    def scores(
        self, plan: Any, values: list[np.ndarray], heatmaps: np.ndarray, request: np.ndarray,
        score: Score = "probability",
    ) -> np.ndarray:
        """Scores (N, 1 + K): of the examples as they are, then of the K trials of `plan`.

        Args:
            plan: what is changed in each trial, see `keras_explain.metrics._subject.Trials`.
            values, heatmaps, request: what `data` returned.
            score: what is scored, unless the evaluator was given a score.
        """
        subject = self.subject(score)
        shapes = tuple(v.shape[1:] for v in values)
        key = (plan, subject.question.score, shapes, heatmaps.shape[1:])
        if key not in self._graphs:
            self._graphs[key] = build_trials(subject, plan, shapes, heatmaps.shape[1:],
                                             self.batch_size)
        found = predict(self._graphs[key], [*values, heatmaps, request], self.batch_size,
                        self.verbose)
        if not np.isfinite(found).all():
            raise ValueError(
                "Expected finite scores, received NaN or infinity from the model for"
                f" {np.sum(~np.isfinite(found).all(axis=1))} of {len(found)} examples, as they are"
                " or changed. A mean over tokens that are no padding has no value where all are"
                " hidden: give a number of another token as `baseline`."
            )
        return found

    def classes(self, x: Inputs) -> np.ndarray:
        """The class that is watched in each example, (N,) int32."""
        x, request = self._split_target(as_arrays(x))
        request = self._request(request, len(self._values(x)[0]))
        if self._callable or (request >= 0).all():
            return request
        asked = self._subject("probability").question
        answers = tree.flatten(predict(self.model, x, self.batch_size))
        answer = answers[tree.flatten(asked.program.outputs[1]).index(asked.answer)]
        # Minus a half, the probability of one unit has the sign of its logit.
        scores = targets.class_scores(answer - 0.5, asked.activation, axis=asked.class_axis)
        top = ops.convert_to_numpy(scores).argmax(-1).astype("int32")
        return np.where(request >= 0, request, top)

    def values(self, x: Inputs) -> list[np.ndarray]:
        """Inputs as a flat list of arrays that fit the network, without classes that go with it."""
        return self._values(self._split_target(as_arrays(x))[0])

    def _values(self, x):
        """Inputs as a flat list of arrays that fit the network."""
        x = prepare(self.model, x)
        specs = [v.spec for v in self._subject("probability").question.program.inputs]
        values = tree.flatten(x)
        if len(values) != len(specs):
            raise ValueError(
                f"Expected {len(specs)} inputs, received {len(values)}. Pass them as the model"
                " takes them."
            )
        values = [check_array(a, spec) for a, spec in zip(values, specs, strict=True)]
        if len({len(v) for v in values}) != 1:
            raise ValueError(
                "Expected as many examples in each input, received"
                f" {[len(v) for v in values]}. Rows of all inputs belong together."
            )
        return values

    def _split_target(self, x):
        """Inputs without the classes that an explained model with target="input" takes."""
        if self.target != targets.INPUT:
            return x, None
        return targets.split_target(x)

    def _request(self, request, count):
        if request is not None:
            return np.asarray(request, "int32")
        if isinstance(self.target, tuple):
            if len(self.target) != count:
                raise ValueError(
                    f"Expected one class per image in `target`, {count} of them, received"
                    f" {len(self.target)}. Pass one integer for the same class everywhere."
                )
            return np.array(self.target, "int32")
        only = self.target if isinstance(self.target, int) else targets.TOP_CLASS
        return np.full(count, only, "int32")


Asked = keras.Model | Evaluator  # what metrics take as `model`


def _target(target, classes):
    return targets.check(target.tolist() if isinstance(target, np.ndarray) else target, classes)


def maps_of(heatmaps, x=None):
    """Heatmaps as float32 (N, ...): those given, or those of an explained model."""
    if isinstance(heatmaps, ExplainedModel):
        if x is None:
            raise ValueError("Expected `x`, the inputs of the explained model, received None."
                             " Pass them, or the heatmaps in its place.")
        heatmaps = Evaluator(heatmaps).heatmaps(x)
    return check_heatmaps(heatmaps)
