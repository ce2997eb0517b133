"""Are wrong labels found that were planted?

A share of the labels is exchanged for others at random, a small network is trained on them, and
`find_wrong_labels` ranks all labels. For each run: how many of those ranked first, as many as were
exchanged, are exchanged ones (the precision), beside the same by the loss and by chance.

    python benchmarks/wrong_labels.py --data FOLDER --rate 0.05 --seeds 5

FOLDER holds images and labels in the idx format of MNIST, gzipped (`X*ubyte.gz`, `y*ubyte.gz`);
without it scikit-learn's 8 x 8 digits, enlarged, are used.
"""

import argparse
import time

import keras
import numpy as np
from audit import load

from keras_explain.training_examples import find_wrong_labels


def exchange(y, rate, rng):
    """Labels of which a share is wrong, and which these are."""
    wrong = rng.choice(len(y), round(rate * len(y)), replace=False)
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + rng.integers(1, y.max() + 1, len(wrong))) % (y.max() + 1)
    return noisy, wrong


def run(x, y, rate, seed, epochs):
    """One row of the table."""
    noisy, wrong = exchange(y, rate, np.random.default_rng(seed))
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.Conv2D(16, 3, strides=2, activation="relu"),
        layers.Conv2D(32, 3, strides=2, activation="relu"), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(int(y.max()) + 1, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, noisy, epochs=epochs, batch_size=64, verbose=0)
    start = time.process_time()
    found = find_wrong_labels(model, x, noisy, verbose=0)
    spent = time.process_time() - start
    order = found.order()[: len(wrong)]
    by_loss = np.argsort(found.predicted[np.arange(len(y)), noisy])[: len(wrong)]
    print(f"| {seed} | {len(y)} | {len(wrong)} | {np.isin(order, wrong).mean():.3f} |"
          f" {np.isin(by_loss, wrong).mean():.3f} | {rate:.3f} | {spent:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    x, y = load(options.data)
    print("| seed | labels | wrong | precision | by the loss | by chance | CPU seconds |\n"
          + "|---" * 7 + "|")
    for seed in range(options.seeds):
        run(x, y, options.rate, seed, options.epochs)


if __name__ == "__main__":
    main()
