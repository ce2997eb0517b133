"""Explain millions of images with Apache Beam: predictions, heatmaps, and no image lost.

    python examples/explain_dataset_beam.py --model served/1 --images 'photos/**' --output out

runs here, on Beam's DirectRunner. The same file runs on Flink, Spark or Dataflow with their
`--runner` options (docs/scale.md). Under `--output`:

- `results/NAME.jsonl`: a line for each explained image: name, top labels and scores, and where
  its arrays are;
- `results/NAME.npz`: `names`, `predictions`, `heatmaps` (float16) of the same images, and their
  overlays as PNG with `--overlays`;
- `failed/NAME.jsonl`: a line for each image that could not be explained, with the reason;
- `summary.json`: counts. Images in = explained + failed, or the exit code is 1.

A shard appears whole or not at all, its .jsonl last. Start the same command again after an
interruption: what has a line in `results` is not computed again, what failed is tried again.
"""

import argparse
import hashlib
import io
import json
import os
import pathlib
import re
import sys

import apache_beam as beam
import numpy as np
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from keras_explain.serving import ERROR, SavedExplainer

COPY = re.compile(r"(?<=#[0-9a-f]{16})~[0-9]+$")  # what an equal record has behind its name
SHARD = 256  # images; what an interruption loses at most, for each worker


class ExplainHandler(ModelHandler):
    """Beam's face of `SavedExplainer`: (name, bytes) in, (name, answer or None, error) out."""

    def __init__(self, path, batch_size):
        self.explain, self.batch_size = SavedExplainer(path, "explain_image"), batch_size

    def load_model(self):
        return self.explain.load()

    def run_inference(self, batch, model, inference_args=None):
        answer = model({"image_bytes": [data for _, data in batch]})
        errors = answer.pop(ERROR)
        for row, (name, _) in enumerate(batch):
            fine = {key: column[row] for key, column in answer.items()}
            yield name, None if errors[row] else fine, errors[row]

    def batch_elements_kwargs(self):
        return {"min_batch_size": 1, "max_batch_size": self.batch_size}

    def get_num_bytes(self, batch):
        return sum(len(data) for _, data in batch)


class ReadImage(beam.DoFn):
    """(name, path) to (name, bytes); files that cannot be read go to the output `failed`."""

    def process(self, element):
        name, path = element
        try:
            with FileSystems.open(os.fsdecode(path)) as file:
                yield name, file.read()
        except Exception as error:  # a full disk, a lost right: the reason is kept
            failed = name, None, f"Cannot be read: {type(error).__name__}"
            yield beam.pvalue.TaggedOutput("failed", failed)


class WriteShards(beam.DoFn):
    """Writes a bundle in shards, each at once, under a name that its images give it."""

    def __init__(self, folder, save):
        self.folder, self.save, self.rows = folder, save, []

    def start_bundle(self):
        self.rows = []

    def process(self, row):
        self.rows.append(row)
        if len(self.rows) >= SHARD:
            self._flush()

    def finish_bundle(self):
        self._flush()

    def _flush(self):
        if self.rows:
            names = "\n".join(sorted(row[0] for row in self.rows))
            stem = hashlib.sha1(names.encode()).hexdigest()[:20]
            FileSystems.mkdirs(self.folder) if not FileSystems.exists(self.folder) else None
            self.save(self.folder, stem, self.rows)
            self.rows = []


def save_results(overlays, folder, stem, rows):
    """One .npz with the arrays, then one .jsonl that says they are complete."""
    columns = {"names": np.array([name for name, _, _ in rows]),
               "predictions": np.stack([answer["predictions"] for _, answer, _ in rows]),
               "heatmaps": np.stack([answer["heatmap"] for _, answer, _ in rows])}
    columns["heatmaps"] = columns["heatmaps"].astype("float16")
    for i, (_, answer, _) in enumerate(rows if overlays else ()):
        columns[f"overlay_{i}.png"] = np.frombuffer(answer["overlay_bytes"], "uint8")
    packed = io.BytesIO()
    np.savez_compressed(packed, **columns)
    write_whole(FileSystems.join(folder, f"{stem}.npz"), packed.getvalue())
    lines = [{"name": name, "row": i, "arrays": f"{stem}.npz", **top(answer)}
             for i, (name, answer, _) in enumerate(rows)]
    write_whole(FileSystems.join(folder, f"{stem}.jsonl"), as_lines(lines))


