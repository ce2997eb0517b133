"""Where a feature map lies over the input that it explains."""

import warnings

from keras_explain.engine.placing.following import place, place_tokens


class UnplacedMapWarning(UserWarning):
    """Where a feature map lies over the input is not known: it is stretched over the whole."""


class Placement:
    """Where a feature map lies over an input, whose size may be known at run time only.

    Args:
        program: a `Program` that computes the feature map.
        source, axes: the input Value, and the axes of it that the heatmap keeps.
        value: the feature map's Value.
        grid: rows and columns of tokens, or None.
        name: of the explained layer, for the warning.
    """

    def __init__(self, program, source, axes, value, grid, name):
        self.program, self.source, self.axes, self.value = program, source, axes, value
        self.grid, self.name, self.found = grid, name, {}

    def at(self, sizes):
        """The `Axis` for each axis of the input; None where they are not known.

        Warns the first time that they are not.
        """
        key = tuple(n if isinstance(n, int) else None for n in sizes)
        if key in self.found:
            return self.found[key]
        if self.grid is None:
            axes, lost = place(self.program, self.source, self.axes, self.value, sizes)
        else:
            axes, lost = place_tokens(self.program, self.source, self.axes, self.value,
                                      self.grid, sizes)
        if None in axes:
            axes = None
            at = f" after {lost!r}" if lost else ""
            warnings.warn(
                f"The map of layer {self.name!r} is stretched over the whole input, because"
                f" where its cells lie cannot be told{at}. It may be drawn beside what it"
                " shows: compare it with `occlusion`.", UnplacedMapWarning, stacklevel=2)
        if None not in key:
            self.found[key] = axes
        return axes

    def is_even(self):
        """Whether the cells share the whole input, so that stretching lays them right.

        A free size is taken for 256, which most strides divide.
        """
        sizes = [self.source.spec.shape[a] or 256 for a in self.axes]
        axes = self.at(sizes)
        return axes is None or all(
            abs(a.scale - n / a.size) < 0.01 and abs(a.offset - (n / a.size - 1) / 2) < 0.01
            and a.low <= 0 and a.high >= n - 1 for a, n in zip(axes, sizes, strict=True)
        ) and [a.axis for a in axes] == sorted(a.axis for a in axes)
