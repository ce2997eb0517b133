"""What is asked of a model: which score, of which output, and by which inputs it is explained."""

import functools

import keras
from keras import ops, tree

from keras_explain import backend
from keras_explain.checks import check_choice, is_integer
from keras_explain.graph import targets, tokens
from keras_explain.graph.asking import append_target
from keras_explain.graph.axes import keep_channels
from keras_explain.graph.endings import before_activation
from keras_explain.graph.foreign import check_model
from keras_explain.graph.program import Program, get_mask, set_mask
from keras_explain.targets._target import Target

SCORES = (None, "logit", "log_odds", "probability")
CHANNELS = (None, "keep")
HALF_SCALE = 256.0  # gradients below 6e-8 are zero in float16


class Question:
    """A model, the score that is explained, and the inputs that it is explained by.

    It computes nothing until it is asked: `scores`, `split_at` and `differentiate` run in the
    graph of whoever asks. It is plain Python, no Keras layer: who asks holds the model.

    Args:
        model: a built `keras.Model`. It is shared, never changed.
        target: the class or score to explain, see `keras_explain.graph.targets`.
        output: name or index of the output to explain, for models with several.
        input: name or index (or a list of them) of the inputs to explain.
        score: "logit" (before softmax or sigmoid), "log_odds" (of the class against all others),
            "probability"; None: "log_odds" where a softmax or sigmoid ends the model, else
            "logit", which is the answer itself.
        channels: "keep": heatmaps have a number for each channel of an input.

    Attributes:
        program: the traced model; its outputs are the logits of the explained answer (the
            answer itself where no softmax or sigmoid ends it) and all predictions.
        answer: the explained answer, one of the predictions.
        scored: the program of what the explained score depends on, and nothing else.
        activation: "softmax", "sigmoid" or None, what ends the model.
        classes: how many classes `target` chooses from.
        explained: the input Values that get a heatmap, as `choose_inputs` settled them.
        keys: their names, or their places where the model takes a list.
        there: for objects of `keras_explain.targets`, the Value that is False where an example
            has nothing to ask them about; None where that is not known.
    """

    def __init__(self, model, *, target=None, output=None, input=None, score="logit",
                 channels=None):
        check_model(model)
        check_choice("channels", channels, CHANNELS)
        check_choice("score", score, SCORES)
        self.model, self.output, self.channels = model, output, channels
        self.input = tuple(input) if isinstance(input, list) else input
        self.signature, program = Program.trace(model)
        choose = functools.partial(_choose, program.outputs, what="output", model=model)
        if output is None and not targets.asks_one_output(target):
            answer = tree.flatten(program.outputs)[0]
        else:
            answer = choose(output)
        self.answer, self.class_axis = answer, program.channel_axis(answer)
        self.there = self.activation = None
        if isinstance(target, Target):
            program, logits, self.there, score = append_target(
                program, lambda name: answer if name is None else choose(name), target, score)
        else:
            program, logits, self.activation = before_activation(program, answer)
        self.score = score or ("log_odds" if self.activation else "logit")
        self.classes = targets.class_count(answer.spec, self.activation, self.class_axis)
        self.target = targets.check(target, self.classes)
        self.whole, self.program = program, program.with_outputs((logits, program.outputs))
        self.scored = program.with_outputs(
            targets.find_used(target, program.outputs) if targets.is_function(target) else logits)
        self.half = "float16" in [getattr(s.fn, "compute_dtype", None) for s in program.steps]
        self.explained, self.keys = (), ()

    def choose_inputs(self, default):
        """Settle which inputs get a heatmap: those that the user named, else `default`."""
        if self.input is None:
            values = default
        else:
            choices = self.input if isinstance(self.input, tuple) else (self.input,)
            if not choices or None in choices:
                raise ValueError(
                    "Expected `input` to be a name or an index, or a list of at least one, received"
                    f" {self.input!r}. Leave it out to explain all of them.")
            values = [_choose(self.signature, c, "input", self.model) for c in choices]
        self.explained = tuple(values)
        if self.channels == "keep":
            keep_channels(self.program, self.explained)
        if isinstance(self.signature, dict):
            names = {value: name for name, value in self.signature.items()}
            self.keys = tuple(names[v] for v in values)
        else:
            self.keys = tuple(range(len(values)))
        return self

    def choose_one_input(self, default, why):
        """The same, where only one input can be explained.

        Raises:
            ValueError: there are several and the user named none.
        """
        self.choose_inputs(default)
        if len(self.explained) != 1:
            names = [v.spec.name for v in default or self.program.inputs]
            raise ValueError(
                f"Expected one explained input, because {why}, received {len(self.explained)}."
                f" Name one of {names} with `input=`."
            )
        return self

    def differentiable_places(self):
        """Where to differentiate for the explained inputs, in their order: see `tokens.Place`."""
        return [place for v in self.explained for place in tokens.places(self.program, v)]

    def index(self, value):
        """The place of an input Value among the model's flat inputs."""
        return self.program.inputs.index(value)

    @property
    def takes_target(self):
        """Whether classes arrive with each batch, as a model input `target`."""
        return isinstance(self.target, str) and self.target == targets.INPUT

    def symbolic_inputs(self):
        """New `keras.Input`s in the structure that the user's model takes."""
        return tree.map_structure(
            lambda v: keras.Input(batch_shape=v.spec.shape, dtype=v.spec.dtype, name=v.spec.name),
            self.signature,
        )

    # In the graph -----------------------------------------------------------------------------

    def split_inputs(self, inputs):
        """The flat model inputs, and the class wished for per image or None."""
        if not self.takes_target:
            return tree.flatten(inputs), None
        inputs, request = targets.split_target(inputs)
        allowed = ops.logical_and(request >= targets.TOP_CLASS, request < self.classes)
        message = (f"Expected every target from -1 (top class) to {self.classes - 1}, received a"
                   " class out of range. Count classes from 0.")
        return tree.flatten(inputs), backend.require(ops.all(allowed), message, request)

    def scores(self, raw, predictions):
        """What `choose_class` chooses from: (N, classes), or (N, 1) for a callable target."""
        if isinstance(self.target, Target):
            return ops.cast(raw, "float32")
        if callable(self.target):
            score = ops.cast(self.target(predictions), "float32")
            if len(score.shape) != 1:
                raise ValueError(
                    "Expected the callable `target` to return one score per image, shape (N,),"
                    f" received shape {tuple(score.shape)}. Reduce over the other axes."
                )
            return ops.expand_dims(score, -1)
        return targets.class_scores(raw, self.activation, self.score, self.class_axis)

    def has_target(self, values):
        """Whether each example has what is asked about, (N,); None where that is sure."""
        if self.there is None:
            return None
        return self.whole.with_outputs([self.there])(values)[0]

    def choose_class(self, scores, request):
        """The explained class of each image as one-hot float32 rows (N, classes)."""
        target = request
        if isinstance(self.target, int):
            target = self.target
        elif isinstance(self.target, tuple):
            count = len(self.target)
            message = (f"Expected batches of {count} images, one per class in `target`, received"
                       ' others. Use target="input" to pass classes with each batch.')
            same = ops.equal(ops.shape(scores)[0], count)
            target = ops.convert_to_tensor(list(self.target), "int32")
            target = backend.require(same, message, target)
        return targets.one_hot(scores, target)

    def rounding(self, raw, scores, chosen):
        """What rounding alone may change in the explained score of each example, shape (N,).

        Args:
            raw: the logits (or the answer), in the dtype that they were computed in.
            scores: float32 of shape (N, classes).
            chosen: the explained class as one-hot rows.
        """
        size = ops.max(ops.abs(scores), axis=-1)
        if not callable(self.target) and self.activation:
            own = ops.sum(scores * chosen, axis=-1)
            logits = ops.abs(ops.cast(raw, "float32"))
            size = ops.max(logits, axis=tuple(range(1, len(logits.shape))))
            if self.score == "probability":
                size = own * ((1.0 - own) * size + 0.25)
        return spacing(raw) * size

    def split_at(self, values, cut, program=None, scores=None):
        """Run the model up to the Values `cut`.

        Args:
            values: the model's inputs.
            program: another form of the question's.
            scores: from the program's outputs to the scores; None: `scores` of the question.

        Returns:
            The tensors there, and `head(points, rows=None) -> (scores, predictions)`, the rest
            of the model. `points` stand in for those tensors; `rows` tells which example of
            the batch each row of `points` belongs to, where they are not the batch itself.
        """
        program = program or self.program
        stem, head = program.split(cut)
        with backend.no_gradient():
            tensors = stem(values)
        points, sides = tensors[: len(cut)], tensors[len(cut) :]
        masks = [get_mask(t) for t in tensors]

        def rest(points, rows=None):
            given = [*points, *(sides if rows is None else [
                ops.take(t, rows, axis=0) if program.is_per_example(v) else t
                for v, t in zip(head.inputs[len(cut) :], sides, strict=True)])]
            for tensor, mask in zip(given, masks, strict=True):
                if mask is not None:
                    set_mask(tensor, mask if rows is None else ops.take(mask, rows, axis=0))
            raw, predictions = head(given)
            return (scores or self.scores)(raw, predictions), predictions

        return [_to_float(p) for p in points], rest

    def differentiate(self, values, request, cut):
        """Differentiate the explained score by the Values `cut`.

        Returns:
            The tensors at `cut`, their gradients (same shapes), and the predictions.
        """
        points, score = self.split_at(values, cut)
        scores, predictions, pull = backend.vjp(score, points, self.model.variables)
        grads = self.pull_back(pull, self.choose_class(scores, request))
        return points, grads, predictions

    def pull_back(self, pull, chosen):
        """The gradients of the `chosen` scores from a pull-back; an error where none flows."""
        if not self.half:
            return self._check_flow(pull(chosen))
        large = [ops.cast(g, "float32") / HALF_SCALE
                 for g in self._check_flow(pull(chosen * HALF_SCALE, again=True))]
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in large]))
        return ops.cond(finite, lambda: large,
                        lambda: [ops.cast(g, "float32") for g in pull(chosen)])

    def _check_flow(self, grads):
        if any(g is None for g in grads):
            raise ValueError(
                f"Expected the explained score of {self.model.name!r} to be differentiable with"
                " respect to its inputs, received a model in which no gradient flows (an"
                " integer or string operation cuts it). Use `occlusion`, which needs none."
            )
        return grads


