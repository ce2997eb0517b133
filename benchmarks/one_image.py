"""What does `predict` of one image cost? One JSON line a measurement.

    python benchmarks/one_image.py                    # LeNet and EfficientNet-Lite0 (real weights)
    python benchmarks/one_image.py lenet --repeats 99

CPU time, medians, sides interleaved in one process. `pipeline` is the same call through Keras's
own data pipeline, which a callback asks for. Plain `predict_on_batch` is the floor.
"""

import argparse
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_explain as kx  # noqa: E402

METHODS = {"grad_cam": kx.grad_cam, "saliency": kx.saliency,
           "occlusion": lambda model: kx.occlusion(model, patch_size=4, stride=2)}


def lenet():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((32, 32, 1)), layers.Conv2D(6, 5, activation="relu", name="conv"),
        layers.MaxPooling2D(), layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"), layers.Dense(10, activation="softmax"),
    ])


def lite0():
    from keras_explain.demo import imagenet

    return imagenet.efficientnet_lite0()


MODELS = {"lenet": (lenet, ("grad_cam", "saliency", "occlusion")),
          "lite0": (lite0, ("grad_cam", "saliency"))}


def processor():
    """The processor's name."""
    with open("/proc/cpuinfo") as lines:
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)


def measure_in_turns(runs, repeats):
    """Median CPU seconds of each of `runs`, which take turns; the first round is not counted."""
    times = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if repeat:
                times[name].append(time.process_time() - start)
    return {name: float(np.median(spent)) for name, spent in times.items()}


def measure(name, repeats):
    make, methods = MODELS[name]
    model = make()
    image = np.random.default_rng(0).uniform(0, 1, (1, *model.input_shape[1:])).astype("float32")
    runs = {"plain predict_on_batch": lambda: model.predict_on_batch(image),
            "plain predict": lambda: model.predict(image, verbose=0)}
    for method in methods:
        explained = METHODS[method](model)
        runs[f"{method} predict"] = lambda e=explained: e.predict(image, verbose=0)
        runs[f"{method} pipeline"] = lambda e=explained: e.predict(
            image, verbose=0, callbacks=[keras.callbacks.Callback()])
        runs[f"{method} predict_on_batch"] = lambda e=explained: e.predict_on_batch(image)
    found = measure_in_turns(runs, repeats)
    floor = found["plain predict_on_batch"]
    for side, spent in found.items():
        print(json.dumps({
            "model": name, "side": side, "backend": keras.backend.backend(),
            "cpu_ms": round(spent * 1e3, 2), "over_plain": round(spent / floor, 2),
            "processor": processor(),
        }), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=31)
    options = parser.parse_args()
    for name in options.models:
        measure(name, options.repeats)


if __name__ == "__main__":
    main()
