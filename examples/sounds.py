"""Find out by what a network tells sounds apart, see it and hear it.

Every sound is a chirp, a few tones and noise, half a second to a second long. Those of one class
have a short burst at 2,600 Hz besides, somewhere in time: the cue. A network with a mel
spectrogram inside learns the two classes, three methods say where it heard the burst, and what
remains of one sound is written as a WAV file.

    python examples/sounds.py --folder sounds

Then look at `sounds/heard.png`, and listen to `sounds/whole.wav` and `sounds/kept.wav`.
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_explain as kx
from keras_explain.waveforms import shape_of_grid

RATE, MOMENTS = 8000, 8000
CUE, LENGTH = 2600, 0.12  # Hz and seconds
NAMES = ["without", "with a burst"]


def make_sounds(count, seed):
    """Sounds `(count, MOMENTS)`, their classes, and when the burst begins in seconds.

    Args:
        count: how many; every second one has the burst.
        seed: of everything that is random.
    """
    rng = np.random.default_rng(seed)
    times = np.arange(MOMENTS) / RATE
    classes, begins = np.arange(count) % 2, rng.uniform(0.1, 0.8, count)
    sounds = 0.02 * rng.normal(size=(count, MOMENTS))
    for sound, burst, begin in zip(sounds, classes, begins, strict=True):
        start, slope = rng.uniform(200, 800), rng.uniform(300, 900)
        sound += 0.2 * np.sin(2 * np.pi * (start + slope * times / 2) * times)
        for hertz in rng.uniform(200, 2200, 3):
            sound += 0.05 * np.sin(2 * np.pi * hertz * times + rng.uniform(0, 6))
        if burst:
            hull = np.clip((times - begin) / LENGTH, 0, 1)
            sound += 0.2 * np.sin(np.pi * hull) ** 2 * np.sin(2 * np.pi * CUE * times)
    return sounds.astype("float32"), classes, begins


def make_model():
    """A small convolutional network that takes waveforms."""
    sound = keras.Input((MOMENTS,))
    h = keras.layers.MelSpectrogram(256, sequence_stride=64, sampling_rate=RATE, num_mel_bins=48,
                                    max_freq=RATE / 2)(sound)
    h = keras.layers.Rescaling(1 / 10, offset=0.7)(keras.ops.expand_dims(h, -1))
    for filters in (8, 16):
        h = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(h)
        h = keras.layers.MaxPooling2D((1, 2))(h)  # of time: rows of the maps stay those of mel
    h = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(h)
    h = keras.layers.GlobalMaxPooling2D()(h)
    model = keras.Model(sound, keras.layers.Dense(2)(h))  # logits, which LIME explains as they are
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss, metrics=["accuracy"])
    return model


def explain(model, sounds, others):
    """Maps of each method over frequency and time, `(N, K, M)`.

    Args:
        model: from waveforms to logits.
        sounds: what is explained.
        others: sounds without the burst, which stand in for patches that LIME hides: silence
            would be a sound that the network has never heard.
    """
    gradcam = kx.hires_cam(model, target=1)
    maps = gradcam.predict(sounds, verbose=0)["heatmap"]
    lime = kx.LimeSeriesExplainer(model, domain="spectrogram", segments=(12, 12), rate=RATE,
                                  baseline=others)
    patches = [lime.explain(x, target=1, samples=600, verbose=0).heatmap() for x in sounds]
    hidden = kx.occlusion(model, target=1, patch_size=400, stride=100)
    return {
        "hires_cam": kx.audio.align(gradcam, sounds, maps),
        "LIME": np.stack(patches),
        "occlusion": hidden.predict(sounds, verbose=0)["heatmap"],  # of moments
    }


def has_found(heatmap, begin):
    """Whether the largest number lies on the burst: in time, and in Hz where there are any."""
    rows, frames = shape_of_grid(MOMENTS)
    if heatmap.ndim == 1:
        return begin - 0.03 <= heatmap.argmax() / RATE <= begin + LENGTH + 0.03
    places = np.argwhere(heatmap == heatmap.max())  # a LIME patch has many
    hertz = places[:, 0] * RATE / 2 / (rows - 1)
    seconds = places[:, 1] * MOMENTS / RATE / (frames - 1)
    near = np.abs(hertz - CUE) < 350  # the kernels of three convolutions look so far
    return bool((near & (seconds > begin - 0.03) & (seconds < begin + LENGTH + 0.03)).any())


def main(arguments=None):
    """Train, explain, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("sounds"))
    parser.add_argument("--count", type=int, default=384, help="sounds to learn from")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    model = make_model()
    model.fit(*make_sounds(options.count, 1)[:2], batch_size=16,
              epochs=options.epochs, verbose=0)
    sounds, classes, begins = make_sounds(32, 2)
    print(f"{model.evaluate(sounds, classes, verbose=0)[1]:.0%} of new sounds right")
    bursts, begins = sounds[classes == 1][:8], begins[classes == 1][:8]
    maps = explain(model, bursts, sounds[classes == 0])
    for name, heatmaps in maps.items():
        found = [has_found(h, b) for h, b in zip(heatmaps, begins, strict=True)]
        print(f"{name:10} points to the burst in {sum(found)} of {len(found)} sounds")
    options.folder.mkdir(parents=True, exist_ok=True)
    title = f"What makes it {NAMES[1]!r}: HiResCAM"
    figure = kx.plots.spectrogram(bursts[0], maps["hires_cam"][0], rate=RATE, title=title)
    figure.savefig(options.folder / "heard.png")
    figure = kx.plots.spectrogram(bursts[0], maps["LIME"][0], rate=RATE, title="LIME")
    figure.savefig(options.folder / "lime.png")
    kx.audio.write_wav(options.folder / "whole.wav", bursts[0], rate=RATE)
    kept = kx.audio.keep(bursts[0], maps["LIME"][0], top=2 / 144, rate=RATE,  # two patches
                         path=options.folder / "kept.wav")
    kx.plots.spectrogram(kept, rate=RATE, title="What remains").savefig(options.folder / "kept.png")
    print(f"See {options.folder}/heard.png, hear {options.folder}/whole.wav and kept.wav")


if __name__ == "__main__":
    main()
