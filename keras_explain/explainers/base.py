"""What every explainer layer shares: the program, the target, gradients, finishing."""

import keras
from keras import ops, tree

from keras_explain import backend, targets
from keras_explain.explainers.explained_model import ExplainedModel
from keras_explain.explainers.tokens import differentiable_value, token_ids, without_padding
from keras_explain.program import Program, get_mask, set_mask
from keras_explain.steps import has_weights

NORMALIZE = (None, "max", "range")
SCORES = ("logit", "probability")
HALF_SCALE = 256.0  # gradients below 6e-8 are zero in float16


class Explainer(keras.layers.Layer):
    """Abstract layer: model inputs -> {"predictions", "heatmap"}.

    A subclass gives `compute(values, request) -> (heatmaps, predictions)`, where `heatmaps`
    is a list with one raw map of shape (N, ...) for each of `self.keys`, and ends its
    `__init__` with `explain_inputs(...)`. If it names `figures`, `compute` returns further
    tensors of shape (N,), which become outputs under those names.

    Args:
        model: a built `keras.Model`. It is shared, never changed.
        target: the class or score to explain, see `keras_explain.targets`.
        output: name or index of the output to explain, for models with several.
        input: name or index (or a list of them) of the inputs to explain.
        score: "logit" (before softmax or sigmoid) or "probability".
        normalize: None (raw numbers), "max" (largest magnitude is 1) or "range" (0 to 1).
    """

    figures = ()

    signed = False  # whether heatmaps have values below zero that mean something

    def __init__(self, model, *, target=None, output=None, input=None, score="logit",
                 normalize=None, name=None, dtype="float32", trainable=True):
        super().__init__(name=name, dtype=dtype, autocast=False, trainable=trainable)
        _check_model(model)
        check_choice("score", score, SCORES)
        check_choice("normalize", normalize, NORMALIZE)
        self.model, self.output_choice = model, output
        self.input_choice = tuple(input) if isinstance(input, list) else input
        self.score, self.normalize = score, normalize
        struct, program = Program.trace(model)
        self.signature = Plain(struct)
        if callable(target) and output is None:
            answer = tree.flatten(program.outputs)[0]
        else:
            answer = _choose(program.outputs, output, "output", model)
        raw_program, raw, self.activation = program.before_activation(answer)
        self.class_axis = program.channel_axis(answer)
        self.classes = targets.class_count(answer.spec, self.activation, self.class_axis)
        self.target = targets.check(target, self.classes)
        if score == "logit":
            program, answer = raw_program, raw
        self.program = program.with_outputs((answer, program.outputs))
        scored = program.outputs if callable(target) else answer
        self.scored = program.with_outputs(scored)  # only what the explained score depends on
        self.half = "float16" in [getattr(s.fn, "compute_dtype", None) for s in program.steps]

    def explain_inputs(self, default):
        """Settle which inputs get a heatmap: those that the user named, else `default`."""
        choices = self.input_choice
        if choices is None:
            values = default
        elif isinstance(choices, tuple):
            values = [_choose(self.signature.value, c, "input", self.model) for c in choices]
        else:
            values = [_choose(self.signature.value, choices, "input", self.model)]
        self.explained = tuple(values)
        struct = self.signature.value
        if isinstance(struct, dict):
            names = {value: name for name, value in struct.items()}
            self.keys = tuple(names[v] for v in values)
        else:
            self.keys = tuple(range(len(values)))

    # In the graph -----------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        kwargs["training"] = False  # for every layer inside, whatever the caller's mode
        return super().__call__(*args, **kwargs)

    def call(self, inputs, training=False):
        values, request = self.split_request(inputs)
        heatmaps, predictions, *figures = self.compute(values, request)
        shown = self.explained * (len(heatmaps) // len(self.explained))  # one map for each layer
        heatmaps = [self._without_padding(ops.cast(h, "float32"), v, values)
                    for h, v in zip(heatmaps, shown, strict=True)]
        heatmaps = [_normalized(h, self.normalize) for h in heatmaps]
        return {"predictions": predictions, "heatmap": self.pack(heatmaps),
                **dict(zip(self.figures, figures, strict=True))}

    def compute(self, values, request):
        raise NotImplementedError

    def _without_padding(self, heatmap, value, values):
        ids = token_ids(self.program, value) if getattr(self, "resize", True) else None
        return heatmap if ids is None else without_padding(heatmap, ids(values)[0])

    def split_request(self, inputs):
        """The flat model inputs, and the class wished for per image or None."""
        if self.target != targets.INPUT:
            return tree.flatten(inputs), None
        if isinstance(inputs, dict):
            request = inputs["target"]
            values = tree.flatten({k: v for k, v in inputs.items() if k != "target"})
        else:
            *values, request = tree.flatten(inputs)
        allowed = ops.logical_and(request >= targets.TOP_CLASS, request < self.classes)
        message = (f"Expected every target from -1 (top class) to {self.classes - 1}, received a"
                   " class out of range.")
        return values, backend.require(ops.all(allowed), message, request)

    def pack(self, heatmaps):
        """One heatmap alone; several as a dict or list under `self.keys`."""
        if len(heatmaps) == 1:
            return heatmaps[0]
        if isinstance(self.keys[0], str):
            return dict(zip(self.keys, heatmaps, strict=True))
        return heatmaps

    def scores(self, raw, predictions):
        """What `choose` chooses from: (N, classes), or (N, 1) for a callable target."""
        if callable(self.target):
            score = ops.cast(self.target(predictions), "float32")
            if len(score.shape) != 1:
                raise ValueError(
                    "Expected the callable `target` to return one score per image, shape (N,),"
                    f" received shape {tuple(score.shape)}. Reduce over the other axes."
                )
            return ops.expand_dims(score, -1)
        return targets.class_scores(raw, self.activation, self.score == "probability",
                                    self.class_axis)

    def choose(self, scores, request):
        """The explained class of each image as one-hot float32 rows (N, classes)."""
        target = request
        if isinstance(self.target, int):
            target = self.target
        elif isinstance(self.target, tuple):
            count = len(self.target)
            message = (f"Expected batches of {count} images, one per class in `target`. Use"
                       ' target="input" to pass classes with each batch.')
            same = ops.equal(ops.shape(scores)[0], count)
            target = ops.convert_to_tensor(list(self.target), "int32")
            target = backend.require(same, message, target)
        return targets.one_hot(scores, target)

    def split_at(self, values, cut):
        """Run the model up to the Values `cut`.

        Returns:
            The tensors there, and `head(points, rows=None) -> (scores, predictions)`, the rest
            of the model. `points` stand in for those tensors; `rows` tells which example of
            the batch each row of `points` belongs to, where they are not the batch itself.
        """
        stem, head = self.program.split(cut)
        with backend.no_gradient():
            tensors = stem(values)
        points, sides = tensors[: len(cut)], tensors[len(cut) :]
        masks = [get_mask(t) for t in tensors]

        def rest(points, rows=None):
            given = [*points, *(sides if rows is None else take_rows(sides, rows))]
            for tensor, mask in zip(given, masks, strict=True):
                if mask is not None:
                    set_mask(tensor, mask if rows is None else ops.take(mask, rows, axis=0))
            raw, predictions = head(given)
            return self.scores(raw, predictions), predictions

        return [_floating(p) for p in points], rest

    def gradients(self, values, request, cut):
        """Differentiate the explained score by the Values `cut`.

        Returns:
            The tensors at `cut`, their gradients (same shapes), and the predictions.
        """
        points, score = self.split_at(values, cut)
        scores, predictions, pull = backend.vjp(score, points, self.model.variables)
        grads = self.pulled(pull, self.choose(scores, request))
        return points, grads, predictions

    def pulled(self, pull, chosen):
        """The gradients of the `chosen` scores from a pull-back; an error where none flows."""
        if not self.half:
            return self._flowing(pull(chosen))
        large = [ops.cast(g, "float32") / HALF_SCALE
                 for g in self._flowing(pull(chosen * HALF_SCALE, again=True))]
        finite = ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in large]))
        return ops.cond(finite, lambda: large,
                        lambda: [ops.cast(g, "float32") for g in pull(chosen)])

    def _flowing(self, grads):
        if any(g is None for g in grads):
            raise ValueError(
                f"Expected the explained score of {self.model.name!r} to be differentiable with"
                " respect to its inputs, received a model in which no gradient flows (an"
                " integer or string operation cuts it). Use `occlusion`, which needs none."
            )
        return grads

    # Keras ------------------------------------------------------------------------------------

    def heatmap_shapes(self):
        """Shapes of the heatmaps without batch: by default, of the explained inputs."""
        shown = [differentiable_value(self.program, v) if v.spec.dtype == "string" else v
                 for v in self.explained]
        return [tuple(s.spec.shape[a] for a in heatmap_axes(self.program, v))
                for v, s in zip(self.explained, shown, strict=True)]

    def build(self, input_shape):
        self.built = True

    def compute_output_spec(self, inputs, training=False):
        batch = tree.flatten(inputs)[0].shape[0]
        _, outputs = self.program.outputs
        predictions = tree.map_structure(
            lambda v: keras.KerasTensor((batch, *v.spec.shape[1:]), v.spec.dtype), outputs
        )
        heatmaps = [keras.KerasTensor((batch, *s), "float32") for s in self.heatmap_shapes()]
        figures = {name: keras.KerasTensor((batch,), "float32") for name in self.figures}
        return {"predictions": predictions, "heatmap": self.pack(heatmaps), **figures}

    def get_config(self):
        target = self.target
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "target": keras.saving.serialize_keras_object(target) if callable(target) else target,
            "output": self.output_choice,
            "input": list(self.input_choice) if isinstance(self.input_choice, tuple)
            else self.input_choice,
            "score": self.score,
            "normalize": self.normalize,
        }

    @classmethod
    def from_config(cls, config):
        config = {**config, "model": keras.saving.deserialize_keras_object(config["model"])}
        if isinstance(config["target"], dict):  # a serialised callable
            config["target"] = keras.saving.deserialize_keras_object(config["target"])
        return cls(**config)

    def variant(self, **changes):
        """The same method on the same model, which is shared, with other options."""
        config = {**self.get_config(), "model": self.model, "target": self.target, **changes}
        return type(self)(**{k: v for k, v in config.items() if k != "name"})

    def symbolic_inputs(self):
        """New `keras.Input`s in the structure that the user's model takes."""
        return tree.map_structure(
            lambda v: keras.Input(batch_shape=v.spec.shape, dtype=v.spec.dtype, name=v.spec.name),
            self.signature.value,
        )

    def explained_model(self, name=None):
        """Wrap this layer into the `keras.Model` that users get."""
        inputs = self.symbolic_inputs()
        if self.target == targets.INPUT:
            request = keras.Input((), dtype="int32", name="target")
            if isinstance(inputs, dict):
                inputs = {**inputs, "target": request}
            else:
                inputs = [*tree.flatten(inputs), request]
        return ExplainedModel(inputs, self(inputs), name=name or f"{self.name}_explained")


