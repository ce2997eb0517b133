"""`keras-explain explain`: pictures in; overlays, raw heatmaps and predictions out."""

import json
import pathlib
import sys

import numpy as np

from keras_explain import images
from keras_explain.cli.inputs import PIXELS, load_model, read_labels, read_picture
from keras_explain.cli.methods import build_methods, find_methods


def run(options):
    """Explain the pictures, write the files; returns the exit code."""
    builders = find_methods(options.method)
    model, labels = load_model(options.model), read_labels(options.labels, options.model)
    methods = build_methods(builders, model, options.layer, options.settings, options.target)
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    found, names = [], set()
    for i, path in enumerate(options.images, start=1):
        try:
            stem = _find_unused(pathlib.Path(path).stem, names)
            row = _explain_picture(options, model, methods, labels, path, out / stem)
        except (OSError, ValueError) as error:
            row = {"image": path, "error": str(error)}
        found.append(row)
        _report(f"[{i}/{len(options.images)}] {_describe(row)}")
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (out / "explanations.json").write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    failed = sum("error" in row for row in found)
    _report(f"{len(found) - failed} explained, {failed} failed: {out / 'explanations.json'}")
    return 1 if failed else 0


def _explain_picture(options, model, methods, labels, path, stem):
    pixels = read_picture(path, model, options.size, options.crop)
    scale, shift = PIXELS[options.pixels]
    given = (pixels * scale + shift)[None]
    row = {"image": path, "maps": {}}
    for name, explained in methods.items():
        answer = explained.predict(given, verbose=0)
        heatmap = np.asarray(answer["heatmap"])[0]
        picture = images.overlay(pixels.astype("uint8"), heatmap,
                                 signed=explained.explainer.signed)
        files = {"overlay": f"{stem}.{name}.png", "heatmap": f"{stem}.{name}.npy"}
        pathlib.Path(files["overlay"]).write_bytes(images.encode_png(picture))
        np.save(files["heatmap"], heatmap)
        row["maps"][name] = files
        scores = np.asarray(answer["predictions"])[0] if not isinstance(
            answer["predictions"], (dict, list)) else np.zeros(0)
    row["predictions"] = _name_best(scores, labels, options.top)
    return row


def _name_best(scores, labels, count):
    if scores.ndim != 1:
        return []
    order = scores.argsort()[::-1][:count]
    return [{"class": int(i), "label": labels[i] if labels else str(i), "score": float(scores[i])}
            for i in order]


def _find_unused(stem, names):
    unused, number = stem, 1
    while unused in names:
        number += 1
        unused = f"{stem}-{number}"
    names.add(unused)
    return unused


def _describe(row):
    if "error" in row:
        return f"{row['image']}: FAILED: {row['error']}"
    best = ", ".join(f"{p['label']} {p['score']:.3g}" for p in row["predictions"])
    return f"{row['image']}: {best}"


def _report(text):
    print(text, file=sys.stderr, flush=True)
