"""Any model as one function: a batch of inputs to one column of scores per class."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.preparing import prepares
from keras_explain.data.state import refuse_state, warn_of_randomness
from keras_explain.graph.endings import before_activation
from keras_explain.graph.foreign import check_callable
from keras_explain.graph.program import Program
from keras_explain.graph.tokens import lookups
from keras_explain.lime import _inputs
from keras_explain.lime._executor import agrees, make_executor
from keras_explain.lime._inside import make_scorer
from keras_explain.lime._scores import choose_output, is_regressor, pick_output, to_columns
from keras_explain.targets._target import Target


class Predictor:
    """Scores of a Keras model or of any callable, always `(N, classes)`.

    Explainers build one for themselves. Build it by hand to choose an output, to say what a single
    unit means, or to run a faster executor of the model:
    `LimeImageExplainer(Predictor(model, output="diagnosis"))`.

    A Keras model runs in inference mode as one compiled function together with whatever makes its
    input, in batches of fixed size, so it is traced once; each BatchNormalization is folded into
    the layer before it. The model is not changed, and later training shows. One sigmoid unit
    becomes two columns, `[1 - p, p]`; so does the single column of a callable where there are two
    `class_names` or with `binary=True`. Else a single column stays one.

    Args:
        model: a built `keras.Model`, with one input or (through `preprocess`) several; or a
            callable from a batch to scores `(N,)` or `(N, classes)`, tensors or arrays. A bound
            `model.predict` stands for its model.
        preprocess: from a raw batch to the model's input. Where it gives the same on tensors as on
            NumPy arrays it becomes part of the compiled function.
        output: name or index, for models with several outputs.
        binary: whether a single column is the probability of class 1. None finds out, from the
            end of a Keras model, the number of `class_names`, or a regressor of scikit-learn.
        target: callable from the model's outputs to one score per input, shape (N,), which is
            then the only score; or an object of `keras_explain.targets`.
        executor: callable from a batch of tensors to the outputs, used in place of
            `model(x, training=False)`.
        class_names: names of the classes; their number tells what a single column is.

    Raises:
        TypeError: `model` is neither a Keras model nor callable, or the `predict` method of a
            classifier of scikit-learn, which gives classes.
        ValueError: several inputs or outputs and no choice, an unknown output, an unbuilt model.

    Example:
        >>> Predictor(lambda rows: rows.mean(axis=1))(np.array([[0.25, 0.75]])).tolist()
        [[0.5]]
    """

    def __init__(
        self,
        model: Any,
        *,
        preprocess: Callable[..., Any] | None = None,
        target: Callable[..., Any] | None = None,
        output: str | int | None = None,
        binary: bool | None = None,
        executor: Callable[..., Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        check_callable(model)
        self._given = model, preprocess
        self.model = _inputs.unbind(model)
        self.is_keras = isinstance(self.model, keras.Model)
        self.preprocess, self.target = preprocess, target
        if prepares(self.model) and getattr(model, "__name__", "") not in ("__call__", "call"):
            self.preprocess = _inputs.Preparation(self.model, preprocess)
        self.output, self._binary, self._class_names = output, binary, class_names
        self._retargeted = None
        _inputs.check_given(model, self.model, target, executor)
        self.num_classes = self._count_classes() if self.is_keras else None
        self._judge_single_column(model)
        self._is_custom = self._is_asked = executor is not None
        self._make_executor(executor)

    def _make_executor(self, executor):
        if self.is_keras and executor is None:
            executor = make_executor(self.model, self.program) if not self._asks_inside else (
                make_scorer(self.model, self.target, self.output))
        self._executor = executor or functools.partial(self.model, training=False)
        self._compiled = self._compile(self._scores) if self.is_keras else None

    def __getstate__(self):
        executor = self._executor if self._is_custom else None
        return {**vars(self), "_compiled": None, "_retargeted": None, "_executor": executor}

    def __setstate__(self, state):
        vars(self).update(state)
        self._make_executor(self._executor)

    @property
    def _asks_inside(self):
        return self.is_keras and isinstance(self.target, Target)

    @property
    def name(self) -> str:
        """What errors call the explained output."""
        base = getattr(self.model, "name", None) or getattr(self.model, "__name__", "the model")
        return f"{base!r}" if self.output is None else f"{self.output!r} of {base!r}"

    @property
    def is_ambiguous(self) -> bool:
        """Whether nothing tells if a single column is a probability."""
        return self._binary is None and self.target is None

    @property
    def input_spec(self) -> tuple[Any, Any]:
        """`(shape, dtype)` of the model's only input, or `(None, None)` where it is not known."""
        inputs = (getattr(self.model, "inputs", None) or []) if self.is_keras else []
        if len(inputs) != 1:
            return None, None
        return tuple(inputs[0].shape), inputs[0].dtype

    def __call__(
        self, batch: Any, pad_to: int | None = None, *, may_be_undefined: bool = False
    ) -> np.ndarray:
        """Scores of a batch of raw inputs.

        Args:
            batch: an array, a list of texts, or a nested structure of arrays.
            pad_to: a compiled model gets so many inputs, the last one repeated.
            may_be_undefined: True gives scores that are NaN or infinite back; else they are an
                error.

        Returns:
            Float `(N, classes)`; float32 from a Keras model.

        Raises:
            ValueError: scores that are NaN or infinite, or not `(N,)` or `(N, classes)`.
        """
        several = self.is_keras and len(getattr(self.model, "inputs", None) or ()) > 1
        count = _inputs.count_rows(batch, several and self.preprocess is None)
        batch = batch if self.preprocess is None else self.preprocess(batch)
        if not self.is_keras:
            outputs = self._choose(self.model(batch))
            if self.target is None and self.output is None:
                outputs = choose_output(outputs, count)
            return self._check(outputs, count, may_be_undefined)
        batch = _inputs.to_arrays(batch)
        if len(self.input_spec[0] or ()) == 2 and getattr(batch, "ndim", 2) == 1:
            batch = batch[:, None]
        padded = tree.map_structure(lambda leaf: _inputs.pad(leaf, pad_to), batch)
        self._refuse_state(padded)
        scores = ops.convert_to_numpy(self._compiled(padded))[:count]
        return self._check(scores, count, may_be_undefined)

    def with_target(self, target: Callable[..., Any]) -> "Predictor":
        """This predictor with another target; the one that was asked last is kept, compiled."""
        if self._retargeted is None or self._retargeted.target is not target:
            self._retargeted = self._rebuild(target=target)
        return self._retargeted

    def with_names(self, class_names: Sequence[str]) -> "Predictor":
        """This predictor, whose only column is what so many names of classes say."""
        return self._rebuild(class_names=class_names)

    def reduce(self) -> "Predictor | None":
        """This predictor with the model's maps in bfloat16, or `None` if that cannot be."""
        if not self.is_keras or self._is_custom or self._asks_inside:
            return None
        executor = make_executor(self.model, self.program, "bfloat16")
        if executor is None:
            return None
        return self._rebuild(binary=self._binary, target=self.target, executor=executor)

    def compose(
        self, compose: Callable[..., Any], sample: np.ndarray
    ) -> Callable[..., Any] | None:
        """`compose` and the model as one compiled function, or `None` if that cannot be.

        Args:
            compose: from arrays to a raw batch, in `keras.ops`.
            sample: a raw batch of one, to try whether `preprocess` accepts tensors.

        Returns:
            A callable from arrays to scores as tensors, for `fetch`.
        """
        if not self.is_keras or not _inputs.takes_tensors(self.preprocess, sample):
            return None
        self._refuse_state(sample if self.preprocess is None else self.preprocess(sample))

        def scores(*args):
            batch = compose(*args)
            return self._scores(batch if self.preprocess is None else self.preprocess(batch))

        return self._compile(scores)

    def fetch(self, scores: Any, count: int) -> np.ndarray:
        """The first `count` rows of compiled scores as a checked NumPy array."""
        return self._check(ops.convert_to_numpy(scores)[:count], count)

    def _rebuild(self, **changes):
        executor = {"executor": self._executor if self._is_custom else None}
        return Predictor(self._given[0], preprocess=self._given[1], output=self.output,
                         **executor | changes)

    def _refuse_state(self, batch):
        if not self._is_asked:
            self._is_asked = True
            if refuse_state(self.model, batch):
                warn_of_randomness(self.name)
            if not self._asks_inside and not agrees(self._executor, self.model, batch):
                self._executor = functools.partial(self.model, training=False)

    def _scores(self, batch):
        return ops.cast(self._choose(self._executor(batch)), "float32")

    def _compile(self, fn):
        return backend.compile_function(fn, self.model.variables)

    def _choose(self, outputs):
        """What the target makes of the outputs, or one of them by key, name or position."""
        if self._asks_inside:
            return outputs  # columns of the target
        if self.target is not None and self.output is None:
            return self.target(outputs)
        chosen = pick_output(self.model, outputs, self.output)
        return chosen if self.target is None else self.target(chosen)

    def _count_classes(self):
        """The number of columns, or `None` where only a call can tell (subclassed models)."""
        if self.target is not None:
            return 1
        try:
            outputs = self.model.output
        except (AttributeError, ValueError):  # Sequential models know `outputs` only
            outputs = getattr(self.model, "outputs", None)
        if outputs is None:
            return None
        shape = self._choose(outputs).shape
        if len(shape) > 2 and (self.input_spec[1] == "string" or self._reads_tokens()):
            return None  # a vectorizer's declared shape may have an axis more; a target may ask
        if len(shape) > 2:
            raise ValueError(
                f"Expected scores of shape (N,) or (N, classes), received {shape} from {self.name}"
                ". Explain a part: Predictor(model, target=keras_explain.targets.Region(box, 1))."
            )
        return shape[1] if len(shape) == 2 else 1

    def _reads_tokens(self):
        program = self.program
        return program is not None and any(lookups(program, v) for v in program.inputs)

    def _judge_single_column(self, model):
        """Find out, as far as it can be known without a call, what a single column means."""
        if self.target is not None:
            self._binary = False
        if self._binary is None and self.is_keras and self.num_classes in (1, None):
            self._binary = self._ends_in_sigmoid()
        if self._binary is None and self.num_classes in (1, None):
            names = len(self._class_names or ())
            self._binary = False if is_regressor(model) else {1: False, 2: True}.get(names)
        if self.num_classes == 1 and self._binary is not False:
            self.num_classes = 2 if self._binary else None

    @functools.cached_property
    def program(self):
        """The Keras model as a `Program`, or `None` where it cannot be traced."""
        try:
            return Program.trace(self.model)[1]
        except Exception:  # a custom layer may do anything while it is traced
            return None

    def _ends_in_sigmoid(self):
        """Whether the explained unit is a sigmoid; `None` where the model does not show it."""
        try:
            unit = self._choose(self.program.outputs)
            return before_activation(self.program, unit)[2] == "sigmoid"
        except Exception:  # what does not show it is judged by its scores, as a callable is
            return None

    def _check(self, scores, count, may_be_undefined=False):
        scores = to_columns(scores, self._binary)
        if scores.ndim != 2 or len(scores) != count:
            raise ValueError(
                f"Expected scores of shape ({count},) or ({count}, classes) for {count} inputs, "
                f"received {scores.shape} from {self.name}. Wrap the model in a function that "
                "returns them, or pass a `target` from its outputs to one score each."
            )
        broken = np.count_nonzero(~np.isfinite(scores).all(axis=1))
        if broken and not may_be_undefined:
            raise ValueError(
                f"Expected finite scores, received NaN or infinity from {self.name} for {broken} "
                f"of {count} perturbed inputs. Look at the model's weights and its preprocessing.")
        return scores
