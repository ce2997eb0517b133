"""How much faster is occlusion by windows, and how different? One JSON line a measurement.

    python benchmarks/occlusion.py                 # every model, several minutes each
    python benchmarks/occlusion.py lite0 lenet64   # some
    python benchmarks/occlusion.py --stride 24 --repeats 1 resnet50
    python benchmarks/occlusion.py --sides incremental tf-explain xplique -- mobilenetv2
    KERAS_BACKEND=torch python benchmarks/occlusion.py --sides incremental captum -- lenet64
    python benchmarks/occlusion.py --sides bfloat16 --reduced-after 0.01 -- vgg16
    python benchmarks/occlusion.py --memory mobilenetv2
    python benchmarks/occlusion.py --images 8 --sides auto -- lite0 lenet64

Against `model.predict` on stacked occluded images (batch 32), the floor that every library
which calls the model is above. Milliseconds a position, sides interleaved in one process,
medians. CPU time is the one to trust on a machine that others use. Exact sides are compared with
the scores of `predict` on a coarse grid of positions, bfloat16 with the exact drops at all of
them. The models are alive:
EfficientNet-Lite0 has its ImageNet weights, the others are calibrated layer by layer. LeNet is
so small that a call of `predict` costs more than the work: both sides get 8 images at a time.
With --images the floor is the plain loop over a data set, one call of `predict` an image; images a
second are of wall time, and busy cores are CPU time over wall time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers, ops  # noqa: E402

import keras_explain as kx  # noqa: E402
from keras_explain import backend  # noqa: E402
from keras_explain.engine import sliding  # noqa: E402
from keras_explain.engine.windows import plan as planning  # noqa: E402
from keras_explain.engine.windows import run as running  # noqa: E402
from keras_explain.graph.program import Program  # noqa: E402
from keras_explain.graph.steps import Value  # noqa: E402

MARKS = {"vgg16": 5, "resnet50": 2.5, "resnet18": 2.5, "mobilenetv2": 6, "lite0": 4,
         "lenet64": 9, "b0": 2, "lenet224": None}
IMAGES = {"lenet64": 8}
SETTINGS = {
    "full": {"engine": "full"},
    "auto": {},
    "incremental": {"engine": "incremental"},
    "bfloat16": {"engine": "incremental", "precision": "bfloat16"},
    "adaptive": {"search": "adaptive"},
    "adaptive-bfloat16": {"search": "adaptive", "precision": "bfloat16"},
}


def resnet18():
    def conv(x, filters, size, stride):
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = keras.Input((224, 224, 3))
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.ReLU()(conv(image, 64, 7, 2)))
    for stage, filters in enumerate((64, 128, 256, 512)):
        for stride in ((2 if stage else 1), 1):
            y = conv(layers.ReLU()(conv(x, filters, 3, stride)), filters, 3, 1)
            x = layers.ReLU()(layers.Add()([conv(x, filters, 1, 2) if stride > 1 else x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1000, activation="softmax")(x))


def lenet(size, channels):
    return keras.Sequential([
        keras.Input((size, size, channels)),
        layers.Conv2D(32, 5, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 5, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax"),
    ])


def build(name):
    """An alive model and one image for it."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    size, channels = (64, 1) if name == "lenet64" else (224, 3)
    noise = rng.normal(size=(4, 8, 8, channels))
    images = ops.convert_to_numpy(ops.image.resize(noise, (size, size), "bicubic"))
    images = images + rng.normal(size=images.shape) * 0.3
    if name == "lite0":
        from keras_explain.demo.imagenet import efficientnet_lite0

        return efficientnet_lite0(), np.clip(images[:1] * 60 + 128, 0, 255).astype("float32")
    applications = {"vgg16": "VGG16", "resnet50": "ResNet50", "mobilenetv2": "MobileNetV2",
                    "b0": "EfficientNetB0"}
    if name in applications:
        model = getattr(keras.applications, applications[name])(weights=None)
    else:
        model = resnet18() if name == "resnet18" else lenet(size, channels)
    if name == "b0":
        images = np.clip(images * 60 + 128, 0, 255)
    calibrate(model, images.astype("float32"))
    return model, images[:1].astype("float32")


