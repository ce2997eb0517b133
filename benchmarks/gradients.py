"""What do gradients at many points cost, with normalization folded and not? One JSON line a side.

    python benchmarks/gradients.py                           # three networks, some minutes
    python benchmarks/gradients.py lite0 --repeats 9         # ImageNet weights

CPU time of one image of 224 x 224, 16 points, sides interleaved in one process, medians.
`layers` is the same method with the program of the model's own layers. `same` is the rank
correlation of the two maps, `differ` their largest difference as a share of the range.

    python benchmarks/gradients.py lite0 --exact

compares both with the same in float64 instead, on eight images: the root mean square of the error
and its median, as shares of the root mean square of the map.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from occlusion import calibrate  # noqa: E402
from one_image import lite0, measure_in_turns, processor  # noqa: E402

import keras_explain as kx  # noqa: E402

POINTS = 16
METHODS = {"smooth_grad": lambda m: kx.smooth_grad(m, samples=POINTS, signed=True),
           "integrated_gradients": lambda m: kx.integrated_gradients(m, steps=POINTS)}


def build(name, image):
    if name == "lite0":
        return lite0()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    calibrate(model, image)
    return model


def in_float64(model):
    """The model in double precision."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        twin = keras.models.clone_model(model, clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "float64"}))
    finally:
        keras.config.set_dtype_policy(policy)
    twin.set_weights(model.get_weights())
    return twin


def unfold(explained):
    """The explained model, told to run the layers as they are."""
    explained.explainer.folded = None
    return explained


def rank(x):
    return np.argsort(np.argsort(x.ravel()))


def draw(count):
    """Smooth random images."""
    images = np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype("float32")
    images = keras.ops.convert_to_numpy(keras.ops.image.resize(images, (224, 224), "bicubic"))
    return np.clip(0.3 * images, -1, 1)


def measure(name, repeats):
    images = draw(8)
    model, image = build(name, images), images[:1]
    for method, make in METHODS.items():
        sides = {"folded": make(model), "layers": unfold(make(model))}
        a, b = (e.predict(image, verbose=0)["heatmap"] for e in sides.values())
        spent = measure_in_turns({s: lambda e=e: e.predict(image, verbose=0)
                                  for s, e in sides.items()}, repeats)
        print(json.dumps({
            "model": name, "method": method, "backend": keras.backend.backend(),
            **{f"{s}_ms": round(1e3 * t, 1) for s, t in spent.items()},
            "folds": sides["folded"].explainer.folded is not None,
            "share": round(spent["folded"] / spent["layers"], 3),
            "same": round(float(np.corrcoef(rank(a), rank(b))[0, 1]), 5),
            "differ": f"{np.abs(a - b).max() / np.ptp(b):.1e}", "processor": processor(),
        }), flush=True)


def measure_errors(name):
    images = draw(8)
    model = build(name, images)
    twin = in_float64(model)
    for method, make in METHODS.items():
        truth = unfold(make(twin)).predict(images, verbose=0, batch_size=1)["heatmap"]
        size = np.sqrt(np.mean(truth**2))
        for side, one in {"folded": make(model), "layers": unfold(make(model))}.items():
            found = one.predict(images, verbose=0, batch_size=1)["heatmap"]
            error = np.abs(found - truth) / size
            print(json.dumps({
                "model": name, "method": method, "backend": keras.backend.backend(), "side": side,
                "rms": f"{np.sqrt(np.mean(error**2)):.2e}",
                "median": f"{np.median(error):.2e}"}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["lite0", "MobileNetV2", "ResNet50"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--exact", action="store_true")
    options = parser.parse_args()
    for name in options.models:
        measure_errors(name) if options.exact else measure(name, options.repeats)


if __name__ == "__main__":
    main()
