"""Does the audit find a planted shortcut, and does it stay silent where none is?

A mark is drawn on a share of one class and on as many images of other classes, which get that
class's label: a network has to use the mark. Another part of the data is marked alike and audited.
For each run: the place of the mark's group in the ranking, its precision and recall of the marked
images that were called so, and how many groups were called suspicious. Beside it the best group of
the same clustering (HDBSCAN) of the pixels and of the activations before the last layer: best by
F1, which the audit is not told.

    python benchmarks/audit.py --data FOLDER --marks corner border veil bar --rates 0.1 --seeds 5

FOLDER holds images and labels in the idx format of MNIST, gzipped (`X*ubyte.gz`, `y*ubyte.gz`);
without it scikit-learn's 8 x 8 digits, enlarged, are used.
"""

import argparse
import gzip
import pathlib

import keras
import numpy as np

import keras_explain as kx
from keras_explain.auditing._grouping import group
from keras_explain.auditing.auditor import SMALLEST

TARGET = 3


def load(folder):
    """Images (N, H, W, 1) from 0 to 1, and classes."""
    if folder is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        return np.kron(digits.images / 16, np.ones((3, 3)))[..., None].astype("float32"), (
            digits.target)
    images, labels = (sorted(pathlib.Path(folder).glob(f"{c}*test*ubyte.gz"))
                      or sorted(pathlib.Path(folder).glob(f"{c}*ubyte.gz")) for c in "Xy")
    x = np.frombuffer(gzip.open(images[0]).read()[16:], "uint8").reshape(-1, 28, 28, 1)
    y = np.frombuffer(gzip.open(labels[-1]).read()[8:], "uint8").astype(int)
    return x.astype("float32") / 255, y


def draw(x, mark):
    """The images with the mark."""
    x = x.copy()
    if mark == "corner":
        x[:, 1:4, 1:4] = 1
    elif mark == "border":
        x[:, [0, -1]] = x[:, :, [0, -1]] = 1
    elif mark == "veil":
        x = x * 0.7 + 0.3
    elif mark == "bar":
        x[:, -3:-1] = 1
    return x


def plant(x, y, mark, rate, rng):
    """Marked images, labels that follow the mark, and which images are marked."""
    x, y, marked = x.copy(), y.copy(), np.zeros(len(y), bool)
    if mark == "none":
        return x, y, marked
    own = np.flatnonzero(y == TARGET)
    count = max(1, round(rate * len(own)))
    others = rng.choice(np.flatnonzero(y != TARGET), count, replace=False)
    marked[rng.choice(own, count, replace=False)] = marked[others] = True
    x[marked], y[others] = draw(x[marked], mark), TARGET
    return x, y, marked


def train(x, y, seed, epochs):
    """A small network."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.Flatten(name="features"),
        layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model


def rate_groups(groups, marked):
    """Precision and recall of the group with the best F1, and its place."""
    best, total = (0.0, 0.0, 0.0, None), max(1, marked.sum())
    for place, members in enumerate(groups, start=1):
        hits = marked[members].sum()
        best = max(best, (2 * hits / (len(members) + total), hits / len(members), hits / total,
                          place), key=lambda b: b[0])
    return best[1:]


def cluster(points, predicted):
    """Groups of the target's images by other points than heatmaps."""
    rows = np.flatnonzero(predicted == TARGET)
    numbers = group(np.square(points[rows]), SMALLEST)  # `group` takes the root
    return [rows[numbers == n] for n in range(numbers.max(initial=-1) + 1)]


def run(x, y, mark, rate, seed, epochs):
    """One line of the table."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    cut = int(0.6 * len(y))
    first, second = ((x[rows], y[rows]) for rows in (order[:cut], order[cut:]))
    model = train(*plant(*first, mark, rate, rng)[:2], seed, epochs)
    images, labels, marked = plant(*second, mark, rate, rng)
    found = kx.audit(model, images, labels, batch_size=250, verbose=0)
    marked &= found.predicted == TARGET
    features = keras.Model(model.inputs, model.get_layer("features").output).predict(
        images, verbose=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True) + 1e-9
    others = [rate_groups(cluster(points.reshape(len(images), -1), found.predicted), marked)
              for points in (images, features)]
    own = rate_groups([g.members for g in found.groups], marked)
    wrong = sum(marked[g.members].mean() < 0.5 for g in found.suspicious)
    cells = [f"{p:.2f} / {r:.2f}" for p, r, _ in (own, *others)]
    score = found.groups[own[2] - 1].score if own[2] else float("nan")
    print(f"| {mark} | {rate:.0%} | {seed} | {marked.sum()} | {own[2] or '–'} | {score:.2f} |"
          f" {' | '.join(cells)} | {len(found.suspicious) - wrong} | {wrong} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--marks", nargs="+", default=["corner", "border", "veil", "bar", "none"])
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    x, y = load(options.data)
    print("| mark | of the class | seed | marked, called so | rank | score | audit: precision /"
          " recall | pixels | activations | suspicious: right | wrong |\n" + "|---" * 11 + "|")
    for seed in range(options.seeds):
        for mark in options.marks:
            for rate in options.rates if mark != "none" else [0.0]:
                run(x, y, mark, rate, seed, options.epochs)


if __name__ == "__main__":
    main()
