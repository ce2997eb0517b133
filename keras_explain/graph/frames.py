"""Functions of single frames, applied to all the frames of a batch: what is in TimeDistributed."""

import keras
from keras import ops, tree


class OverFrames:
    """A function of single frames, applied to all frames of a batch at once.

    What `TimeDistributed` does around a layer: frames (N, T, ...) become rows (N * T, ...), and
    what `fn` gives for them becomes (N, T, ...) again.

    Args:
        fn: the layer or operation.
        places: which arguments have frames, see `find_places`; others are the same for every one.
    """

    def __init__(self, fn, places):
        self.fn, self.places = fn, frozenset(places)

    @property
    def weights(self):
        return getattr(self.fn, "weights", [])

    @property
    def compute_dtype(self):
        return getattr(self.fn, "compute_dtype", None)

    def with_fn(self, fn):
        """The same for another function of frames."""
        return self if fn is self.fn else OverFrames(fn, self.places)

    def __call__(self, *args, **kwargs):
        args, kwargs, framed = self.map_frames(args, kwargs, _as_rows)
        first = framed[0]

        def as_frames(y):
            batch = -1 if first.shape[1] else ops.shape(first)[0]
            return ops.reshape(y, (batch, first.shape[1] or ops.shape(first)[1], *_sizes(y, 1)))

        return tree.map_structure(as_frames, self.fn(*args, **kwargs))

    def compute_output_spec(self, *args, **kwargs):
        """Symbolic outputs for symbolic arguments."""

        def as_rows(x):
            rows = None if None in x.shape[:2] else x.shape[0] * x.shape[1]
            return keras.KerasTensor((rows, *x.shape[2:]), x.dtype)

        args, kwargs, framed = self.map_frames(args, kwargs, as_rows)
        return tree.map_structure(
            lambda y: keras.KerasTensor((*framed[0].shape[:2], *y.shape[1:]), y.dtype),
            self.fn.compute_output_spec(*args, **kwargs))

    def map_frames(self, args, kwargs, change):
        """The arguments with `change` of those that have frames, and these as they were."""
        framed = []

        def changed(name, argument):
            flat = tree.flatten(argument)
            for i, x in enumerate(flat):
                if (name, i) in self.places:
                    framed.append(x)
                    flat[i] = change(x)
            return tree.pack_sequence_as(argument, flat)

        args = tuple(changed(i, x) for i, x in enumerate(args))
        return args, {name: changed(name, x) for name, x in kwargs.items()}, framed


def find_places(args, kwargs, has_frames):
    """Which of all flat arguments have frames, each by its argument and its place in that."""
    return [(name, i) for name, argument in (*enumerate(args), *kwargs.items())
            for i, x in enumerate(tree.flatten(argument)) if has_frames(x)]


def _as_rows(x):
    return ops.reshape(x, (-1, *_sizes(x, 2)))


def _sizes(x, first):
    """The sizes of a tensor from an axis on, as numbers where they are known."""
    return [ops.shape(x)[a] if n is None else n for a, n in enumerate(x.shape) if a >= first]


def without_frames(fn):
    """The function that a step applies, to single frames or to the whole."""
    while isinstance(fn, OverFrames):
        fn = fn.fn
    return fn
