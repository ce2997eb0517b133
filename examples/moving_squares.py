"""Show which moments and places of a video a network used.

Made videos in which a square moves to the left or to the right, beside a bar that stands still and
tells nothing. A network learns the direction; occlusion hides a place for three frames at a time.

    python examples/moving_squares.py --folder moving

Then look at `moving/strip.png` and `moving/video.gif`.
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_explain as kx

FRAMES, HEIGHT, WIDTH = 8, 24, 32


def make_videos(count, seed):
    """Videos `(count, frames, height, width, 1)`, directions, and where the square is."""
    rng = np.random.default_rng(seed)
    shape = (count, FRAMES, HEIGHT, WIDTH)
    x, where = rng.normal(0.3, 0.05, shape), np.zeros(shape, bool)
    y = rng.integers(0, 2, count)
    for i in range(count):
        top, left = rng.integers(1, 11), rng.integers(0, 6)
        for t in range(FRAMES):
            step = 3 * t if y[i] else 3 * (FRAMES - 1 - t)
            where[i, t, top:top + 5, left + step:left + step + 5] = True
        x[i, :, 19:22, 4:26] += 0.5
    x[where] += 0.5
    return x[..., None].astype("float32"), y, where


def make_model(x, y):
    """A small network of three-dimensional convolutions, trained."""
    clip = keras.Input((FRAMES, HEIGHT, WIDTH, 1))
    h = keras.layers.Rescaling(4, offset=-1.2)(clip)
    for filters in (8, 16):
        h = keras.layers.Conv3D(filters, 5, strides=(1, 2, 2), padding="same",
                                activation="relu")(h)
    h = keras.layers.GlobalMaxPooling3D()(h)
    model = keras.Model(clip, keras.layers.Dense(2, activation="softmax")(h))
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    model.fit(x, y, epochs=20, batch_size=32, verbose=0)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("moving"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    model = make_model(*make_videos(400, 0)[:2])
    x, y, where = make_videos(16, 1)
    print("accuracy", round(model.evaluate(x, y, verbose=0)[1], 2))

    explained = kx.occlusion(model, patch_size=(3, 6, 6), stride=(1, 3, 3))
    maps = explained.predict(x, verbose=0)["heatmap"]
    top = np.unravel_index(maps.reshape(len(maps), -1).argmax(-1), maps.shape[1:])
    near = [where[i, max(0, t - 1):t + 2, max(0, r - 3):r + 4, max(0, c - 3):c + 4].any()
            for i, (t, r, c) in enumerate(zip(*top, strict=True))]
    print(f"the maximum is on the square, or three pixels off, in {np.mean(near):.0%} of"
          f" {len(x)} videos")

    limits = kx.images.color_limits(maps[0].reshape(FRAMES, -1))  # one range for all frames
    frames = kx.images.overlay(x[0], maps[0], limits=limits,
                               signed=kx.images.is_signed(maps[0].reshape(FRAMES, -1)))
    strip = kx.images.filmstrip(frames, captions=[f"frame {t}" for t in range(FRAMES)])
    (folder / "strip.png").write_bytes(kx.images.encode_png(strip))
    kx.images.write_gif(folder / "video.gif", frames, captions=range(FRAMES), rate=4)
    print(f"pictures: {folder}/strip.png, video.gif")


if __name__ == "__main__":
    main()
