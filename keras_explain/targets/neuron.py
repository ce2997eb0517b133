"""What a layer inside the model computes."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_explain.checks import is_integer
from keras_explain.targets._target import Asked, Target


@keras.saving.register_keras_serializable("keras_explain")
class Neuron(Target):
    """A channel of a layer inside: what does this feature look for?

    Class activation maps then read the feature map before that layer.

    Args:
        layer: a name ("conv5") or a path into a nested model ("backbone/conv5").
        channel: index of the channel or unit, from 0.
        place: where in the layer's map, as (row, column); None for the mean over the map.
        node_index: which call, for a layer that is called several times.

    Raises:
        TypeError: an index that is no integer, or a layer that is not given by its name.
        ValueError: no such layer (the nearest names are listed), channel or place.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="first"),
        ...     keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> explained = kx.saliency(model, target=kx.targets.Neuron("first", 1, (2, 3)))
        >>> heatmap = explained.predict(np.random.rand(1, 8, 8, 1), verbose=0)["heatmap"][0]
        >>> rows, columns = heatmap.nonzero()
        >>> int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
        (2, 4, 3, 5)
    """

    asks_one_output = False

    def __init__(
        self, layer: str, channel: int, place: Sequence[int] | None = None, *,
        node_index: int | None = None,
    ) -> None:
        if not isinstance(layer, str):
            raise TypeError(
                f"Expected `layer` to be the name of a layer, received {layer!r}. Pass its"
                " `.name`, or a path such as \"backbone/conv5\".")
        place = (place,) if is_integer(place) else place
        numbers = [channel, *(place or ())]
        if not all(is_integer(n) and n >= 0 for n in numbers):
            raise TypeError(
                "Expected `channel` and `place` in whole numbers from 0, received"
                f" channel={channel!r} and place={place!r}. Count channels, rows and columns"
                " from 0.")
        self.layer, self.channel, self.node_index = layer, int(channel), node_index
        self.place = None if place is None else tuple(map(int, place))

    def __call__(self, outputs: Any) -> Any:
        """Refuse answers, in which no inner layer is to be found, as a TypeError.

        Args:
            outputs: of a model.
        """
        raise TypeError(
            "Expected a Keras model to look into, received a function's answers for a Neuron. Pass"
            " the model itself, or a function that gives what the layer computes.")

    def read(self, asked: Asked) -> list[Any]:
        """What the layer gives; a ValueError where it has no such channel or place.

        Args:
            asked: the model.
        """
        values = asked.layer(self.layer, self.node_index)
        self._check(tuple(values.spec.shape))
        return [values]

    def _check(self, shape):
        *space, channels = shape[1:] or (1,)
        if channels is not None and self.channel >= channels:
            raise ValueError(
                f"Expected `channel` from 0 to {channels - 1}, because the layer {self.layer!r}"
                f" has {channels}, received {self.channel}. Count channels from 0.")
        if self.place is not None and (len(self.place) != len(space) or any(
                n is not None and i >= n for i, n in zip(self.place, space, strict=True))):
            raise ValueError(
                f"Expected a place within {tuple(space)}, the size of what {self.layer!r} gives,"
                f" received {self.place}. Count its rows and columns from 0; None takes the mean.")

    def columns(self, values: Sequence[Any]) -> Any:
        """The channel, float32 of shape (N, 1).

        Args:
            values: what the layer gives, channels last.
        """
        found = values[0] if len(values[0].shape) > 1 else ops.expand_dims(values[0], -1)
        self._check(tuple(found.shape))
        found = found[..., self.channel : self.channel + 1]
        for index in self.place or ():
            found = found[:, index]
        return ops.mean(found, axis=tuple(range(1, len(found.shape) - 1)))

    def get_config(self) -> dict[str, Any]:
        """What `from_config` takes."""
        return {"layer": self.layer, "channel": self.channel, "node_index": self.node_index,
                "place": None if self.place is None else list(self.place)}

    def __str__(self) -> str:
        where = "" if self.place is None else f" at {self.place}"
        return f"channel {self.channel} of {self.layer!r}{where}"

    def __repr__(self) -> str:
        return (f"Neuron({self.layer!r}, {self.channel!r}, {self.place!r},"
                f" node_index={self.node_index!r})")
