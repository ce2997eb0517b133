"""What the dashboard reads: our own data in a TensorBoard log.

A series is what one method says of a few examples at many steps. It has four tags:

| tag | kind | what |
|---|---|---|
| `<series>/about` | text, once a training | JSON: the method, the examples and their true classes |
| `<series>/pictures/<token>` | blobs, once a training | the examples, then their superpixels |
| `<series>/steps` | text, each step | JSON: the model's answers, and the unit of each map |
| `<series>/maps/<token>` | blobs, each step | one PNG: all maps, one below the other |

All records of one training have one `token`. Where two processes write into one directory, the
dashboard shows the newest training, and of the others what was there before it began.

Numbers of a map travel as gray levels: 0 to 255 from zero to the map's limit; for signed maps 1 to
255 from minus the limit to the limit, with zero at 128. Texts and superpixels have weights in the
JSON instead. A map of 7x7 takes some 100 bytes; the browser enlarges and colors it, so that
opacity and colors can be changed there.
"""

import hashlib
import json
import math
import os

import cv2
import numpy as np

from keras_explain import images
from keras_explain.tensorboard.naming import FORMAT, PLUGIN_NAME

MOST_EXAMPLES = 128
MOST_BYTES = 60_000  # of one example at one step
MAP_SIDE = 224
_PICTURE_SIDE = 512
_ZERO = 128


class SeriesWriter:
    """Writes one series into a run's log.

    Args:
        writer: an `EventWriter`.
        name: of the series, shown as the method's name.
        kind: "image" (maps), "superpixels" or "words" (weights).
        signed: whether maps and weights have a meaning below zero.
        unit: "epoch" or "batch", what a step counts.
        pick: "first" for the same examples at all steps, "worst" where they change.

    Raises:
        OSError: by its methods, as `EventWriter`.
    """

    def __init__(self, writer, name, *, kind="image", signed=False, unit="epoch", pick="first"):
        self.writer, self.name = writer, name
        self.about = {"format": FORMAT, "method": name, "kind": kind, "signed": bool(signed),
                      "unit": unit, "pick": pick, "token": os.urandom(6).hex()}
        self._header, self._stored = None, 0

    def examples(self, step, shown, truth=None, segments=None):
        """Keep what the maps of all steps belong to.

        `step` writes it before the first step, and again as long as it could not be stored and
        where its file was deleted.

        Args:
            step: the first step.
            shown: uint8 pictures `(H, W, 3)`, or lists of words.
            truth: names of the true classes, or None.
            segments: the superpixels' labels `(H, W)` of each picture.
        """
        about, blobs = _examples(shown, truth, segments)
        self.about |= about
        self._header = step, blobs

    def step(self, step, label, values, answers, seconds=None, examples=None):
        """Write what was found at one step.

        Args:
            step: its number.
            label: what a reader calls it: "epoch 3".
            values: maps `(N, h, w)`, or a list of weights for each example.
            answers: lists by name, one value for each example: "predicted", "score", ...
            seconds: what the explanation took.
            examples: `(shown, truth, segments)` where the examples differ from step to step.
        """
        self._store_header()
        header = {"label": label, "seconds": _short(seconds), "token": self.about["token"],
                  **_tidy(answers)}
        blobs = []
        if self.about["kind"] == "image":
            atlas, header["limits"] = encode_maps(values, self.about["signed"])
            blobs.append(atlas)
        else:
            header["weights"] = [[_short(w) for w in row] for row in values]
        if examples is None:
            header["set"] = self.about.get("set")
        else:
            about, pictures = _examples(*examples)
            header |= about
            if self.about["kind"] == "image":
                blobs[0], header["limits"] = _within_budget(values, self.about["signed"], pictures)
            blobs += pictures
        self._write("steps", header, "maps", blobs, step)

    def _store_header(self):
        """Write the header into the file that is open now, if it is not there."""
        begun = self.writer.count_files()
        if self._header is not None and self._stored != begun:
            step, blobs = self._header
            self._write("about", self.about, "pictures", blobs, step)
            self._stored = begun

    def _write(self, tag, data, blobs_tag, blobs, step):
        if blobs:
            blobs_tag = f"{self.name}/{blobs_tag}/{self.about['token']}"
            self.writer.blobs(blobs_tag, blobs, step, plugin_name=PLUGIN_NAME)
        text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        self.writer.text(f"{self.name}/{tag}", text, step, plugin_name=PLUGIN_NAME)


