"""The Beam example on the DirectRunner: nothing lost, bad images told, restarts finish."""

import json
import os
import pathlib
import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain import images

sys.path.append(str(pathlib.Path(__file__).parents[2] / "examples"))
example = pytest.importorskip("explain_dataset_beam")

pytestmark = pytest.mark.engines


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3))
    return images.encode_png(pixels.astype("uint8"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((16, 16, 3)), layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu", name="conv"), layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    ])
    return kx.export(kx.grad_cam(model, layer="conv"), tmp_path_factory.mktemp("model") / "1",
                     class_names=["a", "b", "c"])


def explain(exported, output, *arguments):
    return example.main(["--model", str(exported), "--output", str(output), *arguments,
                         "--runner", "DirectRunner", "--direct_num_workers", "1"])


def rows(folder):
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl"))
            for line in file.read_text("utf-8").split("\n") if line]


def test_a_folder_with_bad_images_and_a_restart(exported, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for i in range(20):
        (photos / f"{i}.png").write_bytes(png(i) if i % 5 else b"no image")
    assert explain(exported, out, "--images", f"{photos}/*", "--overlays") == 0
    assert json.loads((out / "summary.json").read_text()) == {
        "in": 20, "explained": 16, "failed": 4}
    failed = rows(out / "failed")
    assert sorted(pathlib.Path(r["name"]).stem for r in failed) == ["0", "10", "15", "5"]
    assert all("Expected the bytes of a whole JPEG" in r["error"] for r in failed)
    first = {r["name"]: r for r in rows(out / "results")}
    assert len(first) == 16
    check_against_the_model(exported, out, first)
    before = {f.name: f.stat().st_mtime_ns for f in (out / "results").iterdir()}

    (photos / "0.png").write_bytes(png(0))  # repaired
    (photos / "20.png").write_bytes(png(20))  # new
    assert explain(exported, out, "--images", f"{photos}/*") == 0
    assert json.loads((out / "summary.json").read_text()) == {
        "in": 21, "explained": 18, "failed": 3}
    after = {f.name: f.stat().st_mtime_ns for f in (out / "results").iterdir()}
    assert before.items() <= after.items()  # what was done is not done again
    names = [r["name"] for r in rows(out / "results")]
    assert len(names) == len(set(names)) == 18


def check_against_the_model(exported, out, found):
    from keras_explain.serving import SavedExplainer

    row = next(iter(found.values()))
    with np.load(out / "results" / row["arrays"]) as arrays:
        assert arrays["names"][row["row"]] == row["name"]
        heatmap = arrays["heatmaps"][row["row"]]
        assert arrays[f"overlay_{row['row']}.png"].tobytes().startswith(b"\x89PNG")
    data = pathlib.Path(row["name"]).read_bytes()
    answer = SavedExplainer(exported)({"image_bytes": [data]})
    np.testing.assert_allclose(heatmap, answer["heatmap"][0], rtol=2e-3, atol=1e-3)
    assert row["labels"] == [label.decode() for label in answer["top_labels"][0]]


def test_tf_records(exported, tmp_path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for record in examples_of(png(1), b"no image", png(2)):
            writer.write(record)
    out = tmp_path / "out"
    assert explain(exported, out, "--tfrecords", f"{tmp_path}/*.tfrecord") == 0
    assert json.loads((out / "summary.json").read_text()) == {
        "in": 3, "explained": 2, "failed": 1}


def examples_of(*pictures):
    import tensorflow as tf

    for data in pictures:
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
        features = tf.train.Features(feature={"image/encoded": feature})
        yield tf.train.Example(features=features).SerializeToString()


def test_names_that_are_no_utf8_or_hold_line_separators(exported, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    names = [b"plain.png", "line\u2028separator.png".encode(), b"not utf-8 \xff\xfe.png",
             "next\x85line.png".encode(), b"not utf-8 either \xff.png"]
    for i, name in enumerate(names):
        data = png(i) if i < 4 else b"no image"
        with open(os.path.join(os.fsencode(photos), name), "wb") as file:
            file.write(data)
    for _ in range(2):  # again: what is done is found under its name
        assert explain(exported, out, "--images", f"{photos}/*") == 0
        assert json.loads((out / "summary.json").read_text()) == {
            "in": 5, "explained": 4, "failed": 1}
        assert len(rows(out / "results")) == 4
    assert any("line\u2028separator.png" in row["name"] for row in rows(out / "results"))


def test_damaged_records_are_told_and_equal_ones_are_counted(exported, tmp_path):
    import tensorflow as tf

    good = list(examples_of(png(1), png(1), b"no image", b"no image", png(2)))
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for record in (*good, b"no Example", b"no Example"):
            writer.write(record)
    with tf.io.TFRecordWriter(str(tmp_path / "b.tfrecord")) as writer:
        for record in examples_of(png(3), png(4)):
            writer.write(record)
    whole = (tmp_path / "b.tfrecord").read_bytes()
    (tmp_path / "b.tfrecord").write_bytes(whole[:-40])
    out = tmp_path / "out"
    for _ in range(2):
        assert explain(exported, out, "--tfrecords", f"{tmp_path}/*.tfrecord") == 0
        assert json.loads((out / "summary.json").read_text()) == {
            "in": 9, "explained": 4, "failed": 5}
        assert len(rows(out / "results")) == 4
    errors = sorted(row["error"] for row in rows(out / "failed"))
    assert errors[0] == "Cannot be read after record 1: DataLossError"
    assert errors[-1].startswith("Expected the bytes of a whole JPEG")
    assert errors[1] == errors[2] == "Expected a tf.train.Example, received another record."


def test_lost_images_are_an_error(exported, tmp_path, monkeypatch):
    (tmp_path / "1.png").write_bytes(png(1))
    monkeypatch.setattr(example, "save_results", lambda *arguments: None)
    assert explain(exported, tmp_path / "out", "--images", f"{tmp_path}/*.png") == 1