def heatmap_axes(program, value):
    """The axes of an input that its heatmap keeps: space, time, features; not channels."""
    if value.spec.dtype == "string":  # of the tokens or word counts that it becomes
        return (1,)
    rank, channel = len(value.spec.shape), program.channel_axis(value)
    if rank == 3 and _is_flat_image(program, value):
        return (1, 2)
    if rank > 2:
        return tuple(a for a in range(1, rank) if a != channel)
    return tuple(range(1, rank))


def image_like(program):
    """Images, sequences and volumes if the model takes any, else all inputs."""
    large = [v for v in program.inputs if len(v.spec.shape) > 2]
    return large or program.inputs


def take_rows(tensors, rows):
    """The examples `rows` of each tensor."""
    return [ops.take(t, rows, axis=0) for t in tensors]


def channel_axes(program, value, rank):
    """The axes of a tensor of `rank` at `value` that its heatmap sums up."""
    kept = heatmap_axes(program, value)
    return tuple(a for a in range(1, rank) if a not in kept)


def _is_flat_image(program, value):
    """An image without channel axis: its model reshapes it before anything else."""
    if value.spec.shape[-1] == 1:
        return False
    reached = {value}
    for step in program.steps:
        if reached.intersection(step.reads):
            shape, kind = step.outputs[0].spec.shape, type(step.fn).__name__
            if kind == "Flatten" or len(shape) == 4:
                return True
            if shape != value.spec.shape or has_weights(step.fn):
                return False
            reached.update(step.outputs)
    return False