def encode_maps(maps, signed, side=MAP_SIDE):
    """One PNG of all maps, one below the other, and the largest magnitude of each.

    Args:
        maps: `(N, h, w)`. Maps larger than `side` are averaged down. A map with NaN becomes zero
            and its limit None.
        signed: whether zero is the middle gray; else what is below zero becomes zero.
        side: the largest height and width.

    Returns:
        Bytes, and a list of N limits.

    Example:
        >>> encode_maps([[[0.0, 2.0]], [[4.0, 1.0]]], signed=False)[1]
        [2.0, 4.0]
    """
    maps = np.asarray(maps, np.float32)
    finite = np.isfinite(maps).all(axis=(1, 2))
    maps = np.where(finite[:, None, None], maps, 0)
    height, width = maps.shape[1:]
    if max(height, width) > side:
        maps = np.stack([_shrink(m, side) for m in maps])
    limits = np.abs(maps).max(axis=(1, 2)) if signed else maps.max(axis=(1, 2)).clip(0)
    scale = np.divide(1, limits, where=limits > 0, out=np.zeros_like(limits))
    shares = maps * scale[:, None, None]
    levels = shares * 127 + _ZERO if signed else shares.clip(0) * 255
    atlas = np.rint(levels).astype(np.uint8).reshape(-1, maps.shape[-1])
    limits = [_short(v) if ok else None for v, ok in zip(limits, finite, strict=True)]
    return images.encode_png(atlas), limits


def encode_picture(picture, side=_PICTURE_SIDE, most_bytes=MOST_BYTES // 2):
    """A picture for the browser: PNG where that is small, JPEG for photographs.

    Args:
        picture: uint8 `(H, W, 3)`; averaged down to `side`.
        side: the largest height and width.
        most_bytes: what a JPEG's quality is lowered for.
    """
    if max(picture.shape[:2]) > side:
        picture = _shrink(picture, side)
    png = images.encode_png(picture)
    if len(png) < 12_000:
        return png
    for quality in (90, 80, 60, 40, 20):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)[1].tobytes()
        if len(jpeg) < most_bytes:
            break
    return min(png, jpeg, key=len)


def encode_segments(labels):
    """Superpixel labels below 65,536 as PNG: red is the low byte, green the high one."""
    labels = np.asarray(labels)
    return images.encode_png(
        np.stack([labels & 255, labels >> 8, np.zeros_like(labels)], -1).astype(np.uint8)
    )


def _shrink(array, side):
    factor = side / max(array.shape[:2])
    size = [max(1, round(length * factor)) for length in array.shape[1::-1]]
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def _examples(shown, truth, segments):
    """The part of a header that tells the examples, and their pictures as blobs."""
    if isinstance(shown[0], np.ndarray):
        blobs = [encode_picture(picture) for picture in shown]
        ids = [_digest(picture.tobytes()) for picture in shown]
        about = {}
    else:
        words = [[str(word) for word in row] for row in shown]
        blobs, ids = [], [_digest(json.dumps(row).encode()) for row in words]
        about = {"words": words}
    blobs += [encode_segments(labels) for labels in segments or ()]
    truth = None if truth is None else [str(name) for name in truth]
    about |= {"ids": ids, "truth": truth, "set": _digest("".join(ids).encode())}
    return about, blobs


def _within_budget(maps, signed, pictures):
    """The finest atlas that, with the pictures of the step, keeps to `MOST_BYTES` an example."""
    side = MAP_SIDE
    allowed = MOST_BYTES * len(maps) - sum(map(len, pictures))
    while True:
        atlas, limits = encode_maps(maps, signed, side)
        if len(atlas) <= allowed or side < 32:
            return atlas, limits
        side = side * 3 // 4


def _tidy(answers):
    return {
        name: [_short(v) if isinstance(v, (float, np.floating)) else v for v in values]
        for name, values in answers.items()
        if values is not None
    }


def _short(value):
    """Four significant digits; None for what JSON cannot say."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.4g}")


def _digest(data):
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()[:12]
