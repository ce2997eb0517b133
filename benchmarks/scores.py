"""Which score should occlusion and RISE explain by default? Blanks, hits, insertion, deletion.

    python benchmarks/scores.py

Three models: digits behind global average pooling and squares behind a Flatten, both explained
after every epoch of their training, and EfficientNet-Lite0 with its ImageNet weights on
photographs. Insertion and deletion watch the probability, whatever was explained; of each, the
mean over examples. Blank maps count as flat ones.
"""

import warnings

import keras
import numpy as np
from keras import layers

import keras_explain as kx
from keras_explain import metrics

SCORES = ("logit", "log_odds", "probability")


def digits():
    """Digits of 16 x 16 pixels: (x, y) to train on, and 32 to explain."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = np.repeat(np.repeat(found.images, 2, 1), 2, 2)[..., None].astype("float32") / 16
    return x[:1400], found.target[:1400], x[1400:1432], None


def squares(count=512, shown=32):
    """In which quarter is the square? With the squares' boxes (top, left, bottom, right)."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 4
    x = rng.uniform(0.2, 0.5, (count, 32, 32, 1)).astype("float32")
    corners = np.array([(4, 4), (4, 20), (20, 4), (20, 20)])[y]
    for picture, (row, column) in zip(x, corners, strict=True):
        picture[row : row + 8, column : column + 8] += 0.4
    boxes = np.concatenate([corners, corners + 8], axis=1)
    return x[shown:], y[shown:], x[:shown], boxes[:shown]


def network(shape, classes, flat):
    """Convolutions, and global average pooling or a Flatten."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape)])
    for filters in (8, 16, 16):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        if filters < 16 or flat:
            model.add(layers.MaxPooling2D())
    model.add(layers.Flatten() if flat else layers.GlobalAveragePooling2D())
    model.add(layers.Dense(classes, activation="softmax"))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    return model


def builders(patch, samples):
    """The two methods, without their score."""
    return {"occlusion": (kx.occlusion, {"patch_size": patch, "stride": patch // 2}),
            "rise": (kx.rise, {"samples": samples})}


def measure(explained, x, evaluator, boxes):
    """The share of blank maps, of maxima in the boxes, insertion and deletion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kx.BlankHeatmapWarning)
        maps = np.asarray(explained.predict(x, verbose=0)["heatmap"])
    hits = np.nan if boxes is None else metrics.pointing_game(maps, regions=boxes).mean()
    return [(~maps.reshape(len(maps), -1).any(axis=1)).mean(), hits,
            metrics.insertion(evaluator, x, maps, patch_size=2, steps=32).mean(),
            metrics.deletion(evaluator, x, maps, patch_size=2, steps=32).mean()]


def train(data, classes, flat, epochs, patch):
    """Rows of numbers for each method and score, means over the epochs."""
    x, y, shown, boxes = data
    model, found = network(x.shape[1:], classes, flat), {}
    explained = {(name, score): build(model, score=score, **options)
                 for name, (build, options) in builders(patch, 256).items() for score in SCORES}
    evaluator = metrics.Evaluator(model)
    for _ in range(epochs):
        model.fit(x, y, batch_size=32, verbose=0)
        for key, one in explained.items():
            found.setdefault(key, []).append(measure(one, shown, evaluator, boxes))
    return {key: np.mean(rows, axis=0) for key, rows in found.items()}


def photographs():
    """The same on EfficientNet-Lite0."""
    import skimage.data

    from keras_explain.demo import imagenet

    model = imagenet.efficientnet_lite0()
    names = ("chelsea", "coffee", "rocket", "astronaut", "camera")
    x = np.stack([imagenet.load_image(_color(getattr(skimage.data, n)())) for n in names])
    evaluator = metrics.Evaluator(model)
    return {(name, score): np.array(measure(build(model, score=score, **options), x, evaluator,
                                            None))
            for name, (build, options) in builders(32, 512).items() for score in SCORES}


def _color(picture):
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)


def main():
    """Print one table for each model."""
    runs = {"digits, global average pooling, 10 epochs":
                lambda: train(digits(), 10, False, 10, 4),
            "squares, Flatten, 8 epochs": lambda: train(squares(), 4, True, 8, 8),
            "EfficientNet-Lite0, photographs": photographs}
    for title, run in runs.items():
        print(f"\n{title}\n\n| method | score | blank | hits | insertion | deletion |\n"
              "|---|---|---:|---:|---:|---:|")
        for (name, score), row in run().items():
            print(f"| {name} | {score} | " + " | ".join(
                "–" if np.isnan(n) else f"{n:.3f}" for n in row) + " |", flush=True)


if __name__ == "__main__":
    main()
