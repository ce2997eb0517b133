"""What Shapley values of a row cost, in CPU seconds against plain predictions of 2,000 rows.

    python benchmarks/tables.py

A network of two hidden layers of 64 units. `before`: batches of 512, each mask with each of the 100
rows of the background. `now`: batches of 4,096, rows that are the same scored once. `25`: the same
with `background=25`. Medians of five rows; sides take turns. Second table: squared distance of the
Shapley values to those over all rows of the table, over their squared length, from all subsets.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from sklearn import datasets  # noqa: E402

from keras_explain.lime import LimeTabularExplainer, _background  # noqa: E402


def make_network(size):
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((size,)), layers.Dense(64, activation="relu"),
        layers.Dense(64, activation="relu"), layers.Dense(2, activation="softmax")])


def make_tables():
    for name, load in {"diabetes": datasets.load_diabetes, "wine": datasets.load_wine,
                       "cancer": datasets.load_breast_cancer}.items():
        x = load(return_X_y=True)[0]
        yield name, ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
    yield "12 columns of 2 values", np.random.default_rng(0).integers(
        0, 2, (500, 12)).astype("float32")


def measure(fn, *args, worthwhile=0.9, **options):
    _background._WORTHWHILE = worthwhile
    began = time.process_time()
    fn(*args, verbose=0, **options)
    return time.process_time() - began


def main():
    print("| table | columns | `predict` | before | now | 25 | before / `predict` | now | 25 |\n"
          "|---|---|---|---|---|---|---|---|---|")
    tables = list(make_tables())
    for name, x in tables:
        model, rows = make_network(x.shape[1]), np.resize(x, (2000, x.shape[1]))
        sides = {"before": (LimeTabularExplainer(model, x, kernel="shapley", batch_size=512), -1),
                 "now": (LimeTabularExplainer(model, x, kernel="shapley"), 0.9),
                 "25": (LimeTabularExplainer(model, x, kernel="shapley", background=25), 0.9)}
        found = {key: [] for key in ("predict", *sides)}
        for i in range(6):
            found["predict"].append(measure(model.predict, rows, batch_size=512))
            for key, (explainer, worthwhile) in sides.items():
                found[key].append(measure(
                    explainer.explain, x[i], target=1, worthwhile=worthwhile))
        cpu = [np.median(seconds[1:]) for seconds in found.values()]  # the first traces
        cells = [f"{s:.3f}" for s in cpu] + [f"{s / cpu[0]:.1f}" for s in cpu[1:]]
        print(f"| {name} | {x.shape[1]} | {' | '.join(cells)} |", flush=True)

    print("\n| table, 10 columns | 100 at random | 25 clusters | 50 clusters |\n|---|---|---|---|")
    for name, x in tables[:3]:
        x = x[:, :10]
        model, errors = make_network(10), []
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(int), epochs=20, verbose=0)
        sides = [{}, {"background": 25}, {"background": 50}]
        sides = [LimeTabularExplainer(model, x, kernel="shapley", **side) for side in sides]
        limit, _background._ROWS = _background._ROWS, len(x)
        exact = LimeTabularExplainer(model, x, kernel="shapley")
        wanted = [exact.explain(row, target=1, verbose=0).weights[0] for row in x[:10]]
        _background._ROWS = limit
        for side in sides:
            made = [[side.explain(x[i], target=1, seed=seed, verbose=0).weights[0]
                     for seed in range(3)] for i in range(10)]
            errors.append(np.mean([np.sum((m - w) ** 2, axis=1) / np.sum(w**2)
                                   for m, w in zip(made, wanted, strict=True)]))
        print(f"| {name} | {' | '.join(f'{e:.4f}' for e in errors)} |", flush=True)


if __name__ == "__main__":
    main()
