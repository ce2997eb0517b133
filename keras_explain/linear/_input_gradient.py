"""The whole gradient of a score by the input: not reduced to a heatmap."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.predicting import predict_rows
from keras_explain.data.state import look_at_state
from keras_explain.graph import targets
from keras_explain.graph.question import Question


class InputGradient:
    """A compiled function of a model: inputs, class -> gradient, point and scores.

    Args:
        model: a built `keras.Model` with one explained input.
        **asked: output, input, score; see `Question`.
    """

    def __init__(self, model, **asked):
        self.question = Question(model, **{**asked, "target": targets.INPUT})
        self.question.choose_one_input(self.question.program.inputs,
                                       "a gradient is averaged over one input at a time")
        self.cut = tuple(place.cut for place in self.question.differentiable_places())
        if len(self.cut) > 1:
            raise ValueError(
                f"Expected an input that is looked up in one Embedding, received one with"
                f" {len(self.cut)} places. Use `saliency(signed=True)` or"
                " `integrated_gradients`, which put them together."
            )
        inputs = targets.add_target(self.question.symbolic_inputs(),
                                    keras.Input((), dtype="int32", name="target"))
        self._is_asked = False
        self._network = keras.Model(inputs, _Gradient(self)(inputs), name="input_gradient")

    def __call__(self, x, target):
        """The gradient of one class's score in each example.

        Args:
            x: inputs as the model takes them.
            target: the class.

        Returns:
            A dict of NumPy arrays: "gradient" and "point", of the shape at which is
            differentiated, and "scores" (N, classes).

        Raises:
            ValueError: a model that keeps state from call to call.
        """
        if not self._is_asked:
            self._is_asked = True
            look_at_state(self.question.model, x)
        rows = np.full(len(tree.flatten(x)[0]), target, "int32")
        return predict_rows(self._network, targets.add_target(x, rows))

    def classes(self):
        """All classes; of a single unit the one that it stands for."""
        asked = self.question
        single = asked.classes == 2 and asked.program.outputs[0].spec.shape[-1] == 1
        return [1] if single else list(range(asked.classes))


class _Gradient(keras.layers.Layer):
    """The graph of `InputGradient`."""

    def __init__(self, gradient):
        super().__init__(dtype="float32", autocast=False)
        self.question, self.cut = gradient.question, gradient.cut
        self.model = gradient.question.model  # whose weights are read

    def call(self, inputs):
        values, request = self.question.split_inputs(inputs)
        points, score = self.question.split_at(values, self.cut)
        scores, _, pull = backend.vjp(score, points, self.model.variables)
        (gradient,) = self.question.pull_back(pull, self.question.choose_class(scores, request))
        return {"gradient": gradient, "point": points[0], "scores": ops.cast(scores, "float32")}

    def compute_output_spec(self, inputs):
        batch = tree.flatten(inputs)[0].shape[0]
        shape = (batch, *self.cut[0].spec.shape[1:])
        return {"gradient": keras.KerasTensor(shape, "float32"),
                "point": keras.KerasTensor(shape, "float32"),
                "scores": keras.KerasTensor((batch, self.question.classes), "float32")}

    def build(self, input_shape):
        self.built = True
