"""What does an explanation by LIME cost, and what is it worth? One JSON line a measurement.

    python benchmarks/lime.py                        # everything, some 30 minutes on two cores
    python benchmarks/lime.py --parts time           # time, fidelity and stability of each library
    python benchmarks/lime.py --parts samples        # Hadamard designs against independent masks
    python benchmarks/lime.py --image photograph.jpg --sides predict ours bfloat16 lime

EfficientNet-Lite0 with its ImageNet weights explains a photograph's top class, by default
scikit-image's cat. `lime` runs with its default quickshift and its default number of features, on
one class; Captum and Xplique, which have no segments of their own or ask for them, with ours.
All score with this model in batches of 32. Sides take turns in one process, medians are given;
CPU time is the one to trust on a machine that others use. Libraries that are not installed are
left out: `pip install lime captum xplique`.

Stability is the mean correlation between the coefficients of runs that differ in the seed.
"""

import argparse
import functools
import importlib.util
import itertools
import json
import os
import sys
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[0] = os.path.join(os.path.dirname(__file__), "..")  # this file is not the library `lime`

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_explain.demo.imagenet import efficientnet_lite0, load_image  # noqa: E402
from keras_explain.lime import LimeImageExplainer  # noqa: E402
from keras_explain.superpixels import segment  # noqa: E402

MARKS = {"ours": {"share_of_predict": 0.7, "faster_than_lime": 2.5},
         "bfloat16": {"share_of_predict": 0.35, "correlation_with_float32": 0.99}}
NEEDS = {"lime": "lime", "captum": "captum", "xplique": "xplique"}


class Case:
    """A model, an image, its top class and its superpixels."""

    def __init__(self, path, samples):
        from skimage import data

        self.model, self.samples = efficientnet_lite0(), samples
        self.image = load_image(path or data.chelsea())
        self.segments = segment(self.image)
        self.top = int(self.predict(self.image[None]).argmax())

    def predict(self, images):
        return self.model.predict(images, batch_size=32, verbose=0)


def predict(case):
    """The floor of every library that calls the model: as many perturbed images."""
    keep = np.random.default_rng(0).integers(0, 2, (case.samples, case.segments.max() + 1))
    stack = np.where(keep.astype(bool)[:, case.segments, None], case.image, case.image.mean((0, 1)))
    return lambda seed, samples: case.predict(stack[:samples])


def ours(case, **options):
    explainer = LimeImageExplainer(case.model, **options)

    def run(seed, samples):
        found = explainer.explain(
            case.image, target=case.top, samples=samples, seed=seed, verbose=0)
        return found.weights[0], float(found.fidelity[0])

    return run


def lime(case):
    from lime.lime_image import LimeImageExplainer as Theirs

    def run(seed, samples):
        found = Theirs(random_state=seed).explain_instance(
            case.image.astype("uint8"), case.predict, top_labels=1, num_samples=samples,
            batch_size=32, random_seed=seed)
        weights = dict(found.local_exp[case.top])
        score = found.score[case.top] if isinstance(found.score, dict) else found.score
        return np.array([weights[i] for i in sorted(weights)]), float(score)

    return run


def captum(case):
    import torch
    from captum._utils.models.linear_model import SkLearnLinearRegression
    from captum.attr import Lime

    def forward(images):
        return torch.tensor(case.predict(images.permute(0, 2, 3, 1).numpy()))

    method = Lime(forward, interpretable_model=SkLearnLinearRegression())  # its Lasso gives zeros
    image = torch.tensor(case.image).permute(2, 0, 1)[None]
    labels = torch.tensor(case.segments.astype("int64"))[None, None]

    def run(seed, samples):
        torch.manual_seed(seed)
        weights = method.attribute(
            image, baselines=float(case.image.mean()), target=case.top, feature_mask=labels,
            n_samples=samples, perturbations_per_eval=32, return_input_shape=False)
        return weights[0].numpy(), None

    return run


def xplique(case):
    import tensorflow as tf
    from xplique.attributions import Lime

    gray = case.image.mean((0, 1)) / 255
    method = Lime(lambda images: case.model(images * 255, training=False), batch_size=32,
                  ref_value=gray,
                  map_to_interpret_space=lambda _: tf.constant(case.segments))
    target = tf.one_hot([case.top], 1000)
    firsts = np.unique(case.segments, return_index=True)[1]

    def run(seed, samples):
        method.nb_samples = samples  # what it draws goes on from run to run
        found = np.asarray(method.explain(case.image[None] / 255, target))
        return found.reshape(-1)[firsts], None

    return run