def save_failed(folder, stem, rows):
    lines = [{"name": name, "error": error} for name, _, error in rows]
    write_whole(FileSystems.join(folder, f"{stem}.jsonl"), as_lines(lines))


def top(answer):
    if "top_labels" not in answer:
        return {}
    return {"labels": [label.decode() for label in answer["top_labels"]],
            "scores": [round(float(score), 6) for score in answer["top_scores"]]}


def as_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_whole(path, data):
    """Write a file that appears complete or not at all."""
    scratch = f"{path}.writing"
    with FileSystems.create(scratch) as file:
        file.write(data)
    if FileSystems.exists(path):
        FileSystems.delete([path])
    FileSystems.rename([scratch], [path])


def lines_of(pattern):
    """All rows of the .jsonl files that match."""
    for match in FileSystems.match([pattern])[0].metadata_list:
        with FileSystems.open(match.path) as file:
            yield from rows_of(file.read().decode())


def rows_of(text):
    """The rows of a .jsonl file. `splitlines` would also split at U+2028 within a name."""
    return [json.loads(line) for line in text.split("\n") if line]


def images_in_files(pipeline, pattern, done):
    """(name, bytes) of each file not yet done. Names are paths; only they are shuffled."""
    names = (
        pipeline
        | "Match" >> fileio.MatchFiles(pattern)
        | "Name" >> beam.Map(lambda match: (printable(match.path), os.fsencode(match.path)))
        | "CountIn" >> beam.Map(counted, "in")
    )
    read = (
        not_done(names, done)
        | "Read" >> beam.ParDo(ReadImage()).with_outputs("failed", main="images")
    )
    return read.images, read.failed


