"""Which method finds what EfficientNet-Lite0 looks at? Deletion, insertion, next to RISE's table.

    python benchmarks/faithfulness.py --out faithfulness [--images FOLDER] [--timing]

Photographs: those embedded in scikit-image, and those of a folder. The methods are run at the
sizes given (defaults: minutes on a few cores), scored by `keras_explain.comparing.compare` with
RISE's metrics, once pixel by pixel as the paper does and once in cells of 14 x 14 pixels, which
is fair to coarse and fine maps alike. Then RISE's published ordering is checked:

    insertion: random < sliding window < Grad-CAM, LIME < RISE (deletion: the reverse)

`--timing` measures what the metrics cost over the forward passes that they need.
"""

import argparse
import functools
import os
import pathlib
import time

import numpy as np
import skimage.data
import skimage.segmentation

import keras_explain as kx
from keras_explain import metrics
from keras_explain.demo import imagenet as _imagenet
from keras_explain.lime import LimeImageExplainer
from keras_explain.metrics.comparison import compare

EMBEDDED = ("astronaut", "camera", "chelsea", "coffee", "coins", "rocket")
OTHERS = ("cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam", "eigen_cam",
          "ablation_cam", "score_cam", "saliency", "gradient_x_input", "guided_backprop",
          "guided_grad_cam")
PUBLISHED = (("random_patches", "occlusion"), ("occlusion", "grad_cam"), ("occlusion", "lime"),
             ("grad_cam", "rise"), ("lime", "rise"))


def photographs(folder, count):
    """RGB pictures at the network's size, and their names."""
    found = {name: getattr(skimage.data, name)() for name in EMBEDDED}
    if folder:
        found |= {p.stem: str(p) for p in sorted(pathlib.Path(folder).iterdir())
                  if p.suffix.lower() in (".png", ".jpg", ".jpeg")}
    names = list(found)[-count:] if count else list(found)
    return np.stack([_imagenet.load_image(found[n]) for n in names]), names


class Lime:
    """LIME with its settings, as `compare` calls it."""

    def __init__(self, model, samples):
        self.explainer, self.samples = LimeImageExplainer(model), samples

    def explain(self, image, **options):
        return self.explainer.explain(image, samples=self.samples, **options)


def methods_of(model, options):
    return {
        "occlusion": functools.partial(kx.occlusion, patch_size=56, stride=14),
        "grad_cam": kx.grad_cam,
        "lime": Lime(model, options.samples),
        "rise": functools.partial(kx.rise, samples=options.samples),
        "integrated_gradients": functools.partial(kx.integrated_gradients, steps=16),
        "smooth_grad": functools.partial(kx.smooth_grad, samples=16),
        **{name: getattr(kx, name) for name in OTHERS},
    }


def named(function, name):
    """A metric under a name of its own, so that it can take part twice."""
    return metrics.Metric(name, function, "lower" if "deletion" in name else "higher", "model", "")


def ordering(table):
    """RISE's published pairs: (worse, better, paired difference of insertion and deletion)."""
    lines = ["| RISE's paper says | insertion, better - worse | deletion, better - worse | here |",
             "|---|---:|---:|---|"]
    for worse, better in PUBLISHED:
        up = table.difference(better, worse, "insertion")
        down = table.difference(better, worse, "deletion")
        agree = (up[0] > 0) + (down[0] < 0)
        sure = (up[1] > 0) + (down[2] < 0)
        verdict = ("reversed", "one of two", "agrees")[agree]
        lines.append(f"| {better} better than {worse} | {up[0]:+.3f} [{up[1]:+.3f}, {up[2]:+.3f}]"
                     f" | {down[0]:+.3f} [{down[1]:+.3f}, {down[2]:+.3f}] | {verdict},"
                     f" {sure} of 2 beyond chance |")
    return "\n".join(lines)


def timing(model, x, steps=32):
    """CPU seconds of deletion and insertion over those of the same forward passes."""
    import keras

    maps = np.random.default_rng(0).random(x.shape[:3]).astype("float32")
    passes = len(x) * (steps + 1)
    batch = np.repeat(x, 64, axis=0)[:64]

    def spent(run, times=3):
        run()
        best = []
        for _ in range(times):
            start = time.process_time()
            run()
            best.append(time.process_time() - start)
        return min(best)

    evaluator = metrics.Evaluator(model)
    cost = spent(lambda: metrics.deletion(evaluator, x, maps, steps=steps))
    fast = keras.Model(model.inputs, model.outputs)
    floor = spent(lambda: fast.predict_on_batch(batch)) * passes / 64
    folded = Evaluated(evaluator)
    folded_floor = spent(lambda: folded(batch)) * passes / 64
    return (f"deletion, {len(x)} images x {steps + 1}: {cost:.2f} CPU s;"
            f" {cost / floor:.2f}x of {passes} passes by predict_on_batch,"
            f" {cost / folded_floor:.2f}x of the same passes with folded weights.")


class Evaluated:
    """The folded program alone, compiled: the floor of every metric."""

    def __init__(self, evaluator):
        import keras

        from keras_explain.engine.folding import bind

        subject = evaluator.subject("probability")

        class Passes(keras.layers.Layer):
            def call(self, x):
                return subject.scores(*bind(subject.fast)([x]))

        inputs = keras.Input(subject.program.inputs[0].spec.shape[1:])
        layer = Passes()
        layer.subject = subject
        self.model = keras.Model(inputs, layer(inputs))

    def __call__(self, batch):
        return self.model.predict_on_batch(batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="folder of further photographs")
    parser.add_argument("--out", default="faithfulness", help="folder to write")
    parser.add_argument("--count", type=int, help="only so many photographs, the last ones")
    parser.add_argument("--steps", type=int, default=32, help="points of a curve (RISE: 224)")
    parser.add_argument("--samples", type=int, default=512, help="of RISE and LIME (RISE: 8000)")
    parser.add_argument("--timing", action="store_true", help="measure the cost only")
    options = parser.parse_args()
    model = _imagenet.efficientnet_lite0()
    x, names = photographs(options.images, options.count)
    if options.timing:
        print(timing(model, x[:4]))
        return
    partial = functools.partial
    steps = {"steps": options.steps}
    chosen = [
        named(partial(metrics.insertion, **steps), "insertion"),
        named(partial(metrics.deletion, **steps), "deletion"),
        named(partial(metrics.insertion, patch_size=14, **steps), "insertion_cells"),
        named(partial(metrics.deletion, patch_size=14, **steps), "deletion_cells"),
        registry_metric("average_drop"), registry_metric("sparseness"),
    ]
    print(f"{len(x)} photographs: {', '.join(names)}", flush=True)
    table = compare(model, x, methods_of(model, options), chosen)
    os.makedirs(options.out, exist_ok=True)
    np.savez(os.path.join(options.out, "scores.npz"),
             **{f"{m}.{k}": v for m, by in table.scores.items() for k, v in by.items()})
    table.report(options.out)
    text = f"{table.to_markdown()}\n\n{ordering(table)}\n"
    with open(os.path.join(options.out, "ordering.md"), "w", encoding="utf-8") as file:
        file.write(text)
    print(text)


def registry_metric(name):
    return metrics.METRICS[name]


if __name__ == "__main__":
    main()
