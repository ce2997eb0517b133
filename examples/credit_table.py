"""Say to an applicant why the answer was no, and what would have to be different.

A made table of applicants: income, debt and a job count for the answer, the age does not, and the
wealth of the street goes along with the income without counting. A network on
`keras.utils.FeatureSpace` learns it; its contributions are held to the rule that made the table.

    python examples/credit_table.py --folder credit

Then look at `credit/one.png`, `credit/all.png` and `credit/columns.png`. Needs TensorFlow, the only
backend of Keras that computes with texts.
"""

import argparse
import pathlib

import keras
import numpy as np
import tensorflow as tf

import keras_explain as kx

JOBS = {"nurse": 0.5, "baker": 0.0, "driver": -0.5}


def make_table(count, seed):
    """A dict of columns `(count,)`, and the answers, 1 for yes."""
    rng = np.random.default_rng(seed)
    income = rng.normal(35, 10, count).clip(10)
    table = {"income": income, "debt": rng.gamma(2, 6, count),
             "age": rng.integers(20, 70, count).astype(float),
             "street": income + rng.normal(0, 8, count), "job": rng.choice(list(JOBS), count)}
    worth = np.array([JOBS[job] for job in table["job"]])
    score = 0.15 * table["income"] - 0.12 * table["debt"] + 2 * worth - 3.8
    return table, (rng.random(count) < 1 / (1 + np.exp(-score))).astype(int)


def make_model(table, y):
    """A network that takes a column each, trained."""
    space = keras.utils.FeatureSpace({
        name: "string_categorical" if name == "job" else "float_normalized" for name in table})
    rows = tf.data.Dataset.from_tensor_slices({k: v.tolist() for k, v in table.items()})
    space.adapt(rows)
    hidden = keras.layers.Dense(16, activation="relu")(space.get_encoded_features())
    score = keras.layers.Dense(1, activation="sigmoid")(hidden)
    training = keras.Model(space.get_encoded_features(), score)
    training.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    answers = tf.data.Dataset.from_tensor_slices(y[:, None].astype("float32"))
    pairs = tf.data.Dataset.zip((rows.batch(64).map(space), answers.batch(64)))
    training.fit(pairs.cache(), epochs=15, verbose=0)
    return keras.Model(space.get_inputs(), score)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("credit"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    table, y = make_table(3000, 0)
    model = make_model(table, y)

    explained = kx.integrated_gradients(model, target=1, baseline=table)
    some = {name: column[:300] for name, column in table.items()}
    found = kx.tables.contributions(explained, some, verbose=0)
    refused = int(np.argmin(found.scores))
    kx.plots.waterfall(found, refused, title="The applicant").savefig(folder / "one.png")
    kx.plots.beeswarm(found).savefig(folder / "all.png")
    needed = kx.tables.permutation_importance(
        model, kx.lime.Table(some, bins=None), y[:300], verbose=0)
    kx.plots.importance(needed).savefig(folder / "columns.png")

    sizes = np.abs(found.weights).mean(axis=0)
    print("mean contribution:", ", ".join(
        f"{name} {size:.2f}" for name, size in zip(found.names, sizes, strict=True)))
    print("what would have to be different:")
    for change in kx.tables.counterfactuals(
            model, kx.lime.Table(some, bins=None), [c[refused] for c in some.values()], target=1,
            frozen=["age", "street", "job"], decreasing=["debt"]):
        print(" ", change)
    print(f"pictures: {folder}/one.png, all.png, columns.png")


if __name__ == "__main__":
    main()