SIDES = {"predict": predict, "ours": ours,
         "bfloat16": functools.partial(ours, precision="bfloat16"),
         "quickshift": functools.partial(ours, segments="quickshift"),
         "lime": lime, "captum": captum, "xplique": xplique}


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def stability(runs):
    """Mean correlation of the coefficients of every two runs."""
    pairs = [correlation(a, b) for (a, _), (b, _) in itertools.combinations(runs, 2)]
    return round(float(np.mean(pairs)), 4) if pairs else None


def measure_time(case, options):
    sides = {}
    for name in options.sides:
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            print(json.dumps({"part": "time", "side": name, "skipped": "not installed"}))
        else:
            sides[name] = SIDES[name](case)
    spent, found = {name: [] for name in sides}, {name: [] for name in sides}
    for seed in range(options.repeats + 1):
        for name, run in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            result = run(seed, case.samples if seed else 96)
            if seed:  # the first call traces
                spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
                found[name].append(result)
    medians = {name: np.median(times, axis=0) for name, times in spent.items()}
    for name, (cpu, wall) in medians.items():
        line = {"part": "time", "side": name, "samples": case.samples, "cpu_s": round(cpu, 2),
                "wall_s": round(wall, 2), "marks": MARKS.get(name)}
        for other, key in (("predict", "share_of_predict"), ("lime", "faster_than_lime")):
            if other in medians:
                pair = (cpu, medians[other][0]), (wall, medians[other][1])
                shares = [a / b if other == "predict" else b / a for a, b in pair]
                line |= {f"{key}_cpu": round(shares[0], 3), f"{key}_wall": round(shares[1], 3)}
        if name != "predict":
            scores = [score for _, score in found[name] if score is not None]
            line |= {"features": len(found[name][0][0]), "stability": stability(found[name]),
                     "fidelity": round(float(np.mean(scores)), 4) if scores else None}
        if name == "bfloat16" and "ours" in found:
            pairs = zip(found["ours"], found["bfloat16"], strict=True)
            line["correlation_with_float32"] = round(
                float(np.mean([correlation(a, b) for (a, _), (b, _) in pairs])), 5)
        print(json.dumps(line), flush=True)


def measure_samples(case, options):
    """Correlation with a long run of independent masks, by sampler and number of samples."""
    make = functools.partial(LimeImageExplainer, case.model, segments=case.segments,
                             precision=options.precision)

    def explain(explainer, samples, seed):
        found = explainer.explain(
            case.image, target=case.top, samples=samples, seed=seed, verbose=0)
        return found.weights[0], float(found.fidelity[0])

    reference, _ = explain(make(sampler="bernoulli"), options.reference, 1000)
    curves = {}
    for sampler in ("hadamard", "bernoulli"):
        explainer, curves[sampler] = make(sampler=sampler), []
        for count in options.counts:
            runs = [explain(explainer, count, seed) for seed in range(options.seeds)]
            r = float(np.mean([correlation(weights, reference) for weights, _ in runs]))
            curves[sampler].append(r)
            print(json.dumps({
                "part": "samples", "sampler": sampler, "samples": count, "seeds": options.seeds,
                "correlation": round(r, 4), "stability": stability(runs),
                "fidelity": round(float(np.mean([score for _, score in runs])), 4),
            }), flush=True)
    shares = []
    for count, r in zip(options.counts, curves["hadamard"], strict=True):
        if min(curves["bernoulli"]) <= r <= max(curves["bernoulli"]):
            logs = np.log(1 - np.array(curves["bernoulli"]))
            needed = np.exp(np.interp(-np.log(1 - r), -logs, np.log(options.counts)))
            shares.append(count / needed)
            print(json.dumps({"part": "samples", "correlation": round(r, 4), "hadamard": count,
                              "independent": round(float(needed)),
                              "share": round(float(shares[-1]), 3)}), flush=True)
    print(json.dumps({"part": "samples", "mean_share": round(float(np.mean(shares)), 3),
                      "mark": 0.5}), flush=True)


PARTS = {"time": measure_time, "samples": measure_samples}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image", help="a photograph; default: scikit-image's cat")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--reference", type=int, default=16384)
    parser.add_argument("--counts", nargs="+", type=int, default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--precision", default="float32", help="of the samples part")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    keras.utils.set_random_seed(0)
    case = Case(options.image, options.samples)
    print(json.dumps({"part": "case", "backend": keras.backend.backend(), "class": case.top,
                      "superpixels": int(case.segments.max()) + 1}), flush=True)
    for part in options.parts:
        PARTS[part](case, options)


if __name__ == "__main__":
    main()
