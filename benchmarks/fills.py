"""What stands in for a hidden patch decides much of a map: is the average of several fills better?

    python benchmarks/fills.py --out fills [--count 6] [--samples 256] [--steps 10]

Occlusion maps of EfficientNet-Lite0 (photographs that scikit-image embeds) by each fill, and by
the average of several. Three questions:

- faithfulness under a fill that was not used: deletion and insertion, in cells of 16 x 16 pixels,
  are judged by one fill after the other (and black); the average leaves the judge's fill out;
- agreement with LIME, whose superpixels take their own mean color: rank correlation of the map,
  summed over the superpixels, with LIME's weights;
- planted causes (`known_answer.py`): the share of the map's energy in the patch that decides.

The last table is the cost: CPU seconds of four fills over one.
"""

import argparse
import itertools
import os
import time

import numpy as np
import skimage.data
from known_answer import built, dataset
from scipy.stats import spearmanr

import keras_explain as kx
from keras_explain.demo import imagenet
from keras_explain.engine.hiding import SEVERAL
from keras_explain.lime import LimeImageExplainer

EMBEDDED = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins")
FILLS = ("zero", *SEVERAL)
PATCHES = {"patch_size": 32, "stride": 16, "score": "probability"}


def maps_of(model, x, fills, **options):
    """{fill: heatmaps (N, H, W)}, and the CPU seconds of each."""
    maps, seconds = {}, {}
    for fill in fills:
        explained = kx.occlusion(model, baseline=fill, **options)
        explained.predict(x[:1], verbose=0)
        start = time.process_time()
        maps[fill] = explained.predict(x, verbose=0)["heatmap"]
        seconds[fill] = time.process_time() - start
    return maps, seconds


def average(maps, without=None):
    """The mean of the maps of several fills, one of them left out."""
    return np.mean([maps[f] for f in SEVERAL if f != without], axis=0)


def faithfulness(model, x, maps, steps):
    """Insertion (more is better) and deletion (less is better) by each judge, as a table."""
    lines = ["| judged by | " + " | ".join((*FILLS, "average of the others")) + " |",
             "|---|" + "---|" * (len(FILLS) + 1)]
    evaluator = kx.metrics.Evaluator(model)
    unseen = {name: [] for name in (*FILLS, "average of the others")}
    for judge in FILLS:
        candidates = {**maps, "average of the others": average(maps, without=judge)}
        cells = []
        for name, heatmap in candidates.items():
            options = {"steps": steps, "patch_size": 16, "baseline": judge}
            up = kx.metrics.insertion(evaluator, x, heatmap, **options).mean()
            down = kx.metrics.deletion(evaluator, x, heatmap, **options).mean()
            cells.append(f"{up:.3f} / {down:.3f}" + (" (own)" if name == judge else ""))
            if name != judge:
                unseen[name].append(up - down)
        lines.append(f"| {judge} | " + " | ".join(cells) + " |")
    mean = [f"{np.mean(v):.3f}" for v in unseen.values()]
    return "\n".join([*lines, "| insertion - deletion, own judge left out | "
                      + " | ".join(mean) + " |"])


def agreement(model, x, maps, samples):
    """Rank correlation of superpixel sums with LIME's weights, mean over pictures."""
    explainer = LimeImageExplainer(model)
    found = {name: [] for name in (*FILLS, "average")}
    for i, image in enumerate(x):
        lime = explainer.explain(image, samples=samples, verbose=0)
        labels = lime.segments
        for name, heatmap in ({**maps, "average": average(maps)}).items():
            sums = np.bincount(labels.ravel(), heatmap[i].ravel())
            found[name].append(spearmanr(sums, lime.weights[0]).statistic)
    lines = ["| map | rank correlation with LIME |", "|---|---|"]
    return "\n".join([*lines, *(f"| {k} | {np.mean(v):.2f} |" for k, v in found.items())])


def disagreement(maps):
    """How far two fills tell the same, over all pairs of the four and all pictures."""
    pairs = [(maps[a][i], maps[b][i]) for a, b in itertools.combinations(SEVERAL, 2)
             for i in range(len(maps[a]))]
    ranks = np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs])
    peaks = np.mean([a.argmax() == b.argmax() for a, b in pairs])
    signs = np.mean(np.abs(np.sum([np.sign(maps[f]) for f in SEVERAL], axis=0)) == len(SEVERAL))
    return (f"Two of the four fills: rank correlation {ranks:.2f}, the same peak in"
            f" {peaks:.0%}; all four agree on the sign of {signs:.0%} of the pixels.")


def planted(count):
    """Energy in the cause and in the decoy, by fill."""
    model, (x, _, causes, decoys) = built(), dataset(count)
    maps, _ = maps_of(model, x, FILLS, patch_size=8, stride=4, score="probability")
    lines = ["| map | energy in the cause | in the decoy |", "|---|---|---|"]
    for name, heatmap in ({**maps, "average": average(maps)}).items():
        shares = []
        for boxes in (causes, decoys):
            inside = [np.abs(h[t:b, left:r]).sum() / np.abs(h).sum()
                      for h, (t, left, b, r) in zip(heatmap, boxes, strict=True)]
            shares.append(np.mean(inside))
        lines.append(f"| {name} | {shares[0]:.2f} | {shares[1]:.2f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="fills", help="folder to write")
    parser.add_argument("--count", type=int, default=6, help="photographs")
    parser.add_argument("--samples", type=int, default=256, help="of LIME")
    parser.add_argument("--steps", type=int, default=10, help="of the curves")
    options = parser.parse_args()
    model = imagenet.efficientnet_lite0()
    pictures = EMBEDDED[: options.count]
    x = np.stack([imagenet.load_image(getattr(skimage.data, name)()) for name in pictures])
    maps, seconds = maps_of(model, x, (*FILLS, "several"), **PATCHES)
    one = np.mean([seconds[f] for f in SEVERAL])
    cost = (f"Four fills take {seconds['several'] / one:.2f} times as long as one"
            f" ({seconds['several']:.1f} s and {one:.1f} s of CPU for {len(x)} pictures).")
    maps.pop("several")
    parts = [disagreement(maps), faithfulness(model, x, maps, options.steps),
             agreement(model, x, maps, options.samples), planted(24), cost]
    text = "\n\n".join(parts) + "\n"
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "fills.md"), "w") as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    main()