def spacing(x):
    """Rounding of numbers near one that were computed in the dtype of a tensor, with a margin."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-47}.get(dtype, 2.0**-18)


def _to_float(x):
    if "float" in keras.backend.standardize_dtype(x.dtype):
        return x
    return ops.cast(x, "float32")


def _choose(struct, choice, what, model):
    """One Value of the model's inputs or outputs, by name or index."""
    flat = tree.flatten(struct)
    if choice is None and len(flat) == 1:
        return flat[0]
    names = list(struct) if isinstance(struct, dict) else _names(flat, what, model)
    if choice is None:
        raise ValueError(
            f"Expected `{what}`, because the model has {len(flat)} {what}s, received None. Name"
            f" one of {names} or give its index."
        )
    if isinstance(choice, str) and choice in names:
        return struct[choice] if isinstance(struct, dict) else flat[names.index(choice)]
    if is_integer(choice) and 0 <= choice < len(flat):
        return flat[int(choice)]
    raise ValueError(
        f"Expected `{what}` to be one of {names} or an index below {len(flat)}, received"
        f" {choice!r}. Indices are counted from 0."
    )


def _names(values, what, model):
    if what == "output" and len(getattr(model, "output_names", None) or []) == len(values):
        return list(model.output_names)
    return [v.spec.name for v in values]
