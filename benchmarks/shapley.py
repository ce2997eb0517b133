"""How close are sampled Shapley values to exact ones? A table, some minutes.

    python benchmarks/shapley.py
    python benchmarks/shapley.py --rows 10 --seeds 5

Data of scikit-learn, two sets of them made; boosted trees and small neural networks; what is out
takes the values of one other row. The error is the squared distance to the exact values over their
squared length: its mean, and its median in brackets. `pairs` draws masks and complements with
KernelSHAP's weight and with replacement (Covert and Lee 2021), `leverage` draws each size by chance
without replacement (Musco and Witter 2025), `fixed` as many of each size, all three with least
squares. `interactions` is `kernel="shapley"` of keras_explain: the masks of `fixed`, and a Gaussian
process instead of least squares. Last: in how many rows its mean error is below that of `leverage`
(errors below 1e-8 count as 1e-8), and the p of Wilcoxon's signed-rank test of the logarithms.
"""

import argparse
import math
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import numpy as np  # noqa: E402
from scipy import stats  # noqa: E402
from sklearn import datasets, ensemble, neural_network, pipeline, preprocessing  # noqa: E402

from keras_explain.lime import sampling  # noqa: E402
from keras_explain.lime._odd_part import estimate_from_pairs  # noqa: E402


def draw_pairs(samples, size, rng):
    sizes = np.arange(1, size)
    weights = 1 / (sizes * (size - sizes))
    kept = rng.choice(sizes, samples // 2, p=weights / weights.sum())
    ranks = rng.random((len(kept), size)).argsort(axis=1).argsort(axis=1)
    half = ranks < kept[:, None]
    return np.concatenate([half, ~half]), np.ones(2 * len(half))


def draw_by_leverage(samples, size, rng):
    """Each pair of size s is in with the chance min(1, c / binom(size, s))."""
    pairs = [m for m in sampling.list_subsets(size)[1:-1]
             if 2 * m.sum() < size or 2 * m.sum() == size and m[0]]
    there = np.array([math.comb(size, int(m.sum())) for m in pairs])
    low, high = 0.0, float(there.max())
    for _ in range(60):
        middle = (low + high) / 2
        short = np.minimum(1, 2 * middle / there).sum() < samples / 2
        low, high = (middle, high) if short else (low, middle)
    chance = np.minimum(1, 2 * high / there)
    taken = rng.random(len(pairs)) < chance
    half = np.array(pairs)[taken]
    out = half.sum(axis=1)
    weights = 1 / (there[taken] * out * (size - out) * chance[taken])
    return np.concatenate([half, ~half]), np.concatenate([weights, weights])


def draw_fixed(samples, size, rng):
    masks = sampling.shapley(samples, size, rng)
    return masks, sampling.weigh_as_shapley(1.0 - masks)


DESIGNS = {"pairs": draw_pairs, "leverage": draw_by_leverage, "fixed": draw_fixed}


def fit(masks, weights, values, empty, full):
    """KernelSHAP's constrained least squares."""
    last, root = masks[:, -1].astype(float), np.sqrt(weights)
    table = (masks[:, :-1] - last[:, None]) * root[:, None]
    target = (values - empty - last * (full - empty)) * root
    found = np.linalg.lstsq(table, target, rcond=None)[0]
    return np.append(found, full - empty - found.sum())


def models():
    """Names, rows and functions of rows."""
    tables = {
        "diabetes": datasets.load_diabetes(return_X_y=True),
        "wine": datasets.load_wine(return_X_y=True),
        "cancer": datasets.load_breast_cancer(return_X_y=True),
        "made (friedman1)": datasets.make_friedman1(500, random_state=0),
        "made (classes)": datasets.make_classification(600, 12, n_informative=8, random_state=0),
    }
    for name, (x, y) in tables.items():
        x, y = x[:, :12], (y - y.mean()) / y.std()
        yield f"{name}, trees", x, ensemble.GradientBoostingRegressor(random_state=0).fit(x, y)
        network = pipeline.make_pipeline(preprocessing.StandardScaler(), (
            neural_network.MLPRegressor(
                hidden_layer_sizes=(32, 32), max_iter=500, random_state=0)))
        yield f"{name}, network", x, network.fit(x, y)


def measure(x, model, rows, seeds, factor):
    """Errors `(rows, seeds)` of each way."""
    size, rng = x.shape[1], np.random.default_rng(0)
    every = sampling.list_subsets(size)
    index = 2.0 ** np.arange(size)
    errors = {name: np.empty((rows, seeds)) for name in (*DESIGNS, "interactions")}
    for i in range(rows):
        row, other = x[rng.choice(len(x), 2, replace=False)]
        values = model.predict(np.where(every, row, other))[::-1]  # by the number of the mask
        empty, full = values[0], values[-1]
        exact = fit(every, sampling.weigh_as_shapley(1.0 - every), values[::-1], empty, full)
        for seed in range(seeds):
            found = {}
            for name, draw in DESIGNS.items():
                masks, weights = draw(factor * size, size, np.random.default_rng([seed, i, 1]))
                seen = values[(masks @ index).astype(int)]
                found[name] = fit(masks, weights, seen, empty, full)
            ends = np.array([[1.0] * size, [0.0] * size])  # `fixed` is the last that was drawn
            found["interactions"] = estimate_from_pairs(
                np.concatenate([ends, masks]), np.concatenate([[full, empty], seen]))
            for name, values_found in found.items():
                errors[name][i, seed] = np.sum((values_found - exact) ** 2) / np.sum(exact**2)
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    names = (*DESIGNS, "interactions")
    print(f"| model | samples | {' | '.join(names)} | rows better | p |\n"
          f"|---|---|{'---|' * len(names)}---|---|")
    for name, x, model in models():
        for factor in (8, 20):
            errors = measure(x, model, options.rows, options.seeds, factor)
            cells = [f"{np.mean(e):.5f} ({np.median(e):.5f})" for e in errors.values()]
            new, old = (np.maximum(errors[k].mean(axis=1), 1e-8)
                        for k in ("interactions", "leverage"))
            p = stats.wilcoxon(np.log(new), np.log(old)).pvalue
            cells += [f"{np.mean(new < old):.0%}", f"{p:.0e}"]
            print(f"| {name} | {factor}n | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