def printable(path):
    """The path as a name that can be written as UTF-8, and that no other path has."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raw = os.fsencode(path)
        return f"{raw.decode('utf-8', 'backslashreplace')}#{hashlib.sha1(raw).hexdigest()[:8]}"
    return path


def not_done(named, done):
    """The elements (name, value) that are not in `done`, spread over the workers.

    Equal elements have one name; the second and later ones get a number behind it.
    """
    def still_to_do(item):
        name, joined = item
        finished = set(joined["done"])
        for number, value in enumerate(joined["given"], 1):
            copy = name if number == 1 else f"{name}~{number}"
            if copy not in finished:
                yield copy, value

    return (
        {"given": named, "done": done}
        | "Join" >> beam.CoGroupByKey()
        | "StillToDo" >> beam.FlatMap(still_to_do)
    )


class ReadRecords(beam.DoFn):
    """A path to (name, image) of each tf.train.Example in it; the name is file and content hash.

    What is no Example, and the rest of a file that is cut short, go to the output `failed`.
    """

    def __init__(self, feature):
        self.feature = feature

    def process(self, path):
        import tensorflow as tf

        kind = "GZIP" if path.endswith(".gz") else ""
        records, count = iter(tf.data.TFRecordDataset(path, kind)), 0
        while True:
            try:
                data = next(records).numpy()
            except StopIteration:
                return
            except tf.errors.OpError as error:
                reason = f"Cannot be read after record {count}: {type(error).__name__}"
                yield beam.pvalue.TaggedOutput("failed", counted((path, None, reason), "in"))
                return
            count += 1
            name = f"{path}#{hashlib.sha1(data).hexdigest()[:16]}"
            yield self._parsed(name, f"{name}.{count}", data)

    def _parsed(self, name, numbered, data):
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        try:
            example = tf.train.Example.FromString(data)
        except DecodeError:
            failed = numbered, None, "Expected a tf.train.Example, received another record."
            return beam.pvalue.TaggedOutput("failed", counted(failed, "in"))
        values = example.features.feature[self.feature].bytes_list.value
        return counted((name, values[0] if values else b""), "in")


def images_in_records(pipeline, pattern, feature, done):
    """(name, bytes) of each record not yet done."""
    read = (
        pipeline
        | "Match" >> fileio.MatchFiles(pattern)
        | "Path" >> beam.Map(lambda match: match.path)
        | "Spread" >> beam.Reshuffle()
        | "Records" >> beam.ParDo(ReadRecords(feature)).with_outputs("failed", main="images")
    )
    return not_done(read.images, done), read.failed


def counted(element, name):
    beam.metrics.Metrics.counter("explain", name).inc()
    return element


def run(options, beam_arguments=()):
    """Build and run the pipeline; returns the counts."""
    results = FileSystems.join(options.output, "results")
    failed = FileSystems.join(options.output, "failed")
    earlier = FileSystems.match([FileSystems.join(failed, "*.jsonl")])[0].metadata_list
    FileSystems.delete([match.path for match in earlier])
    pipeline = beam.Pipeline(options=PipelineOptions(list(beam_arguments)))
    done = (
        pipeline
        | "Results" >> fileio.MatchFiles(FileSystems.join(results, "*.jsonl"))
        | "ReadResults" >> fileio.ReadMatches()
        | "Done" >> beam.FlatMap(
            lambda file: [(COPY.sub("", row["name"]), row["name"])
                          for row in rows_of(file.read_utf8())])
    )
    if options.images:
        images, unread = images_in_files(pipeline, options.images, done)
    else:
        images, unread = images_in_records(pipeline, options.tfrecords, options.feature, done)
    explained = images | "Explain" >> RunInference(
        ExplainHandler(options.model, options.batch_size))
    good = explained | "Good" >> beam.Filter(lambda row: not row[2])
    bad = explained | "Bad" >> beam.Filter(lambda row: bool(row[2]))
    bad = (bad, unread) | "AllBad" >> beam.Flatten()

    def save(folder, stem, rows):
        save_results(options.overlays, folder, stem, rows)

    good | "WriteResults" >> beam.ParDo(WriteShards(results, save))
    bad | "WriteFailed" >> beam.ParDo(WriteShards(failed, save_failed))
    outcome = pipeline.run()
    outcome.wait_until_finish()
    found = outcome.metrics().query(beam.metrics.MetricsFilter().with_name("in"))["counters"]
    return summary(options.output, sum(counter.result for counter in found))


def summary(output, count):
    """Count what was written, and keep it."""
    explained = {row["name"] for row in lines_of(FileSystems.join(output, "results", "*.jsonl"))}
    failed = {row["name"] for row in lines_of(FileSystems.join(output, "failed", "*.jsonl"))}
    counts = {"in": count, "explained": len(explained), "failed": len(failed)}
    write_whole(FileSystems.join(output, "summary.json"), json.dumps(counts).encode())
    return counts


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder that keras_explain.export wrote")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", help="pattern of image files, as 'photos/**'")
    source.add_argument("--tfrecords", help="pattern of TFRecord files of tf.train.Example")
    parser.add_argument("--feature", default="image/encoded", help="where their bytes are")
    parser.add_argument("--output", required=True, help="folder for results")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--overlays", action="store_true", help="keep the PNG overlays as well")
    options, beam_arguments = parser.parse_known_args(arguments)
    if "://" not in options.output:
        pathlib.Path(options.output).mkdir(parents=True, exist_ok=True)
    counts = run(options, beam_arguments)
    print(json.dumps(counts))
    return 0 if counts["in"] == counts["explained"] + counts["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