def calibrate(model, images):
    """Unit variance after every layer with a kernel; statistics where layers have them."""
    _, program = Program.trace(model)
    env = dict(zip(program.inputs, [ops.convert_to_tensor(images)], strict=True))
    rng = np.random.default_rng(1)
    for step in program.steps:
        args, kwargs = keras.tree.map_structure(
            lambda v: env[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
        layer = step.fn
        if isinstance(layer, layers.BatchNormalization):
            x = ops.convert_to_numpy(args[0])
            layer.moving_mean.assign(x.mean((0, 1, 2)))
            layer.moving_variance.assign(x.var((0, 1, 2)) + 1e-6)
            layer.gamma.assign(rng.uniform(0.7, 1.3, layer.gamma.shape))
        elif getattr(layer, "kernel", None) is not None:
            activation, layer.activation = layer.activation, keras.activations.linear
            layer.kernel.assign(layer.kernel / (ops.std(layer(*args, **kwargs)) + 1e-9))
            if layer.use_bias:
                x = ops.convert_to_numpy(layer(*args, **kwargs))
                layer.bias.assign(layer.bias - x.mean(tuple(range(x.ndim - 1))))
            layer.activation = activation
        env.update(zip(step.outputs, keras.tree.flatten(layer(*args, **kwargs)), strict=True))


def occluded(image, grid):
    """Every occluded image, stacked."""
    (patch, stride), _ = grid
    starts = [min(i * stride, image.shape[1] - patch)
              for i in range(sliding.count(image.shape[1], patch, stride))]
    hidden, stack = image.mean((1, 2), keepdims=True), []
    for y in starts:
        for x in starts:
            copy = image.copy()
            copy[:, y : y + patch, x : x + patch] = hidden
            stack.append(copy)
    return np.concatenate(stack)


def rank_correlation(a, b):
    ranks = [np.argsort(np.argsort(x.ravel())) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def all_drops(explainer, image):
    """The score lost at every position; compiled, as in `predict`: that rounds otherwise."""
    run = backend.compile_function(lambda x: explainer.drops([x])[0][0], explainer.model.variables)
    return ops.convert_to_numpy(run(image)).ravel()


def agreement(explained, full, image):
    """How much a map of fewer positions says the same as the one of all positions."""
    maps = [e.predict(image, verbose=0)["heatmap"].ravel() for e in (explained, full)]
    hottest = [set(np.argsort(-m)[: m.size // 10]) for m in maps]
    return {"heatmap_spearman": rank_correlation(*maps),
            "same_hottest_tenth": len(hottest[0] & hottest[1]) / len(hottest[1])}


def tf_explain(model, image, top, patch, stride):
    """A map of tf-explain, whose stride is the patch, and how many positions it takes."""
    from tf_explain.core.occlusion_sensitivity import OcclusionSensitivity

    explainer = OcclusionSensitivity(batch_size=32)
    positions = (-(-image.shape[1] // patch)) ** 2
    return lambda: explainer.explain((image[:1], None), model, top, patch), positions


def xplique(model, image, top, patch, stride):
    from xplique.attributions import Occlusion

    explainer = Occlusion(model, 32, patch_size=patch, patch_stride=stride)
    target = np.eye(model.output_shape[-1], dtype="float32")[[top]]
    positions = ((image.shape[1] - patch) // stride + 1) ** 2
    return lambda: explainer.explain(image[:1], target), positions


def captum(model, image, top, patch, stride):
    import torch
    from captum.attr import Occlusion

    explainer, channels, stride = Occlusion(model), image.shape[-1], min(stride, patch)
    positions = ((image.shape[1] - patch) // stride + 1) ** 2

    def run():
        with torch.no_grad():
            return explainer.attribute(
                ops.convert_to_tensor(image[:1]), strides=(stride, stride, channels),
                target=top, sliding_window_shapes=(patch, patch, channels),
                perturbations_per_eval=32)

    return run, positions


PEERS = {"tf-explain": tf_explain, "xplique": xplique, "captum": captum}


def sides_of(name, options):
    """Name of each side -> (a run of it, how many positions that takes), and its quality."""
    model, image = build(name)
    patch = 8 if name == "lenet64" else 16
    stride = options.stride or patch // 2
    check_stride = stride if name in IMAGES else max(stride, image.shape[1] // options.checks)
    images = np.concatenate([image] * (options.images or IMAGES.get(name, 1)))
    stack = occluded(image, [(patch, check_stride)] * 2)
    clean = model.predict(image, verbose=0)[0]
    top = int(clean.argmax())
    drops = clean[top] - model.predict(stack, batch_size=32, verbose=0)[:, top]
    calls = len(images) if options.images else 1
    stack = np.concatenate([stack] * (len(images) // calls))
    positions = len(images) * sliding.count(image.shape[1], patch, stride) ** 2
    rows = options.batch_size if options.memory else 32
    sides = {"predict": (
        lambda: [model.predict(stack, batch_size=rows, verbose=0) for _ in range(calls)],
        calls * len(stack))}
    quality = {}
    for side in options.sides:
        if side in PEERS:
            try:
                sides[side] = PEERS[side](model, image, top, patch, check_stride)
                sides[side][0]()
            except Exception as error:
                quality[side] = {"failed": f"{type(error).__name__}: {error}"[:200]}
                sides.pop(side, None)
            continue
        explained = kx.occlusion(
            model, patch_size=patch, stride=stride, batch_size=options.batch_size, **SETTINGS[side]
        )
        sides[side] = (lambda e=explained: e.predict(images, verbose=0), positions)
        if options.memory:
            continue
        if SETTINGS[side].get("search"):
            quality[side] = agreement(
                explained, kx.occlusion(model, patch_size=patch, stride=stride), image
            )
            continue
        if side == "bfloat16":
            exact = kx.occlusion(model, patch_size=patch, stride=stride)
            quality[side] = {"spearman": rank_correlation(
                *(all_drops(e.explainer, image) for e in (explained, exact)))}
            continue
        found = all_drops(
            kx.occlusion(model, patch_size=patch, stride=check_stride, score="probability",
                         **SETTINGS[side]).explainer,
            image,
        )
        quality[side] = {"largest_error_of_range": float(np.abs(found - drops).max()
                                                         / np.ptp(drops))}
    return sides, quality


def measure(name, options):
    sides, quality = sides_of(name, options)
    times = {side: [] for side in sides}
    for repeat in range(options.repeats + 1):
        for side, (run, count) in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            spent = (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count
            if repeat:  # the first call traces
                times[side].append(spent)
    floor = np.median(times["predict"], axis=0)
    facts = {"model": name, "backend": keras.backend.backend()}
    for side in ("predict", *options.sides):
        if side not in sides:
            print(json.dumps({**facts, "side": side, **quality[side]}), flush=True)
            continue
        cpu, wall = np.median(times[side], axis=0)
        print(json.dumps({
            **facts, "side": side, "positions": sides[side][1], "cpu_ms": round(cpu * 1e3, 3),
            "wall_ms": round(wall * 1e3, 3), "times_faster_cpu": round(floor[0] / cpu, 2),
            "times_faster_wall": round(floor[1] / wall, 2),
            "mark": MARKS[name] if side == "incremental" else None, **quality.get(side, {}),
            **rates(sides, wall, cpu, options.images),
        }), flush=True)


def rates(sides, wall, cpu, images):
    """What matters for a data set: images a second and busy cores."""
    if not images:
        return {}
    each = max(count for _, count in sides.values()) / images
    return {"images_a_second": round(1 / (wall * each), 3), "cores_busy": round(cpu / wall, 2)}


def memory(name, options):
    """Peak memory of each side in a process of its own, and what it needs above the model."""
    if options.inside:
        options.sides = [options.inside] if options.inside != "predict" else []
        sides, _ = sides_of(name, options)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sides[options.inside][0]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"model": name, "side": options.inside, "peak_mib": peak // 1024,
                          "above_the_model_mib": (peak - before) // 1024}), flush=True)
        return
    for side in ("predict", *options.sides):
        subprocess.run([sys.executable, __file__, "--memory", "--inside", side, "--batch-size",
                        str(options.batch_size), name], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MARKS))
    parser.add_argument("--stride", type=int, help="default: half a patch")
    parser.add_argument("--images", type=int, help="a data set of so many images")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--checks", type=int, default=8, help="positions per axis for predict")
    parser.add_argument("--sides", nargs="+", default=["full", "incremental", "bfloat16"],
                        choices=[*SETTINGS, *PEERS])
    parser.add_argument("--reduced-after", type=float, metavar="SHARE",
                        help="bfloat16 after this share of the work, unguarded")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reduced_after is not None:
        planning.REDUCED_AFTER, running.TRUSTED = options.reduced_after, float("inf")
    for name in options.models:
        (memory if options.memory else measure)(name, options)


if __name__ == "__main__":
    main()
