"""Explain many images with Ray Data: predictions, heatmaps, and no image lost.

    python examples/explain_dataset_ray.py --model served/1 --images photos --output out

starts Ray on this machine, or joins the cluster that `--address` names. Under `--output` lie
Parquet files with a row for each image: its path, the top labels and scores, the heatmap, and the
reason in `error` where an image could not be explained. Needs `pip install "keras3-explain[ray]"`.

Ray repeats the batches of a node that dies. A batch is a pure function of its images, so that the
rows come out once and the same.
"""

import argparse
import json

import numpy as np
import ray

from keras_explain.serving import ERROR, SavedExplainer


class Explain:
    """The model once in each worker; then batches of bytes in, columns out."""

    def __init__(self, path):
        self.explain = SavedExplainer(path, "explain_image").load()

    def __call__(self, batch):
        answer = self.explain({"image_bytes": list(batch["bytes"])})
        rows = {"path": batch["path"], ERROR: answer[ERROR].astype(str)}
        for name in ("top_labels", "top_scores"):
            if name in answer:
                rows[name] = [np.asarray(row).tolist() for row in answer[name]]
        rows["top_labels"] = [[x.decode() if isinstance(x, bytes) else x for x in row]
                              for row in rows.get("top_labels", [[]] * len(rows["path"]))]
        rows["heatmap"] = answer["heatmap"].astype("float16").astype("float32")
        return rows


def explain_images(model, images, output, batch_size=32, workers=1):
    """Explain a folder of images and return {"in", "explained", "failed"}."""
    found = ray.data.read_binary_files(str(images), include_paths=True)
    explained = found.map_batches(
        Explain, fn_constructor_args=(str(model),), batch_size=batch_size,
        concurrency=workers)  # leave a CPU over for reading
    explained.write_parquet(str(output))
    errors = [bool(row[ERROR]) for row in ray.data.read_parquet(
        str(output), columns=[ERROR]).iter_rows()]
    return {"in": found.count(), "explained": len(errors) - sum(errors), "failed": sum(errors)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a folder that `keras_explain.export` wrote")
    parser.add_argument("--images", required=True, help="a folder that every node can read")
    parser.add_argument("--output", required=True, help="a folder that every node can write")
    parser.add_argument("--address", help="of a cluster; without it Ray starts on this machine")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="processes that hold the model")
    given = parser.parse_args(arguments)
    if not ray.is_initialized():
        ray.init(given.address)
    counts = explain_images(given.model, given.images, given.output, given.batch_size,
                            given.workers)
    print(json.dumps(counts))
    return 0 if counts["in"] == counts["explained"] + counts["failed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
