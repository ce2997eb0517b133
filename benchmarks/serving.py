"""What a reason costs when served: explained SavedModels against the plain model.

    python benchmarks/serving.py [--out FILE.json] [--images 1000] [--beam]

Exports EfficientNet-Lite0 (real weights, 224 x 224) plainly with `model.export` and explained
with `keras_explain.export`, loads both in one fresh process and times the signatures in turns,
so that a busy machine slows both alike. Times are CPU seconds (user + system, all threads) and
wall seconds; the ratio is the median of the ratios of neighboring calls. With --beam also the
Beam example against a plain loop over the same images.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]


def export_all(folder):
    """The plain and the explained export; returns the sizes in bytes."""
    import keras_explain as kx
    from keras_explain.demo import imagenet as _imagenet

    model = _imagenet.efficientnet_lite0()
    model.export(folder / "plain", verbose=False)
    kx.export(kx.grad_cam(model), folder / "explained", class_names=_imagenet.class_names())
    kx.export(kx.grad_cam(model), folder / "two_methods", class_names=_imagenet.class_names(),
              methods={"occlusion": kx.occlusion(model, patch_size=64, stride=32)})
    sizes = {name: size(folder / name) for name in ("plain", "explained", "two_methods")}
    return {**sizes, "weights": 4 * model.count_params()}


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def time_signatures(folder, repeats):
    """Runs in its own process: load times, and costs of the signatures in turns."""
    import tensorflow as tf

    report, loaded = {}, {}
    for name in ("plain", "explained"):
        started = time.time()
        loaded[name] = tf.saved_model.load(str(folder / name))
        report[f"load_{name}_s"] = time.time() - started
    plain = loaded["plain"].signatures["serving_default"]
    explain = loaded["explained"].signatures["explain"]
    by_bytes = loaded["explained"].signatures["explain_image"]
    (name,) = explain.structured_input_signature[1]
    (plain_name,) = plain.structured_input_signature[1]
    rng = np.random.default_rng(0)
    for batch in (1, 16):
        x = tf.constant(rng.uniform(0, 255, (batch, 224, 224, 3)).astype("float32"))
        jpeg = tf.stack([tf.io.encode_jpeg(tf.cast(image, tf.uint8)) for image in x])
        calls = {"plain": lambda x=x: plain(**{plain_name: x}),
                 "explain": lambda x=x: explain(**{name: x}),
                 "explain_image": lambda jpeg=jpeg: by_bytes(image_bytes=jpeg)}
        report[f"batch_{batch}"] = in_turns(calls, repeats if batch == 1 else repeats // 3)
    return report


def in_turns(calls, repeats):
    for call in calls.values():
        call()
        call()
    cpu, wall = {name: [] for name in calls}, {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.time(), time.process_time()
            [x.numpy() for x in call().values()]
            wall[name].append(time.time() - started[0])
            cpu[name].append(time.process_time() - started[1])
    report = {}
    for name in calls:
        report[name] = {
            "cpu_ms": 1000 * statistics.median(cpu[name]),
            "wall_ms": 1000 * statistics.median(wall[name]),
            "cpu_ratio": ratio(cpu[name], cpu["plain"]),
            "wall_ratio": ratio(wall[name], wall["plain"]),
        }
    return report


def ratio(times, reference):
    return statistics.median(a / b for a, b in zip(times, reference, strict=True))


def beam_against_loop(folder, count):
    """The Beam example and a plain loop that writes the same, on the same images."""
    sys.path.append(str(ROOT / "examples"))
    import explain_dataset_beam as example
    import tensorflow as tf

    from keras_explain.serving import SavedExplainer

    photos = folder / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (28, 28, 3)).astype("uint8").repeat(8, 0).repeat(8, 1)
        (photos / f"{i:05}.jpg").write_bytes(tf.io.encode_jpeg(pixels).numpy())
    report = {"images": count}
    for turn in (1, 2):
        started = time.time(), time.process_time()
        explain, rows = SavedExplainer(folder / "explained", "explain_image").load(), []
        (folder / f"loop{turn}").mkdir()
        names = sorted(str(p) for p in photos.iterdir())
        for start in range(0, count, 32):
            batch = names[start : start + 32]
            answer = explain({"image_bytes": [pathlib.Path(n).read_bytes() for n in batch]})
            rows += [(name, {k: v[i] for k, v in answer.items()}, "")
                     for i, name in enumerate(batch)]
            if len(rows) >= example.SHARD or start + 32 >= count:
                example.save_results(False, str(folder / f"loop{turn}"), str(start), rows)
                rows = []
        report[f"loop_{turn}"] = spent(started)
        started = time.time(), time.process_time()
        code = example.main([
            "--model", str(folder / "explained"), "--images", f"{photos}/*",
            "--output", str(folder / f"beam{turn}"), "--runner", "DirectRunner",
            "--direct_num_workers", "1"])
        assert code == 0
        report[f"beam_{turn}"] = spent(started)
    for what in ("wall_s", "cpu_s"):
        loops, beams = ([report[f"{kind}_{turn}"][what] for turn in (1, 2)]
                        for kind in ("loop", "beam"))
        report[f"overhead_{what}"] = min(beams) / min(loops) - 1
    return report


def spent(started):
    return {"wall_s": time.time() - started[0], "cpu_s": time.process_time() - started[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--beam", action="store_true", help="needs apache-beam")
    parser.add_argument("--time", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.time:
        print(json.dumps(time_signatures(options.time, options.repeats)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        report = {"bytes": export_all(folder), "load_average": os.getloadavg()}
        done = subprocess.run(
            [sys.executable, __file__, "--time", folder, "--repeats", str(options.repeats)],
            stdout=subprocess.PIPE, text=True, check=True)
        report.update(json.loads(done.stdout.splitlines()[-1]))
        if options.beam:
            report["beam"] = beam_against_loop(folder, options.images)
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
