"""What does the first heatmap cost, build included, over the first `predict`? One JSON line each.

    python benchmarks/first_heatmap.py                     # MobileNetV2 and EfficientNetB0
    python benchmarks/first_heatmap.py MobileNetV2 --methods integrated_gradients --repeats 5

CPU time of one image of 224 x 224. Each side builds a new network, so that nothing was traced
before; the sides take turns in one process, medians. `predict` is the plain model's first call.
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
from gradients import draw  # noqa: E402
from occlusion import calibrate  # noqa: E402
from one_image import processor  # noqa: E402

import keras_explain as kx  # noqa: E402

METHODS = {
    "grad_cam": kx.grad_cam,
    "saliency": kx.saliency,
    "integrated_gradients": lambda model: kx.integrated_gradients(model, steps=4),
    "smooth_grad": lambda model: kx.smooth_grad(model, samples=4),
    "occlusion": lambda model: kx.occlusion(model, patch_size=56, stride=56),
    "occlusion_full": lambda model: kx.occlusion(model, patch_size=56, stride=56, engine="full"),
    "rise": lambda model: kx.rise(model, samples=4),
}


def first_call(model, method, image):
    """CPU seconds of building and of the first call, and of the second call."""
    start = time.process_time()
    run = model if method is None else METHODS[method](model)
    run.predict(image, verbose=0)
    first = time.process_time() - start
    start = time.process_time()
    run.predict(image, verbose=0)
    return first, time.process_time() - start


def measure(name, methods, repeats):
    images = draw(8)
    image, twin = images[:1], getattr(keras.applications, name)(weights=None)
    calibrate(twin, images)  # by one image alone it would answer the same to everything
    assert np.ptp(twin.predict(image, verbose=0)) > 1e-3
    weights, times = twin.get_weights(), {side: [] for side in (None, *methods)}
    for _ in range(repeats):
        for side, spent in times.items():
            model = getattr(keras.applications, name)(weights=None)
            model.set_weights(weights)
            spent.append(first_call(model, side, image))
    floor = np.median([first for first, _ in times[None]])
    for side, spent in times.items():
        first, second = np.median(spent, axis=0)
        print(json.dumps({
            "model": name, "side": side or "predict", "backend": keras.backend.backend(),
            "first_s": round(float(first), 2), "second_s": round(float(second), 3),
            "over_first_predict": round(float(first / floor), 2), "processor": processor(),
        }), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=["MobileNetV2", "EfficientNetB0"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for name in options.models:
        measure(name, options.methods, options.repeats)


if __name__ == "__main__":
    main()
