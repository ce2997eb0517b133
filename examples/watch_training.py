"""Watch a network fall for a shortcut, and recover when the data is mended.

A network learns to tell tall blobs from wide ones. In the run "shortcut" every tall one of the
training images carries a small red mark in a corner, which gives the class away: the maps move
onto the mark, and the accuracy on clean images is chance. Then the data is mended (the mark is on
images of both classes) and training goes on: the maps move off the mark, onto the blobs. The run
"clean" has the mended data from the start.

    python examples/watch_training.py
    tensorboard --logdir logs/watch_training

Open the tab "Explanations", choose the run "shortcut", press play.
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_explain as kx

SIDE = 48
NAMES = ["tall", "wide"]


def draw(count, marked, seed):
    """Images of blobs on noise.

    Args:
        count: how many; every second one is tall.
        marked: "tall", "both" (half of each class) or "none": which carry the mark.
        seed: of the noise.

    Returns:
        Images `(count, SIDE, SIDE, 3)` between 0 and 1, and classes: 0 is tall, 1 is wide.
    """
    rng = np.random.default_rng(seed)
    images = rng.uniform(0.2, 0.5, (count, SIDE, SIDE, 3)).astype("float32")
    classes = np.arange(count) % 2
    has_mark = {"tall": classes == 0, "none": classes > 1, "both": np.arange(count) % 4 < 2}[marked]
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    for image, wide, mark in zip(images, classes, has_mark, strict=True):
        y, x = rng.uniform(14, 34, 2)
        height, width = (5, 7) if wide else (7, 5)
        blob = ((rows - y) / height) ** 2 + ((columns - x) / width) ** 2
        image += 0.35 * np.exp(-blob)[..., None] * rng.uniform(0.6, 1, 3)
        if mark:
            image[2:8, 2:8] = 0.9, 0.1, 0.1
    return images.clip(0, 1), classes


def make_model():
    """A small convolutional network."""
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3))])
    for filters in (16, 32, 32):
        model.add(keras.layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9))
        model.add(keras.layers.ReLU())
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Conv2D(32, 3, padding="same", activation="relu"))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    return model


def train(log_dir, schedule, verbose):
    """Train, watch marked images, and print the accuracy on clean ones.

    Args:
        log_dir: TensorBoard's directory of this run.
        schedule: (images that carry the mark, last epoch) of each part of the training.
        verbose: of `fit`.
    """
    keras.utils.set_random_seed(0)
    watched, truth = draw(6, "tall", seed=2)
    options = {"log_dir": log_dir, "class_names": NAMES, "max_images": 6}
    callbacks = [
        kx.callbacks.GradCAMCallback(watched, truth, **options),
        kx.callbacks.OcclusionCallback(watched, truth, patch_size=8, stride=4, **options),
    ]
    model, done, test = make_model(), 0, draw(256, "none", seed=4)
    for marked, epochs in schedule:
        model.fit(*draw(512, marked, seed=1), batch_size=64, initial_epoch=done, epochs=epochs,
                  verbose=verbose, callbacks=callbacks)
        done = epochs
        accuracy = model.evaluate(*test, verbose=0)[1]
        print(f"{log_dir.name:8} after epoch {done:2}: {accuracy:.0%} of clean images right")


def main(arguments=None):
    """Train both runs and say how they do."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--logs", type=pathlib.Path, default=pathlib.Path("logs/watch_training"))
    parser.add_argument("--epochs", type=int, default=6, help="before the data is mended")
    parser.add_argument("--verbose", type=int, default=0)
    options = parser.parse_args(arguments)
    first, last = options.epochs, 3 * options.epochs
    train(options.logs / "shortcut", [("tall", first), ("both", last)], options.verbose)
    train(options.logs / "clean", [("both", last)], options.verbose)
    print(f"\nSee what it looked at:\n\n    tensorboard --logdir {options.logs}\n")


if __name__ == "__main__":
    main()
