"""Explain many images with PySpark: predictions, heatmaps, and no image lost.

    python examples/explain_dataset_spark.py --model served/1 --images photos --output out

starts Spark on this machine; with `spark-submit` it runs on a cluster whose workers have this
package. Under `--output` lie Parquet files with a row for each image: its path, the top labels and
scores, the heatmap with its height and width, and the reason in `error` where an image could not be
explained. Needs `pip install "keras3-explain[spark]"` and Java.

Spark repeats the partitions of an executor that dies. A partition is a pure function of its
images, so that the rows come out once and the same.
"""

import argparse
import json

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from keras_explain.serving import ERROR, SavedExplainer

COLUMNS = ("path string, error string, top_labels array<string>, top_scores array<float>,"
           " heatmap array<float>, height int, width int")


def make_explain(model):
    """A function for `mapInPandas`, which loads the model once in each of its partitions."""
    explainer = SavedExplainer(model, "explain_image")  # small: it loads where it is called

    def explain(batches):
        for batch in batches:
            answer = explainer({"image_bytes": list(batch["content"])})
            rows = len(batch)
            heatmaps = answer["heatmap"]
            labels = answer.get("top_labels", [[]] * rows)
            yield pd.DataFrame({
                "path": batch["path"].to_numpy(), ERROR: answer[ERROR].astype(str),
                "top_labels": [[x.decode() if isinstance(x, bytes) else str(x) for x in row]
                               for row in labels],
                "top_scores": [np.asarray(row, float).tolist()
                               for row in answer.get("top_scores", [[]] * rows)],
                "heatmap": [h.ravel().astype(float).tolist() for h in heatmaps],
                "height": [h.shape[0] for h in heatmaps], "width": [h.shape[1] for h in heatmaps],
            })

    return explain


def explain_images(spark, model, images, output, batch_size=32, partitions=8):
    """Explain a folder of images and return {"in", "explained", "failed"}."""
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", batch_size)
    found = spark.read.format("binaryFile").load(str(images)).select("path", "content")
    explained = found.repartition(partitions).mapInPandas(make_explain(str(model)), COLUMNS)
    explained.write.mode("overwrite").parquet(str(output))
    written = spark.read.parquet(str(output))
    failed = written.where(written[ERROR] != "").count()
    return {"in": found.count(), "explained": written.count() - failed, "failed": failed}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a folder that `keras_explain.export` wrote")
    parser.add_argument("--images", required=True, help="a folder that every worker can read")
    parser.add_argument("--output", required=True, help="a folder that every worker can write")
    parser.add_argument("--master", help="as spark-submit's; without it the configured one")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--partitions", type=int, default=8, help="what is repeated as a whole")
    given = parser.parse_args(arguments)
    builder = SparkSession.builder.appName("explain")
    spark = (builder.master(given.master) if given.master else builder).getOrCreate()
    counts = explain_images(spark, given.model, given.images, given.output, given.batch_size,
                            given.partitions)
    print(json.dumps(counts))
    return 0 if counts["in"] == counts["explained"] + counts["failed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