class Plain:
    """Hides lists and dicts from Keras, which would track and wrap them as attributes."""

    def __init__(self, value):
        self.value = value


def _floating(x):
    if "float" in keras.backend.standardize_dtype(x.dtype):
        return x
    return ops.cast(x, "float32")


def _normalized(heatmap, how):
    if how is None:
        return heatmap
    axes = tuple(range(1, len(heatmap.shape)))
    if how == "max":
        return ops.divide_no_nan(heatmap, ops.max(ops.abs(heatmap), axis=axes, keepdims=True))
    low = ops.min(heatmap, axis=axes, keepdims=True)
    high = ops.max(heatmap, axis=axes, keepdims=True)
    return ops.divide_no_nan(heatmap - low, high - low)


def _choose(struct, choice, what, model):
    """One Value of the model's inputs or outputs, by name or index."""
    flat = tree.flatten(struct)
    if choice is None and len(flat) == 1:
        return flat[0]
    names = list(struct) if isinstance(struct, dict) else _names(flat, what, model)
    if choice is None:
        raise ValueError(
            f"Expected `{what}`, because the model has {len(flat)} {what}s: name one of {names}"
            f" or give its index."
        )
    if isinstance(choice, str) and choice in names:
        return struct[choice] if isinstance(struct, dict) else flat[names.index(choice)]
    if isinstance(choice, int) and 0 <= choice < len(flat):
        return flat[choice]
    raise ValueError(
        f"Expected `{what}` to be one of {names} or an index below {len(flat)}, received"
        f" {choice!r}."
    )


def _names(values, what, model):
    if what == "output" and len(getattr(model, "output_names", None) or []) == len(values):
        return list(model.output_names)
    return [v.spec.name for v in values]


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"Expected a `keras.Model`, received {type(model).__name__}. For another predictor"
            " use LIME, which takes any callable."
        )


def check_positive(name, value):
    """Refuse what is not an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Expected `{name}` of at least 1, received {value!r}.")


def check_choice(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"Expected `{name}` to be one of {allowed}, received {value!r}.")
