"""The feature map in which concepts are looked for: read, and changed by concepts."""

import keras
import numpy as np
from keras import ops

from keras_explain.data.predicting import predict_rows
from keras_explain.data.preparing import prepares
from keras_explain.engine.reading import Reading
from keras_explain.engine.resizing import lay, resize
from keras_explain.explainers._cam import FeatureMap


class ConceptLayer:
    """The feature map of a model of one image, and the score of a class.

    Args:
        model, layer: see `FeatureMap`.
        target: a class or a callable; None: the class that most of the images `x` are called.
        x: images.
        batch_size: of a forward pass.

    Raises:
        ValueError: a model of something else than one image, or maps of several layers.
    """

    def __init__(self, model, layer, target, x, batch_size):
        explainer = FeatureMap(model, layer=layer, target=target)
        if target is None:
            found = Reading(explainer.question, explainer.features[0])
            scores = [explainer.question.scores(*map(ops.convert_to_tensor, (
                one["logits"], one["predictions"]))) for one in (
                found(x[i : i + batch_size]) for i in range(0, len(x), batch_size))]
            classes = np.concatenate([ops.convert_to_numpy(s).argmax(axis=1) for s in scores])
            target = int(np.bincount(classes).argmax())
            explainer = FeatureMap(model, layer=layer, target=target)
        question = explainer.question
        self.explainer, self.question, self.target = explainer, question, target
        if len(explainer.features) > 1:
            raise ValueError(
                f"Expected one layer to look for concepts in, received {explainer.layer_path}. Name"
                " one of them with `layer=`.")
        (self.value,) = explainer.features
        self.source = explainer.sources[self.value]
        self.axes = tuple(explainer._image_axes(self.source))
        if len(question.program.inputs) > 1 or len(self.axes) != 2 or prepares(model):
            raise ValueError(
                f"Expected a model that takes one image, received {model.name!r} with inputs of"
                f" shapes {[v.spec.shape for v in question.program.inputs]}. Concepts are looked"
                " for in crops of images.")
        self.reading = Reading(question, self.value)

    def last(self, x):
        """Images with their channels last."""
        x = x[..., None] if x.ndim == 3 else x
        return np.moveaxis(x, 1, -1) if self.axes == (2, 3) else x

    def read(self, x):
        """Activations (N, h, w, channels) of a batch, zero where negative."""
        found = self.reading(x)["value"]
        return np.maximum(ops.convert_to_numpy(self.explainer.channels_last(found)), 0)

    def lay_over(self, maps, sizes):
        """Maps (N, h, w) at the size of the images."""
        placement = self.explainer.placements[0]
        axes = placement and placement.at(sizes)
        maps = ops.convert_to_tensor(maps.astype("float32"))
        return ops.convert_to_numpy(lay(maps, axes, sizes) if axes else resize(maps, sizes))

    def make_score(self, directions, shape):
        """A function from images, coefficients and masks to scores.

        Args:
            directions: (concepts, channels).
            shape: (h, w) of the feature map.

        Returns:
            `score(x, maps, masks)`: images (N, ...), coefficients (N, h, w, concepts), how much of
            each concept is left (N, K, concepts) -> scores (N, K).
        """
        image, count = self.question.symbolic_inputs(), len(directions)
        spec = keras.tree.flatten(image)[0]
        inputs = [keras.Input(batch_shape=spec.shape, dtype=spec.dtype),
                  keras.Input((*shape, count)), keras.Input((None, count))]
        network = keras.Model(inputs, _Score(self, directions)(inputs), name="concept_scores")
        return lambda *parts: predict_rows(network, list(parts))

    def like_the_value(self, change):
        """(N, h, w, channels) in the layout of the feature map, zero for tokens that are none."""
        grid = self.explainer.grids.get(self.value)
        if grid is not None:
            rows = ops.reshape(change, (-1, grid.count, change.shape[-1]))
            behind = self.value.spec.shape[1] - grid.first - grid.count
            return ops.pad(rows, ((0, 0), (grid.first, behind), (0, 0)))
        channel = self.question.program.channel_axis(self.value)
        return change if channel == 3 else ops.moveaxis(change, -1, channel)


class _Score(keras.layers.Layer):
    """The graph of `ConceptLayer.make_score`."""

    def __init__(self, layer, directions):
        super().__init__(dtype="float32", autocast=False)
        self.model = layer.question.model  # whose weights are read
        self.layer, self.directions = layer, directions.astype("float32")

    def call(self, inputs):
        image, maps, masks = inputs
        question, count = self.layer.question, ops.shape(masks)[1]
        (points,), rest = question.split_at([image], [self.layer.value])
        each = ops.arange(ops.shape(image)[0], dtype="int32")[:, None]
        rows = ops.reshape(each + ops.zeros((1, count), "int32"), (-1,))
        change = maps[:, None] * (masks - 1.0)[:, :, None, None]
        change = ops.reshape(change, (-1, *maps.shape[1:])) @ ops.convert_to_tensor(self.directions)
        change = ops.cast(self.layer.like_the_value(change), points.dtype)
        scores, _ = rest([ops.take(points, rows, axis=0) + change], rows)
        chosen = question.choose_class(scores, None)
        return ops.reshape(ops.sum(ops.cast(scores, "float32") * chosen, axis=-1), (-1, count))

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs[0].shape[0], inputs[2].shape[1]), "float32")

    def build(self, input_shape):
        self.built = True
