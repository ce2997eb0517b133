"""What shows where a superpixel is out."""

from typing import Any

import numpy as np

from keras_explain.lime._local import Result
from keras_explain.lime._subjects import ImageSubject

SEVERAL = ("mean", "blur", "noise", "inpaint")
NAMED = (*SEVERAL, "several")
_MARGIN = 8  # pixels around a superpixel that it is inpainted from


def make_fill(baseline: Any, subject: ImageSubject) -> np.ndarray:
    """An array of the image's shape and dtype that shows where superpixels are out.

    Args:
        baseline: one of `SEVERAL`, a number, a color or an array.
        subject: the image and its superpixels.
    """
    picture = subject.picture.astype(np.float32)
    flat = picture.reshape(*picture.shape[:2], -1)
    if isinstance(baseline, str):
        make = {"mean": _average_segments, "blur": _blur, "noise": _make_noise,
                "inpaint": _inpaint}[baseline]
        fill = make(flat, subject.segments)
    else:
        fill = _broadcast(baseline, flat, subject)
    fill = _restore_layout(fill, subject)
    if subject.image.dtype.kind in "iu":
        fill = np.rint(fill)
    return fill.astype(subject.image.dtype)


def average(results: list[Result]) -> Result:
    """The mean of what several fills say, and the deviation of the weights between them."""
    first = results[0]
    if len(results) == 1:
        return first
    means = {name: np.mean([getattr(r, name) for r in results], axis=0)
             for name in ("weights", "intercept", "local_prediction", "fidelity",
                          "held_out_fidelity", "stability")}
    converged = [r.converged for r in results]
    return first._replace(
        **means,
        disagreement=np.std([r.weights for r in results], axis=0),
        rules=tuple("" for _ in first.rules),
        samples=sum(r.samples for r in results),
        converged=None if None in converged else all(converged),
    )


def _average_segments(flat, labels):
    counts = np.bincount(labels.ravel())
    sums = [np.bincount(labels.ravel(), channel.ravel()) for channel in np.moveaxis(flat, -1, 0)]
    return (np.stack(sums, axis=-1) / counts[:, None])[labels]


def _blur(flat, labels):
    import cv2

    sigma = max(flat.shape[:2]) / 20
    channels = np.ascontiguousarray(np.moveaxis(flat, -1, 0))
    channels = [cv2.GaussianBlur(channel, (0, 0), sigma) for channel in channels]
    return np.stack(channels, axis=-1)


def _make_noise(flat, labels):
    numbers = np.random.default_rng(0).normal(size=flat.shape)
    noise = flat.mean((0, 1)) + flat.std((0, 1)) * numbers
    return np.clip(noise, flat.min((0, 1)), flat.max((0, 1))).astype(np.float32)


def _inpaint(flat, labels):
    """Each superpixel continued from the pixels around it (Telea 2004, OpenCV)."""
    import cv2

    fill = flat.copy()
    for label in np.unique(labels):
        out = labels == label
        if out.all():
            return _average_segments(flat, labels)
        rows, columns = (np.flatnonzero(out.any(axis)) for axis in (1, 0))
        box = tuple(slice(max(line[0] - _MARGIN, 0), line[-1] + _MARGIN + 1)
                    for line in (rows, columns))
        mask = out[box].astype(np.uint8)
        for channel in range(flat.shape[-1]):
            crop = np.array(flat[box][..., channel])
            crop[mask > 0] = crop[mask == 0].mean()  # OpenCV reads pixels that are out, too
            painted = cv2.inpaint(crop, mask, 3, cv2.INPAINT_TELEA)
            fill[box][..., channel][mask > 0] = painted[mask > 0]
    return fill


def _restore_layout(flat, subject):
    """Channels last, as in `flat`, to the image's own layout."""
    if subject.channels is None:
        return flat[..., 0]
    return np.moveaxis(flat, -1, 0) if subject.channels == 0 else flat


def _broadcast(fill, flat, subject):
    fill = np.asarray(fill, np.float32)
    if fill.shape == subject.image.shape and fill.ndim > 1:
        fill = np.moveaxis(fill, 0, -1) if subject.channels == 0 else fill
        fill = fill.reshape(flat.shape)
    if fill.shape not in ((), flat.shape[-1:], flat.shape) or not np.isfinite(fill).all():
        raise ValueError(
            f"Expected `baseline` to be a finite number, {flat.shape[-1]} of them or an array of"
            f" the image's shape {subject.image.shape}, received shape {fill.shape}. Give it in"
            " the image's own units."
        )
    return np.broadcast_to(fill, flat.shape)
