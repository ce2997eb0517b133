"""Show which sensor told of a fault, and when.

Three sensors of a made machine, sixty moments. A fault is a short dip of the second sensor,
somewhere. A network learns to tell faults; three methods say where it saw them, and each is held
to where the dip is.

    python examples/machine_series.py --folder machine

Then look at `machine/fault.png`.
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_explain as kx

SENSORS = ["pressure", "flow", "heat"]
LENGTH = 4


def make_series(count, seed):
    """Series `(count, 60, 3)`, whether there is a fault, and when it begins."""
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(0, 0.15, (count, 60, 3)), axis=1) * 0.6
    y, start = rng.integers(0, 2, count), rng.integers(5, 50, count)
    moment = np.arange(60)
    inside = (moment >= start[:, None]) & (moment < start[:, None] + LENGTH)
    x[..., 1] -= 1.6 * (inside & (y[:, None] == 1))
    return x.astype("float32"), y, start


def make_model(x, y):
    """A small convolutional network, trained."""
    inputs = keras.Input((60, 3))
    h = inputs
    for _ in range(2):
        h = keras.layers.Conv1D(16, 5, padding="same", activation="relu")(h)
    h = keras.layers.GlobalMaxPooling1D()(h)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(h))
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=10, batch_size=64, verbose=0)
    return model


def count_hits(maps, start):
    """How often the largest number is of the second sensor and at most two moments off."""
    moment, channel = np.divmod(maps.reshape(len(maps), -1).argmax(-1), 3)
    middle = start + (LENGTH - 1) / 2
    return float(np.mean((channel == 1) & (np.abs(moment - middle) <= LENGTH / 2 + 2)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("machine"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    model = make_model(*make_series(3000, 0)[:2])
    x, y, start = make_series(200, 1)
    faults = np.flatnonzero(y == 1)[:64]
    x, start = x[faults], start[faults]

    options = {"target": 1, "channels": "keep"}
    methods = {
        "occlusion": kx.occlusion(model, patch_size=4, stride=1, baseline="inpaint", **options),
        "integrated_gradients": kx.integrated_gradients(model, **options),
        "rise": kx.rise(model, grid=15, **options)}
    maps = {name: m.predict(x, verbose=0)["heatmap"] for name, m in methods.items()}
    for name, found in maps.items():
        print(f"{name} finds {count_hits(found, start):.0%} of {len(x)} faults")
    figure = kx.plots.series(x[0], maps["occlusion"][0], feature_names=SENSORS)
    figure.savefig(folder / "fault.png")
    print(f"{folder}/fault.png shows one; its fault begins at {start[0]}")


if __name__ == "__main__":
    main()
