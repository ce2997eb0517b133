"""How close are sampled Shapley values to exact ones? A table, some minutes.

    python benchmarks/shapley.py
    python benchmarks/shapley.py --rows 10 --seeds 5

Data of scikit-learn, boosted trees and small neural networks; what is out takes the values of one
other row. The error is the squared distance to the exact values over their squared length: its
mean, and its median in brackets. `pairs` draws masks and complements with KernelSHAP's weight and
with replacement (Covert and Lee 2021), `leverage` draws each size by chance without replacement
(Musco and Witter 2025), `fixed` is `kernel="shapley"` of keras_explain.
"""

import argparse
import math
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import numpy as np  # noqa: E402
from sklearn import datasets, ensemble, neural_network, pipeline, preprocessing  # noqa: E402

from keras_explain.lime import sampling  # noqa: E402


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
    for name, load in {"diabetes": datasets.load_diabetes, "wine": datasets.load_wine,
                       "cancer": datasets.load_breast_cancer}.items():
        x, y = load(return_X_y=True)
        x, y = x[:, :12], (y - y.mean()) / y.std()
        yield f"{name}, trees", x, ensemble.GradientBoostingRegressor(random_state=0).fit(x, y)
        network = pipeline.make_pipeline(preprocessing.StandardScaler(), (
            neural_network.MLPRegressor(
                hidden_layer_sizes=(32, 32), max_iter=500, random_state=0)))
        yield f"{name}, network", x, network.fit(x, y)


def measure(x, model, rows, seeds, factor):
    size, rng = x.shape[1], np.random.default_rng(0)
    every = sampling.list_subsets(size)
    index = 2.0 ** np.arange(size)
    errors = {name: [] for name in DESIGNS}
    for i in range(rows):
        row, other = x[rng.choice(len(x), 2, replace=False)]
        values = model.predict(np.where(every, row, other))[::-1]  # by the number of the mask
        empty, full = values[0], values[-1]
        exact = fit(every, sampling.weigh_as_shapley(1.0 - every), values[::-1], empty, full)
        for seed in range(seeds):
            for name, draw in DESIGNS.items():
                masks, weights = draw(factor * size, size, np.random.default_rng([seed, i, 1]))
                found = fit(masks, weights, values[(masks @ index).astype(int)], empty, full)
                errors[name].append(np.sum((found - exact) ** 2) / np.sum(exact**2))
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    print(f"| model | samples | {' | '.join(DESIGNS)} | fixed better than leverage |\n"
          f"|---|---|{'---|' * len(DESIGNS)}---|")
    for name, x, model in models():
        for factor in (5, 8, 10, 20):
            errors = measure(x, model, options.rows, options.seeds, factor)
            cells = [f"{np.mean(e):.4f} ({np.median(e):.4f})" for e in errors.values()]
            wins = np.mean(np.array(errors["fixed"]) < np.array(errors["leverage"]))
            print(f"| {name} | {factor}n | {' | '.join(cells)} | {wins:.0%} |", flush=True)


if __name__ == "__main__":
    main()
