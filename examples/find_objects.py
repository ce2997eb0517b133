"""Why does a detector see a stop sign there? One of its boxes explained, by D-RISE and by LIME.

Pictures hold three disks. A disk with a dark bar across is of class 1, one without of class 0. The
detector answers one box for each of 6 x 6 cells, as YOLO does. Makes its data, trains for about a
minute, and writes `objects.png`.

    python examples/find_objects.py
"""

import keras
import numpy as np

import keras_explain as kx

SIZE, CELL, RADIUS = 48, 8, 6
GRID = SIZE // CELL


def make_pictures(count, rng):
    """Pictures (N, 48, 48, 1), answers (N, 36, 6) of the cells, and the disks (N, 3, 3).

    A cell's answer is its box (center_xywh, shares of the picture) and 0 or 1 for each class; a
    disk is the row and column of its center, and its class.
    """
    rows, columns = np.mgrid[:SIZE, :SIZE]
    x = rng.normal(0.1, 0.03, (count, SIZE, SIZE, 1)).astype("float32")
    y, disks = np.zeros((count, GRID**2, 6), "float32"), np.zeros((count, 3, 3), int)
    corners = np.array([(7, 7), (7, 31), (31, 7), (31, 31)])
    for i in range(count):
        for k, corner in enumerate(corners[rng.permutation(4)[:3]]):
            (row, column), kind = corner + rng.integers(0, 10, 2), rng.integers(2)
            x[i, (rows - row) ** 2 + (columns - column) ** 2 <= RADIUS**2] += 0.6
            x[i, row - 1 : row + 2, column - 4 : column + 5] -= 0.5 * kind
            cell = row // CELL * GRID + column // CELL
            side = 2 * RADIUS + 1
            y[i, cell, :4] = np.array([column + 0.5, row + 0.5, side, side]) / SIZE
            y[i, cell, 4 + kind] = 1
            disks[i, k] = row, column, kind
    return x, y, disks


def make_detector():
    """A network from pictures to boxes (center_xywh, shares of the picture) and probabilities."""
    image = keras.Input((SIZE, SIZE, 1))
    x = image
    for width, stride in ((16, 2), (32, 2), (64, 2), (64, 1)):
        x = keras.layers.Conv2D(width, 3, stride, padding="same", activation="relu")(x)
    where = keras.layers.Reshape((GRID**2, 4))(keras.layers.Conv2D(4, 1)(x))
    rows, columns = np.mgrid[:GRID, :GRID].reshape(2, -1)
    middle = np.stack([columns + 0.5, rows + 0.5, 0 * rows + 2, 0 * rows + 2], -1) / GRID
    boxes = keras.layers.Rescaling(1 / GRID)(where) + middle.astype("float32")
    scores = keras.layers.Reshape((GRID**2, 2))(keras.layers.Conv2D(2, 1, activation="sigmoid")(x))
    return keras.Model(image, {"boxes": boxes, "scores": scores})


def box_loss(y, boxes):
    """Squared errors of the boxes of cells with a disk, in cells."""
    there = keras.ops.sum(y[..., 4:], axis=-1, keepdims=True)
    return keras.ops.sum(there * keras.ops.square((boxes - y[..., :4]) * GRID), axis=(1, 2))


def class_loss(y, scores):
    return keras.ops.sum(keras.losses.binary_crossentropy(y[..., 4:], scores), axis=1)


def main():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y, _ = make_pictures(1024, rng)
    model = make_detector()
    model.compile(keras.optimizers.Adam(3e-3), {"boxes": box_loss, "scores": class_loss})
    model.fit(x, {"boxes": y, "scores": y}, batch_size=32, epochs=15, verbose=0)

    x, y, disks = make_pictures(64, rng)
    answer = model.predict(x, verbose=0)
    there = y[..., 4:].sum(-1) > 0
    right = answer["scores"][there].argmax(-1) == y[there][:, 4:].argmax(-1)
    print(f"{right.mean():.1%} of the disks get their class")

    i = next(i for i in range(64) if sorted(disks[i, :, 2]) == [0, 0, 1])
    row, column, _ = disks[i, disks[i, :, 2].argmax()]
    cell = row // CELL * GRID + column // CELL
    target = kx.targets.Box(answer["boxes"][i, cell], 1, format="rel_center_xywh")
    blocks = np.arange(SIZE)[:, None] // 4 * 12 + np.arange(SIZE) // 4
    explainer = kx.LimeImageExplainer(model, segments=blocks, baseline=0.1)
    rise = kx.rise(model, target=target, samples=4000, grid=12, baseline=0.1)
    occlusion = kx.occlusion(model, target=target, patch_size=5, stride=1, baseline=0.1)
    maps = {"D-RISE": rise.predict(x[i : i + 1], verbose=0)["heatmap"][0],
            "occlusion": occlusion.predict(x[i : i + 1], verbose=0)["heatmap"][0],
            "LIME": explainer.explain(x[i], target=target, verbose=0).heatmap()}
    for name, heatmap in maps.items():
        best = np.argwhere(heatmap == heatmap.max()).mean(axis=0)
        away = np.hypot(*(best - [row, column]))
        print(f"{name}: the maximum lies {away:.1f} pixels from the center of the disk with a bar")
    kx.plots.comparison(x[i], maps).savefig("objects.png")


if __name__ == "__main__":
    main()
