"""Logs without training: maps that move, answers that change, words and superpixels."""

import json

import numpy as np

from keras_explain.tensorboard import EventWriter
from keras_explain.tensorboard.naming import PLUGIN_NAME
from keras_explain.tensorboard.records import SeriesWriter

EVIL = '<img src=x onerror="document.title=\'owned\'">'


def photos(count, side=96, seed=0):
    """Soft color gradients with a bright disc."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    made = []
    for _ in range(count):
        a, b, c = rng.random((3, 3))
        picture = a * x[..., None] + b * y[..., None] + 0.4 * c
        cy, cx = rng.uniform(0.3, 0.7, 2)
        picture[(y - cy) ** 2 + (x - cx) ** 2 < 0.03] = 1
        made.append(np.clip(picture * 200, 0, 255))
    return np.array(made, np.uint8)


def blob(count, height, width, share, seed=0):
    """Maps with one bump that moves from left to right as `share` goes from 0 to 1."""
    y, x = np.mgrid[0:height, 0:width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    tops = np.linspace(0.3, 0.7, count)
    return np.stack([np.exp(-((x - share) ** 2 + (y - top) ** 2) / 0.05) for top in tops])


def answers(count, share, names=("cat", "dog")):
    score = 0.5 + 0.45 * share * np.cos(np.arange(count))
    return {
        "predicted": [names[0] if s > 0.5 else names[1] for s in score],
        "score": list(np.maximum(score, 1 - score)),
        "truth_score": list(score),
        "probable": [True] * count,
    }


def write(directory, *, methods=("grad_cam", "occlusion"), count=3, epochs=10, side=96, size=7,
          names=("cat", "dog"), seed=0, backward=False, growing=False):
    """A run with maps of several methods; every second one is signed."""
    shown = photos(count, side, seed)
    for number, method in enumerate(methods):
        with EventWriter(directory / "explanations" / f"series{number}") as writer:
            series = SeriesWriter(writer, method, signed=number % 2 == 1)
            series.examples(-1, shown, [names[0]] * count)
            for epoch in range(-1, epochs):
                share = (epoch + 1) / epochs
                maps = blob(count, size, size, 1 - share if backward else share)
                if number % 2:
                    maps = maps - maps[..., ::-1]
                if growing:
                    maps = maps * (epoch + 1)
                label = "start" if epoch < 0 else f"epoch {epoch + 1}"
                series.step(epoch, label, maps, answers(count, share, names), 0.1)


def write_words(directory, epochs=4):
    texts = [["a", "fine", EVIL, "film"], ["not", "my", "cup", "of", "tea"]]
    with EventWriter(directory / "explanations" / "words") as writer:
        series = SeriesWriter(writer, "lime text", kind="words", signed=True)
        series.examples(0, texts, ["good", "bad"])
        for epoch in range(epochs):
            weights = [np.linspace(-1, 1, len(text)) * (epoch + 1) for text in texts]
            series.step(epoch, f"epoch {epoch + 1}", weights, answers(2, 0.3, ("good", "bad")))


def write_large(directory):
    """20 examples x 4 methods x 200 epochs at 224 x 224."""
    methods = ("grad_cam", "occlusion", "layer_cam", "saliency")
    write(directory, methods=methods, count=20, epochs=200, side=224)


def write_superpixels(directory, epochs=4, count=2):
    shown = photos(count)
    y, x = np.mgrid[0:96, 0:96] // 24
    segments = [y * 4 + x] * count
    with EventWriter(directory / "explanations" / "lime") as writer:
        series = SeriesWriter(writer, "lime", kind="superpixels", signed=True)
        series.examples(0, shown, ["cat"] * count, segments)
        for epoch in range(epochs):
            weights = [np.cos(np.arange(16) + epoch)] * count
            series.step(epoch, f"epoch {epoch + 1}", weights, answers(count, epoch / epochs))


def write_begun(directory):
    """A run whose first epoch has not ended."""
    with EventWriter(directory / "explanations" / "series0") as writer:
        series = SeriesWriter(writer, "grad_cam")
        series.examples(-1, photos(2), ["cat", "dog"])
        writer.text("grad_cam/about", json.dumps(series.about), -1, plugin_name=PLUGIN_NAME)


def write_damaged(directory, parts=("unreadable", "weightless", "numbers")):
    """Series as no callback writes them: another format, words without weights, numeric ids."""
    about = {"format": 1, "method": "damaged", "kind": "words", "signed": True, "unit": "epoch",
             "pick": "first", "ids": [1], "words": [["no", "weights"]], "truth": None, "set": "s"}
    abouts = {
        "unreadable": {**about, "format": 99},
        "weightless": about,
        "numbers": {**about, "method": "numbers", "ids": [7, 8], "words": [[42], "text"]},
    }
    for part in parts:
        with EventWriter(directory / "explanations" / part) as writer:
            for tag, record in (("about", abouts[part]), ("steps", {"label": 1, "set": "s"})):
                if part == "numbers" and tag == "steps":
                    record = {**record, "weights": [[1.0], []]}
                writer.text(f"{part}/{tag}", json.dumps(record), 0, plugin_name=PLUGIN_NAME)
