"""Why does a network call these pixels a stop sign? A segmentation explained over one object.

Pictures hold disks and squares. A disk is of class 1 unless a bright bar stands above it, which
makes it class 2: the network has to look away from the pixels that it labels. Makes its data,
trains for some seconds, and writes `segmentation.png`.

    python examples/segmentation_targets.py
"""

import keras
import numpy as np

import keras_explain as kx

SIZE, RADIUS = 48, 5


def make_pictures(count, rng):
    """Pictures (N, 48, 48, 1), labels (N, 48, 48) and the centers of the disks, (N, 2, 2)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    x = rng.normal(0.1, 0.03, (count, SIZE, SIZE, 1)).astype("float32")
    y, centers = np.zeros((count, SIZE, SIZE), "int32"), np.zeros((count, 2, 2), int)
    for i in range(count):
        for k in range(2):  # one disk in each half of the picture
            row, column = rng.integers(16, SIZE - 8), rng.integers(8, 16) + 24 * k
            disk = (rows - row) ** 2 + (columns - column) ** 2 <= RADIUS**2
            has_bar = rng.random() < 0.5
            x[i, disk] += 0.5
            x[i, row - 10 : row - 7, column - 4 : column + 5] += 0.8 * has_bar
            y[i, disk] = 1 + has_bar
            centers[i, k] = row, column
    return x, y, centers


def make_network():
    image = keras.Input((SIZE, SIZE, 1))
    x = image
    for width, dilation in ((8, 1), (16, 2), (16, 4), (16, 4), (16, 1)):
        x = keras.layers.Conv2D(
            width, 3, padding="same", dilation_rate=dilation, activation="relu")(x)
    return keras.Model(image, keras.layers.Conv2D(3, 1, activation="softmax")(x))


def main():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y, _ = make_pictures(256, rng)
    model = make_network()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=16, epochs=12, verbose=0)

    x, y, centers = make_pictures(64, rng)
    both = [i for i in range(64) if {*y[i].ravel()} == {0, 1, 2}]
    i = both[0]
    right = model.predict(x, verbose=0).argmax(-1)[y > 0] == y[y > 0]
    print(f"{right.mean():.1%} of the pixels of disks are labelled right")

    k = int(y[i][tuple(centers[i][1])] == 2)  # the disk with a bar
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, 24 * k : 24 * k + 24] = y[i, :, 24 * k : 24 * k + 24] == 2
    options = {"patch_size": 3, "stride": 1}
    everywhere = kx.occlusion(model, target=2, **options)
    over_disk = kx.occlusion(model, target=kx.targets.Region(mask, 2), **options)
    contrast = kx.occlusion(model, target=kx.targets.Region(tuple(centers[i][k]), 2), **options)
    maps = {name: e.predict(x[i : i + 1], verbose=0)["heatmap"][0] for name, e in (
        ("class 2, whole picture", everywhere), ("class 2 over the disk", over_disk),
        ("class 2 at its center", contrast))}
    row, column = centers[i][k]
    found = maps["class 2 over the disk"]
    share = found[row - 11 : row - 6, column - 5 : column + 6].clip(0).sum() / found.clip(0).sum()
    print(f"{share:.0%} of what speaks for class 2 over the disk lies on the bar above it")
    kx.plots.comparison(x[i], maps).savefig("segmentation.png")


if __name__ == "__main__":
    main()
