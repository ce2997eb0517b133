"""How well do methods order the words of a text? Real sentences through a real transformer.

    python benchmarks/text_faithfulness.py --data FOLDER [--count 100] [--replace]

MiniLM (the `[text]` extra) with a logistic head learns whether a review praises. Then the pieces
of each held-out sentence are taken out one after the other, in the order of a method's map: the
most important first, and the least important first. The area between the two curves of the logit
(times -1 where the answer is "negative") tells how well the method orders them: more is better.
`--replace` puts [MASK] in their place instead of taking them out. Besides: the rank correlation
with leaving out one piece at a time, and the CPU seconds that all maps took.

FOLDER holds rt-polarity.pos and rt-polarity.neg (Pang and Lee 2005); without it the reviews are
made up, and easy.
"""

import argparse
import pathlib
import sys
import time
import warnings

import keras
import numpy as np

import keras_explain as kx
from keras_explain.demo.minilm import WordPieces
from keras_explain.lime import LimeTextExplainer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
from bert_reviews import build_classifier  # noqa: E402
from movie_reviews import load  # noqa: E402

LONGEST = 28


class Judge:
    """The logit of a classifier for lists of pieces, in batches of one length."""

    def __init__(self, model, pieces):
        self.pieces = pieces
        view = keras.Model(model.input, model.layers[-1].input)
        self.embed, (self.kernel, self.bias) = view, model.layers[-1].get_weights()

    def __call__(self, rows):
        found = np.zeros(len(rows))
        lengths = np.array(list(map(len, rows)))
        for length in np.unique(lengths):
            some = np.flatnonzero(lengths == length)
            for part in np.array_split(some, -(-len(some) // 256)):
                x = self.pieces.encode([rows[i] for i in part])
                found[part] = (self.embed.predict_on_batch(x) @ self.kernel + self.bias)[:, 0]
        return found


def without(row, places, replace):
    """A text (pieces, with [CLS] and [SEP]) without the pieces at some places."""
    if replace:
        return ["[MASK]" if i in places else p for i, p in enumerate(row)]
    return [p for i, p in enumerate(row) if i not in places]


def leave_one_out(judge, rows, signs, replace):
    """The drop of the logit for each piece."""
    found = []
    for row, sign in zip(rows, signs, strict=True):
        whole, *parts = judge([row, *[without(row, {i}, replace) for i in range(1, len(row) - 1)]])
        found.append(sign * (whole - np.array(parts)))
    return found


def area(judge, rows, signs, maps, replace):
    """The area between the two curves of each text."""
    found = []
    for row, sign, scores in zip(rows, signs, maps, strict=True):
        order, curves = np.argsort(-np.asarray(scores)) + 1, []
        for places in (order, order[::-1]):
            curves.append(judge([without(row, set(places[:k]), replace)
                                 for k in range(len(places) + 1)]))
        found.append(sign * (curves[1] - curves[0]).mean())
    return np.array(found)


def gradient_maps(build, model, pieces, rows, **options):
    """Maps of a builder, for the answer that the model gives."""
    explained, length = build(model, **options), max(map(len, rows))
    x = pieces.encode(rows, length)
    maps = explained.predict(x, batch_size=32, verbose=0)["heatmap"]
    return [m[1 : len(row) - 1] for m, row in zip(maps, rows, strict=True)]


def surrogate_maps(model, pieces, rows, signs, samples, **options):
    """LIME or Shapley values of the pieces."""
    length, found = max(map(len, rows)), []
    explainer = LimeTextExplainer(
        model, tokenizer=lambda texts: pieces.encode(
            [["[CLS]", *t.split(), "[SEP]"] for t in texts], length),
        split=str.split, **options)
    for row, sign in zip(rows, signs, strict=True):
        target = int(sign > 0)
        said = explainer.explain(" ".join(row[1:-1]), samples=samples, target=target, verbose=0)
        found.append(said.heatmap(target))
    return found


def rank_correlation(a, b):
    a, b = (np.argsort(np.argsort(x)) for x in (a, b))
    return np.corrcoef(a, b)[0, 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with rt-polarity.pos and rt-polarity.neg")
    parser.add_argument("--count", type=int, default=100, help="how many sentences")
    parser.add_argument("--replace", action="store_true", help="[MASK] instead of nothing")
    parser.add_argument("--samples", type=int, default=300, help="of LIME and Shapley values")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of what some of the methods are worth, which is measured here
    texts, classes = load(options.data)
    order = np.random.default_rng(0).permutation(len(texts))
    pieces = WordPieces()
    train, rest = order[:1200], order[1200:]
    model = build_classifier([texts[i] for i in train], classes[train], pieces)
    judge, rows = Judge(model, pieces), [pieces.split(texts[i]) for i in rest]
    right = (judge(rows[:400]) > 0) == classes[rest[:400]]
    print(f"{right.mean():.1%} of 400 held-out sentences are right")
    rows = [row for row in rows if 8 <= len(row) - 2 <= LONGEST - 2][: options.count]
    signs = np.where(judge(rows) > 0, 1.0, -1.0)
    rng = np.random.default_rng(1)
    methods = {
        "leave one out": lambda: leave_one_out(judge, rows, signs, options.replace),
        "local_linear": lambda: gradient_maps(kx.local_linear, model, pieces, rows),
        "integrated_gradients": lambda: gradient_maps(
            kx.integrated_gradients, model, pieces, rows, steps=32),
        "LIME, by default": lambda: surrogate_maps(
            model, pieces, rows, signs, options.samples),
        "LIME, ridge": lambda: surrogate_maps(
            model, pieces, rows, signs, options.samples, surrogate="ridge", words="positions"),
        "Shapley": lambda: surrogate_maps(
            model, pieces, rows, signs, options.samples, kernel="shapley", words="positions"),
        "occlusion": lambda: gradient_maps(kx.occlusion, model, pieces, rows),
        "rise": lambda: gradient_maps(kx.rise, model, pieces, rows, samples=options.samples),
        "saliency": lambda: gradient_maps(kx.saliency, model, pieces, rows),
        "smooth_grad": lambda: gradient_maps(kx.smooth_grad, model, pieces, rows),
        "gradient_x_input": lambda: gradient_maps(kx.gradient_x_input, model, pieces, rows),
        "attention": lambda: gradient_maps(kx.attention, model, pieces, rows),
        "random": lambda: [rng.random(len(row) - 2) for row in rows],
    }
    print(f"{len(rows)} sentences of {min(map(len, rows)) - 2} to {max(map(len, rows)) - 2} pieces")
    print(f"{'method':22} {'area':>6} {'error':>6} {'with leave one out':>19} {'CPU s':>7}")
    reference = None
    for name, method in methods.items():
        start = time.process_time()
        maps = method()
        seconds = time.process_time() - start
        reference = reference or maps
        areas = area(judge, rows, signs, maps, options.replace)
        same = np.mean([rank_correlation(a, b) for a, b in zip(maps, reference, strict=True)])
        print(f"{name:22} {areas.mean():6.2f} {areas.std() / len(areas) ** 0.5:6.2f} {same:19.2f}"
              f" {seconds:7.1f}", flush=True)


if __name__ == "__main__":
    main()
