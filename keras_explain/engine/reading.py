"""What a model computes at one of its values, and what its rest makes of other numbers there."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain.data.predicting import predict_rows
from keras_explain.data.preparing import as_arrays, prepare
from keras_explain.data.state import look_at_state


class Reading:
    """A compiled function of a model: inputs -> a value inside, logits and predictions.

    Args:
        question: a `Question`.
        value: the Value that is read.
    """

    def __init__(self, question, value):
        self.question, self.value, self._is_asked = question, value, False
        inputs = question.symbolic_inputs()
        self._network = keras.Model(inputs, _Read(question, value)(inputs), name="reading")

    def __call__(self, x):
        """NumPy arrays of one batch: "value", "logits" and "predictions" (the explained answer).

        Args:
            x: what `model.predict` takes.

        Raises:
            ValueError: a model that keeps state from call to call.
        """
        x = prepare(self.question.model, as_arrays(x))
        if not self._is_asked:
            self._is_asked = True
            look_at_state(self.question.model, x)
        found = predict_rows(self._network, x)
        if not all(np.isfinite(a).all() for a in found.values()):
            raise ValueError(
                f"Expected finite numbers inside of {self.question.model.name!r}, received NaN or"
                " infinity. Look for them in the inputs and in the weights.")
        return found


class _Read(keras.layers.Layer):
    """The graph of `Reading`."""

    def __init__(self, question, value):
        super().__init__(dtype="float32", autocast=False)
        self.model = question.model  # whose weights are read
        self._program = question.program.with_outputs(
            [value, question.program.outputs[0], question.answer])

    def call(self, inputs):
        value, logits, predictions = self._program(tree.flatten(inputs))
        return {"value": ops.cast(value, "float32"), "logits": ops.cast(logits, "float32"),
                "predictions": ops.cast(predictions, "float32")}

    def compute_output_spec(self, inputs):
        batch = tree.flatten(inputs)[0].shape[0]
        return {name: keras.KerasTensor((batch, *v.spec.shape[1:]), "float32")
                for name, v in zip(("value", "logits", "predictions"), self._program.outputs,
                                   strict=True)}

    def build(self, input_shape):
        self.built = True
