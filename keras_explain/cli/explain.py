"""`keras-explain explain`: pictures in; overlays, raw heatmaps, predictions and reasons out."""

import json
import pathlib
import sys

import numpy as np

from keras_explain import images
from keras_explain.cli.inputs import PIXELS, load_model, read_labels, read_picture
from keras_explain.cli.methods import build_methods, find_methods
from keras_explain.reasons._methods import choose
from keras_explain.reasons.explain import ask
from keras_explain.terminal import escape_controls


def run(options):
    """Explain the pictures, write the files; returns the exit code."""
    builders = find_methods(options.method)
    model, labels = load_model(options.model), read_labels(options.labels, options.model)
    choice = _choose(options, model)
    methods = None if choice else build_methods(
        builders, model, options.layer, options.settings, options.target)
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    wrong_labels = _check_labels(labels, model)
    if wrong_labels:
        _report(wrong_labels)
    ask_all = _ask(choice, methods, None if wrong_labels else labels)
    failed, names, total = 0, set(), len(options.images)
    with RowFile(out / "explanations.json") as rows:
        try:
            for i, path in enumerate(options.images, start=1):
                stem = _find_unused(pathlib.Path(path).stem, names)
                row = _try_picture(options, model, ask_all, labels, path, out / stem)
                rows.add(row)
                failed += "error" in row
                _report(f"[{i}/{total}] {_describe(row)}")
        except KeyboardInterrupt:
            _report("Interrupted: what was explained so far is kept.")
    if options.json:
        print((out / "explanations.json").read_text(encoding="utf-8"), end="")
    _report(f"{rows.count - failed} explained, {failed} failed: {out / 'explanations.json'}")
    return 1 if failed or wrong_labels or rows.count < total else 0


class RowFile:
    """A JSON list in a file that is complete after each row, whatever ends the program."""

    def __init__(self, path):
        # A name that is no UTF-8 has lone surrogates, which JSON can say: \\udcff.
        self._file = open(path, "w", encoding="utf-8", errors="backslashreplace")
        self._file.write("[")
        self._end, self.count = self._file.tell(), 0
        self._close_list()

    def add(self, row):
        """Append a row."""
        self._file.seek(self._end)
        self._file.write(",\n" if self.count else "\n")
        self._file.write(json.dumps(row, indent=1, ensure_ascii=False))
        self._end, self.count = self._file.tell(), self.count + 1
        self._close_list()

    def _close_list(self):
        self._file.write("\n]\n")
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()


def _choose(options, model):
    """Two methods that suit, where the user names none and sets nothing of one; else None."""
    if options.method or options.layer or options.settings:
        return None
    try:
        choice = choose(model, None, {} if options.target is None else {"target": options.target})
    except ValueError:
        return None  # columns, or several inputs: `build_methods` says what is missing
    answer = choice.first.explainer.question.answer
    return choice if choice.kind == "image" and len(answer.spec.shape) == 2 else None


def _ask(choice, methods, labels):
    """A function from one picture, as the model takes it, to maps, predictions and sentences."""
    def ask_methods(given):
        maps, answer = {}, None
        for name, explained in methods.items():
            answer = explained.predict(given, verbose=0)
            spread = np.asarray(answer["disagreement"])[0] if "disagreement" in answer else None
            maps[name] = np.asarray(answer["heatmap"])[0], explained.explainer.signed, spread
        return maps, answer["predictions"], []

    def ask_choice(given):
        reasons = ask(choice, given, class_names=labels, verbose=0)
        signed = [m.explainer.signed for m in reasons.explained]
        maps = {reasons.method: (reasons.heatmaps[0], signed[0], None)}
        if reasons.second is not None:
            maps[reasons.second] = reasons.second_heatmaps[0], signed[1], None
        return maps, reasons.predictions, [reasons.why, *reasons.sentences(0)[1:]]

    return ask_methods if choice is None else ask_choice


def _try_picture(options, model, ask_all, labels, path, stem):
    """The row of a picture, or of what went wrong with it: one picture never costs the others."""
    try:
        return _explain_picture(options, model, ask_all, labels, path, stem)
    except Exception as error:  # decoders have errors of their own
        return {"image": path, "error": str(error) or type(error).__name__}


def _check_labels(labels, model):
    """What is wrong with the number of labels; None if it fits, or if nobody can tell."""
    shape = model.output_shape
    if labels is None or not isinstance(shape, tuple) or shape[-1] is None:
        return None
    classes = max(shape[-1], 2)  # one unit tells two
    if len(labels) == classes:
        return None
    return (f"Expected --labels with {classes} names, one a line, received {len(labels)}."
            " Classes without a name are told by their number.")


def _explain_picture(options, model, ask_all, labels, path, stem):
    pixels = read_picture(path, model, options.size, options.crop)
    scale, shift = PIXELS[options.pixels]
    given = (pixels * scale + shift)[None]
    row = {"image": path, "maps": {}}
    maps, predictions, sentences = ask_all(given)
    for name, (heatmap, signed, spread) in maps.items():
        shown = heatmap if spread is None else images.fade(heatmap, spread)
        picture = images.overlay(pixels.astype("uint8"), shown, signed=signed)
        files = {"overlay": f"{stem}.{name}.png", "heatmap": f"{stem}.{name}.npy"}
        pathlib.Path(files["overlay"]).write_bytes(images.encode_png(picture))
        np.save(files["heatmap"], heatmap)
        row["maps"][name] = files
    scores = np.zeros(0) if isinstance(predictions, (dict, list)) else np.asarray(predictions)[0]
    if sentences:
        row["reasons"] = sentences
    row["predictions"] = _name_best(scores, labels, options.top)
    return row


def _name_best(scores, labels, count):
    if scores.ndim != 1:
        return []
    order = scores.argsort()[::-1][:count]
    named = labels or ()
    return [{"class": int(i), "label": named[i] if i < len(named) else str(i),
             "score": float(scores[i])} for i in order]


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
    return " ".join([f"{row['image']}: {best}", *row.get("reasons", [])[1:]])


def _report(text):
    print(escape_controls(text), file=sys.stderr, flush=True)
