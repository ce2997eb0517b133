"""Max-sensitivity: does a heatmap change when the input hardly does?"""

import keras
import numpy as np
from keras import tree

from keras_explain.checks import check_positive
from keras_explain.data.predicting import in_batches
from keras_explain.engine.baselines import noise_axes, noise_scales
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import Baseline
from keras_explain.metrics._requests import add_classes, take_classes
from keras_explain.metrics.evaluator import Evaluator
from keras_explain.progress import Verbose
from keras_explain.signatures import Inputs


def max_sensitivity(
    explained: keras.Model, x: Inputs, *, radius: float = 0.02, baseline: Baseline = None,
    samples: int = 10, seed: int = 0, batch_size: int = 64, verbose: Verbose = "auto",
) -> np.ndarray:
    """The largest relative change of a heatmap under small noise on its input.

    max |map(x + noise) - map(x)| / |map(x)| over `samples` draws of uniform noise, in the
    Euclidean norm; the explained class stays that of the clean input.

    Reference: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations",
    https://arxiv.org/abs/1901.09392.
    Direction: lower is better.
    Cost: `samples` + 1 heatmaps per image, whatever these cost.
    Weakness: a map that ignores the input is perfect; and where the model itself is unstable, a
    faithful map must be too.

    Args:
        explained: an explained model: heatmaps alone cannot be computed again.
        x: inputs as it takes them, N examples.
        radius: largest noise, as a share of each example's own range of values; for series of
            each channel's, for tables of each column's in `baseline`.
        baseline: background data for tables, which need them; others take their own range.
        samples: number of draws; the same ones for every example.
        seed: of the noise.
        batch_size: heatmaps at a time. It changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        float64 of shape (N,); NaN where the clean map is blank.

    Raises:
        TypeError: not an explained model.
        ValueError: integer tokens, which have no small change.
    """
    if not isinstance(explained, ExplainedModel):
        raise TypeError(
            "Expected an explained model, as `keras_explain.grad_cam(model)` returns, because"
            f" heatmaps are computed again, received {type(explained).__name__}. Explain the"
            " model first."
        )
    samples = check_positive("samples", samples)
    evaluator = Evaluator(explained, batch_size=batch_size, verbose=verbose)
    subject = evaluator.subject("probability")
    spec, image = subject.value.spec, subject.index
    if "float" not in spec.dtype and len(spec.shape) < 4:
        raise ValueError(
            f"Expected inputs that noise can change a little, received {spec.dtype} of shape"
            f" {spec.shape}. Tokens have no small change."
        )
    plain, _ = evaluator._split_target(x)
    classes, values = evaluator.classes(x), [np.asarray(v) for v in tree.flatten(plain)]
    asked = take_classes(explained)
    pixels = values[image].astype("float32")
    (scale,) = noise_scales(baseline, subject.question, subject.question.keys)
    if scale is None:
        axes = noise_axes(subject.question.program, subject.value)
        scale = np.ptp(pixels, axis=axes, keepdims=True)
    scale = np.broadcast_to(scale, pixels.shape)
    noise = np.random.default_rng(seed).uniform(-radius, radius, (samples, *pixels.shape[1:]))
    noise = np.concatenate([np.zeros_like(noise[:1]), noise]).astype("float32")

    def run(pairs):
        rows, k = np.divmod(pairs, samples + 1)
        given = [v[rows] for v in values]
        noisy = pixels[rows] + noise[k] * scale[rows]
        if "float" not in spec.dtype:
            noisy = np.clip(np.round(noisy), 0, 255)
        given[image] = noisy.astype(spec.dtype)
        given = tree.pack_sequence_as(plain, given)
        return asked.predict_on_batch(add_classes(asked, given, classes[rows]))["heatmap"]

    maps = in_batches(run, len(pixels) * (samples + 1), batch_size, verbose)
    maps = maps.reshape(len(pixels), samples + 1, -1).astype("float64")
    change = np.linalg.norm(maps[:, 1:] - maps[:, :1], axis=2).max(axis=1)
    size = np.linalg.norm(maps[:, 0], axis=1)
    return change / np.where(size > 0, size, np.nan)
