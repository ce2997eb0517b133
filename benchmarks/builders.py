"""What does an explanation cost over the answer alone? One JSON line a measurement.

    python benchmarks/builders.py                          # three networks, about ten minutes
    python benchmarks/builders.py mobilenetv2 --repeats 9
    python benchmarks/builders.py mobilenetv2 --sides smooth_grad integrated_gradients rise

Explained models against the plain model, `predict_on_batch`, 16 images of 224 x 224, sides
interleaved in one process, medians. CPU time is the one to trust on a machine that others use.
Methods that run many passes are given as cost per pass. The models are alive (calibrated layer
by layer): dead ones answer as fast, but with denormal numbers and zeros.

`traces` counts how often a graph was built for all calls of that side: it should be 1 (PyTorch
builds none: there it is the number of calls).
"""

import argparse
import functools
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from occlusion import calibrate  # noqa: E402

import keras_explain as kx  # noqa: E402

MODELS = {  # network, range of its inputs, a layer in the middle
    "vgg16": ("VGG16", (-1, 1), "block3_conv3"),
    "mobilenetv2": ("MobileNetV2", (-1, 1), "block_6_project_BN"),
    "efficientnetv2b0": ("EfficientNetV2B0", (0, 255), "block4a_project_bn"),
}
MARKS = {"grad_cam": 1.1, "grad_cam_middle": 1.5, "saliency": 3.0}
PASSES = 4  # of the methods below


def sides_of(model, middle):
    """Builders by name, with the number of forward (and backward) passes they make."""
    return {
        "grad_cam": (kx.grad_cam, 1),
        "grad_cam_middle": (functools.partial(kx.grad_cam, layer=middle), 1),
        "saliency": (kx.saliency, 1),
        "guided_backprop": (kx.guided_backprop, 1),
        "gradient_x_input": (kx.gradient_x_input, 1),
        "grad_cam_plus_plus": (kx.grad_cam_plus_plus, 1),
        "cam": (kx.cam, 1),
        "eigen_cam": (kx.eigen_cam, 1),
        "ablation_cam": (kx.ablation_cam, 1),
        "score_cam": (functools.partial(kx.score_cam, channels=PASSES), PASSES + 1),
        "smooth_grad": (functools.partial(kx.smooth_grad, samples=PASSES), PASSES),
        "integrated_gradients": (functools.partial(kx.integrated_gradients, steps=PASSES), PASSES),
        "rise": (functools.partial(kx.rise, samples=PASSES), PASSES + 1),
    }


def build(name, count):
    """An alive network and images."""
    keras.utils.set_random_seed(0)
    kind, (low, high), middle = MODELS[name]
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(count, 8, 8, 3)).astype("float32")
    images = keras.ops.image.resize(coarse, (224, 224), "bicubic")
    images = np.clip(0.3 * keras.ops.convert_to_numpy(images), -1, 1)
    images = (images + 1) / 2 * (high - low) + low
    model = getattr(keras.applications, kind)(weights=None)
    calibrate(model, images[:4])
    return model, images, middle


def counted(explained):
    """Count the calls of the explainer's `compute`: one for each graph that is built."""
    calls, compute = [], explained.explainer.compute

    def counting(*args, **kwargs):
        calls.append(1)
        return compute(*args, **kwargs)

    explained.explainer.compute = counting
    return calls


def measure(name, options):
    model, images, middle = build(name, options.batch)
    builders = sides_of(model, middle)
    runs, traces = {"predict": model}, {"predict": []}
    for side in options.sides:
        try:
            runs[side] = builders[side][0](model)
        except ValueError as error:
            print(json.dumps({"model": name, "side": side, "refused": str(error)}), flush=True)
            continue
        traces[side] = counted(runs[side])
    times = {side: [] for side in runs}
    for repeat in range(options.repeats + 1):
        for side, run in runs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            out = run.predict_on_batch(images)
            spent = time.process_time() - cpu, time.perf_counter() - wall
            if repeat:  # the first call traces
                times[side].append(spent)
            elif side != "predict":
                assert np.ptp(out["heatmap"]) > 0, f"{side}: a blank map says nothing of the cost"
    floor = np.array(times["predict"])
    for side in runs:
        spent = np.array(times[side])
        passes = builders[side][1] if side in builders else 1
        ratio = np.median(spent / floor, axis=0) / passes
        cpu, wall = np.median(spent, axis=0) * 1e3
        mark = MARKS.get(side)
        print(json.dumps({
            "model": name, "side": side, "backend": keras.backend.backend(),
            "images": options.batch, "passes": passes, "cpu_ms": round(cpu, 1),
            "wall_ms": round(wall, 1), "cpu_over_predict": round(ratio[0], 3),
            "wall_over_predict": round(ratio[1], 3), "mark": mark,
            "within": None if mark is None else bool(ratio[0] <= mark),
            "traces": len(traces[side]), "calls": options.repeats + 1,
            "load": round(os.getloadavg()[0], 1),
        }), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--sides", nargs="+", default=list(MARKS))
    options = parser.parse_args()
    for name in options.models:
        measure(name, options)


if __name__ == "__main__":
    main()
