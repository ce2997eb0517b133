"""A planted cause: does a method point at the pixels that decide the class by construction?

    python benchmarks/known_answer.py --out known_answer [--count 32] [--trained]

Images of smooth noise hold two small patches: a stripe pattern whose direction decides the class
(the cause), and one that is as striking and decides nothing (the decoy: a checkerboard). By
default the network is built by hand: four fixed filters, one per class, that answer to the
stripes and to nothing else, so that it is known, not hoped, what it looks at. `--trained` trains
a small network on the same images instead, which may find another way.

Each method is scored by the share of its energy in the cause, by the pointing game, and by the
share of energy in the decoy. All three together tell a method that finds the cause from one that
finds what is striking.
"""

import argparse
import functools
import os

import keras
import numpy as np
from keras import layers

import keras_explain as kx
from keras_explain import metrics
from keras_explain.lime import LimeImageExplainer
from keras_explain.metrics.comparison import compare

SIZE, PATCH, CLASSES = 48, 10, 4


def dataset(count, seed=0):
    """Images (N, 48, 48, 1) in 0..1, classes, boxes of the cause and of the decoy."""
    rng = np.random.default_rng(seed)
    coarse = keras.ops.image.resize(rng.random((count, 8, 8, 1)).astype("float32"), (SIZE, SIZE))
    x = 0.35 + 0.3 * np.array(keras.ops.convert_to_numpy(coarse))
    y = rng.integers(0, CLASSES, count)
    causes, decoys = [], []
    cells = [(r, c) for r in range(3) for c in range(3)]
    for i in range(count):
        (a, b) = rng.choice(len(cells), 2, replace=False)
        corners = [tuple(int(v) * 16 + int(rng.integers(0, 16 - PATCH + 1)) for v in cells[k])
                   for k in (a, b)]
        for (top, left), pattern in zip(corners, (stripes(y[i]), checkerboard()), strict=True):
            x[i, top : top + PATCH, left : left + PATCH, 0] = pattern
        boxes = [(t, left, t + PATCH, left + PATCH) for t, left in corners]
        causes.append(boxes[0])
        decoys.append(boxes[1])
    return x.astype("float32"), y, causes, decoys


def stripes(direction):
    """Stripes of period 4 in one of four directions."""
    row, column = np.mgrid[:PATCH, :PATCH]
    phase = (row, column, row + column, row - column)[direction]
    return 0.5 + 0.45 * np.cos(np.pi / 2 * phase + 0.8)


def checkerboard():
    """As striking as stripes, and of no class: period 2 in both directions."""
    row, column = np.mgrid[:PATCH, :PATCH]
    return 0.5 + 0.45 * (-1.0) ** (row + column)


def built():
    """A network that is known: a quadrature pair of filters for each direction, squared."""
    size = 8
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    window = np.outer(np.hanning(size + 2)[1:-1], np.hanning(size + 2)[1:-1])
    filters = []
    for phase in (row, column, row + column, row - column):
        for wave in (np.cos, np.sin):
            kernel = window * wave(np.pi / 2 * phase)
            kernel -= window * kernel.sum() / window.sum()
            filters.append(kernel / np.abs(kernel).sum())
    energy = np.zeros((1, 1, 2 * CLASSES, CLASSES))
    for k in range(CLASSES):
        energy[0, 0, 2 * k : 2 * k + 2, k] = 1
    image = keras.Input((SIZE, SIZE, 1))
    x = layers.Conv2D(2 * CLASSES, size, padding="same", use_bias=False, name="stripes")(image)
    x = layers.Activation(keras.ops.square, name="square")(x)
    x = layers.Conv2D(CLASSES, 1, activation="relu", name="energy")(x)
    x = layers.GlobalMaxPooling2D()(x)
    model = keras.Model(image, layers.Dense(CLASSES, activation="softmax", name="top")(x))
    model.get_layer("stripes").set_weights([np.stack(filters, -1)[:, :, None]])
    model.get_layer("energy").set_weights([energy, np.full(CLASSES, -0.01)])
    model.get_layer("top").set_weights([np.eye(CLASSES) * 60, np.zeros(CLASSES)])
    return model


def trained(seed=0):
    """A small network that learns the same images."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((SIZE, SIZE, 1))])
    for filters in (16, 32, 32):
        model.add(layers.Conv2D(filters, 5, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D() if filters < 32 or len(model.layers) < 4
                  else layers.GlobalMaxPooling2D())
    model.add(layers.Dense(CLASSES, activation="softmax"))
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    x, y, *_ = dataset(3000, seed=1)
    model.fit(x, y, epochs=8, batch_size=64, verbose=2)
    return model


class Lime:
    """LIME on cells of 6 x 6 pixels, as `compare` calls it."""

    def __init__(self, model):
        self.explainer = LimeImageExplainer(model, segments="grid")

    def explain(self, image, **options):
        return self.explainer.explain(image, samples=1024, **options)


def methods(model):
    small = {"patch_size": 8, "stride": 4}
    return {
        "occlusion": functools.partial(kx.occlusion, **small),
        "rise": functools.partial(kx.rise, samples=1024, grid=8),
        "grad_cam": kx.grad_cam,
        "grad_cam_plus_plus": kx.grad_cam_plus_plus,
        "hires_cam": kx.hires_cam,
        "layer_cam": kx.layer_cam,
        "xgrad_cam": kx.xgrad_cam,
        "ablation_cam": kx.ablation_cam,
        "eigen_cam": kx.eigen_cam,
        "score_cam": kx.score_cam,
        "saliency": kx.saliency,
        "gradient_x_input": kx.gradient_x_input,
        "smooth_grad": kx.smooth_grad,
        "integrated_gradients": functools.partial(kx.integrated_gradients, steps=32),
        "guided_backprop": kx.guided_backprop,
        "guided_grad_cam": kx.guided_grad_cam,
        "lime": Lime(model),
    }


def localization(model, x, y, causes, decoys, chosen=None):
    """The table: energy in the cause, pointing game, energy in the decoy."""
    inside = metrics.METRICS["energy_pointing_game"]
    decoy = metrics.Metric("energy_in_decoy", lambda maps: metrics.energy_pointing_game(
        maps, decoys), "lower", "maps", "0")
    return compare(model, x, chosen or methods(model), [inside, "pointing_game", decoy], target=y,
                   regions=causes, verbose=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="known_answer", help="folder to write")
    parser.add_argument("--count", type=int, default=32, help="images")
    parser.add_argument("--trained", action="store_true", help="train a network instead")
    options = parser.parse_args()
    x, y, causes, decoys = dataset(options.count)
    model = trained() if options.trained else built()
    right = keras.ops.convert_to_numpy(model(x)).argmax(-1) == y
    print(f"The network is right on {right.mean():.0%} of {len(x)} images; area of the cause:"
          f" {PATCH**2 / SIZE**2:.1%}")
    table = localization(model, x, y, causes, decoys)
    os.makedirs(options.out, exist_ok=True)
    table.report(options.out)
    print(table.to_markdown())


if __name__ == "__main__":
    main()
