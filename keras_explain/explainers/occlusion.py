"""Occlusion: the drop of the score when a patch of the input is hidden."""

import keras
import numpy as np
from keras import ops

from keras_explain.explainers import sliding
from keras_explain.explainers.base import Explainer, heatmap_axes

PATCH_VALUES = ("mean", "zero", "blur")


@keras.saving.register_keras_serializable("keras_explain")
class Occlusion(Explainer):
    """The layer behind `occlusion`."""

    def __init__(self, model, *, patch_size=None, stride=None, patch_value="mean",
                 batch_size=64, score="probability", **options):
        super().__init__(model, score=score, **options)
        self.explain_inputs(_image_like(self.program))
        self.patch_size = _per_axis("patch_size", patch_size)
        self.stride = _per_axis("stride", stride)
        self.patch_value, self.batch_size = _checked_patch_value(patch_value), batch_size
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"Expected `batch_size` of at least 1, received {batch_size!r}.")
        self.grids = tuple(self._grid(v) for v in self.explained)
        for value in self.explained:
            self._check_patch_value_fits(value)

    def _grid(self, value):
        """(patch, stride) for each axis that the patch slides along."""
        sizes = [value.spec.shape[a] for a in heatmap_axes(self.program, value)]
        patch = self.patch_size or [_default_patch(value, s) for s in sizes]
        patch = patch * len(sizes) if len(patch) == 1 else patch
        stride = self.stride or [max(1, p // 2) for p in patch]
        stride = stride * len(sizes) if len(stride) == 1 else stride
        if len(patch) != len(sizes) or len(stride) != len(sizes):
            raise ValueError(
                f"Expected one `patch_size` and `stride`, or {len(sizes)} (one per axis of the"
                f" input {value.spec.shape}), received {self.patch_size} and {self.stride}."
            )
        for p, size in zip(patch, sizes, strict=True):
            if size is not None and p > size:
                raise ValueError(
                    f"Expected `patch_size` of at most {size}, the size of the input, received"
                    f" {p}. Take a patch of about an eighth of the image."
                )
        return tuple(zip(patch, stride, strict=True))

    def _check_patch_value_fits(self, value):
        if isinstance(self.patch_value, str):
            if self.patch_value == "blur" and "float" not in value.spec.dtype and (
                len(value.spec.shape) < 3
            ):
                raise ValueError(
                    'Expected `patch_value` "zero" or a number for integer tokens or columns,'
                    ' received "blur".'
                )
            return
        shape = [1 if s is None else s for s in value.spec.shape[1:]]
        try:
            fits = np.broadcast_shapes(np.shape(self.patch_value), shape) == tuple(shape)
        except ValueError:
            fits = False
        if not fits and None not in value.spec.shape[1:]:
            raise ValueError(
                f"Expected `patch_value` to be one of {PATCH_VALUES}, a number, a colour or an"
                f" array that fits an input of shape {tuple(shape)}, received an array of shape"
                f" {np.shape(self.patch_value)}."
            )

    def compute(self, values, request):
        raw, predictions = self.program(values)
        scores = self.scores(raw, predictions)
        chosen = self.choose(scores, request)
        clean = ops.sum(scores * chosen, axis=-1)
        rounding = 8 * _epsilon(raw) * ops.max(ops.abs(scores), axis=-1)
        heatmaps = []
        for value, grid in zip(self.explained, self.grids, strict=True):
            drops = self._drops(values, self.program.inputs.index(value), grid, clean, chosen)
            axes = tuple(range(1, len(drops.shape)))
            alive = ops.max(ops.abs(drops), axis=axes, keepdims=True) > ops.reshape(
                rounding, (-1, *[1] * len(axes))
            )
            drops = ops.where(alive, drops, 0.0)
            image = values[self.program.inputs.index(value)]
            sizes = [ops.shape(image)[a] for a in heatmap_axes(self.program, value)]
            heatmaps.append(sliding.spread(drops, sizes, grid))
        return heatmaps, predictions

    def _drops(self, values, index, grid, clean, chosen):
        """Score lost at each position, shape (N, positions per axis...)."""
        image = values[index]
        axes = heatmap_axes(self.program, self.explained[self._place(index)])
        sizes = [ops.shape(image)[a] for a in axes]
        hidden = self._hidden(image, axes)
        counts = [sliding.count(size, *step) for size, step in zip(sizes, grid, strict=True)]

        def score(pairs):
            which, masks = sliding.masks(pairs, sizes, counts, grid)
            rows = [ops.take(v, which, axis=0) for v in values]
            for axis in range(1, len(image.shape)):
                if axis not in axes:
                    masks = ops.expand_dims(masks, axis)
            patch = ops.take(hidden, which, axis=0) if hidden.shape[0] != 1 else hidden
            rows[index] = ops.where(masks, patch, rows[index])
            raw, predictions = self.program(rows)
            lost = self.scores(raw, predictions) * ops.take(chosen, which, axis=0)
            return ops.take(clean, which) - ops.sum(lost, axis=-1)

        drops = sliding.for_all_pairs(score, ops.shape(image)[0], counts, self.batch_size)
        return ops.reshape(drops, (-1, *counts))

    def _place(self, index):
        return self.explained.index(self.program.inputs[index])

    def _hidden(self, image, axes):
        """What stands in the patch: the whole input with nothing to see, (N or 1, ...)."""
        dtype = keras.backend.standardize_dtype(image.dtype)
        tokens = "float" not in dtype and len(image.shape) < 3
        if not isinstance(self.patch_value, str):
            hidden = ops.convert_to_tensor(np.array(self.patch_value, "float32"))
            hidden = ops.broadcast_to(hidden, image.shape[1:])[None] if (
                None not in image.shape[1:]) else ops.zeros_like(image[:1]) + hidden
            return ops.cast(hidden, dtype)
        if self.patch_value == "zero" or tokens:
            return ops.zeros_like(image[:1])
        pixels = ops.cast(image, "float32")
        if self.patch_value == "mean":
            pixels = ops.mean(pixels, axis=axes, keepdims=True) + ops.zeros_like(pixels)
        else:
            pixels = sliding.blurred(pixels, axes)
        return ops.cast(pixels if "float" in dtype else ops.round(pixels), dtype)

    def get_config(self):
        value = self.patch_value
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "stride": self.stride,
            "patch_value": value if isinstance(value, str) else np.asarray(value).tolist(),
            "batch_size": self.batch_size,
        }


def occlusion(model, patch_size=None, stride=None, target=None, *, patch_value="mean",
              batch_size=64, **options):
    """Build a model that hides one patch after the other and records what the score loses.

    What people understand best, and faithful by construction: each number is a measured drop.
    A pixel gets the mean drop over the patches that cover it. Costs one forward pass per
    position; it needs no gradient and no inner layer, so it explains any model.

    Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks",
    https://arxiv.org/abs/1311.2901.

    Args:
        model: a built `keras.Model`, of any kind. Never changed.
        patch_size: pixels, an int or one per axis. None: an eighth of the input's size (one
            token, one column for tokens and tables). A last patch that would stick out is
            shifted inward, so that the border is covered.
        stride: step between patches, an int or one per axis; None: half a patch. Where a
            stride larger than the patch leaves gaps, the nearest patch speaks for them.
        target: see `grad_cam`.
        patch_value: "mean" (of the image, per channel), "zero", "blur", a number, a colour, or
            an array of the input's shape. Tokens are replaced by 0 unless a number is given.
        batch_size: forward passes at a time. It bounds the memory and changes no number.
        **options: output, input, normalize: see `grad_cam`; score: "probability" (default) or
            "logit".

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is the signed drop, float32
        of shape (N, H, W), (N, T), (N, F) or (N, D, H, W): positive where hiding the patch
        lowers the score.

    Raises:
        TypeError, ValueError: see `grad_cam`; a patch that is larger than the input.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Flatten(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> explained = kx.occlusion(model, patch_size=4, stride=2)
        >>> explained.predict(np.random.rand(3, 16, 16, 1), verbose=0)["heatmap"].shape
        (3, 16, 16)
    """
    return Occlusion(
        model, patch_size=patch_size, stride=stride, target=target, patch_value=patch_value,
        batch_size=batch_size, **options,
    ).explained_model()


def _per_axis(name, value):
    if value is None:
        return None
    numbers = [value] if isinstance(value, int) else list(value)
    if not numbers or not all(isinstance(n, (int, np.integer)) and n > 0 for n in numbers):
        raise ValueError(
            f"Expected `{name}` to be a positive number of pixels, or one per axis, received"
            f" {value!r}."
        )
    return tuple(int(n) for n in numbers)


def _checked_patch_value(value):
    if isinstance(value, str) and value not in PATCH_VALUES:
        raise ValueError(
            f"Expected `patch_value` to be one of {PATCH_VALUES}, a number, a colour or an"
            f" array, received {value!r}."
        )
    if isinstance(value, str):
        return value
    return np.asarray(value, "float32").tolist()


def _default_patch(value, size):
    if len(value.spec.shape) < 3:
        return 1
    if size is None:
        raise ValueError(
            "Expected `patch_size`, because the model takes inputs of any size"
            f" {value.spec.shape}."
        )
    return max(1, size // 8)


def _image_like(program):
    """Images, sequences and volumes if the model has any, else all inputs."""
    large = [v for v in program.inputs if len(v.spec.shape) > 2]
    return large or program.inputs


def _epsilon(raw):
    """Spacing of the numbers that the model computes with, as a Python float."""
    dtype = keras.backend.standardize_dtype(raw.dtype)
    return {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}.get(dtype, 2.0**-23)
