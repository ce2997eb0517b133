"""Ray Data and Spark on two nodes, of which one is killed in the middle: as many out as went in."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain import images

pytestmark = pytest.mark.engines
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
COUNT, BROKEN = 2000, 50  # every 50th is no image


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """(an export, a folder of 2,000 images)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((16, 16, 3)), layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu", name="conv"), layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    ])
    folder = tmp_path_factory.mktemp("clusters")
    path = kx.export(kx.grad_cam(model, layer="conv"), folder / "1", class_names=["a", "b", "c"])
    photos = folder / "photos"
    photos.mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3)).astype("uint8")
        (photos / f"{i}.png").write_bytes(images.encode_png(pixels) if i % BROKEN else b"none")
    return path, photos


@pytest.fixture
def examples(monkeypatch):
    """The examples can be imported here and in workers."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)


class Killer(threading.Thread):
    """Kills a node once the first results are written."""

    def __init__(self, output, kill):
        super().__init__(daemon=True)
        self.output, self.kill, self.done = output, kill, False

    def run(self):
        end = time.monotonic() + 120
        while time.monotonic() < end and not list(self.output.rglob("*.parquet")):
            time.sleep(0.1)
        self.kill()
        self.done = True


def check(output, counts, killer):
    killer.join(30)
    assert killer.done
    assert counts == {"in": COUNT, "explained": COUNT - COUNT // BROKEN,
                      "failed": COUNT // BROKEN}
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(output, columns=["path", "error"]).to_pydict()
    assert len(rows["path"]) == len(set(rows["path"])) == COUNT
    failed = {pathlib.Path(p).stem for p, e in zip(rows["path"], rows["error"], strict=True) if e}
    assert failed == {str(i) for i in range(0, COUNT, BROKEN)}


@pytest.mark.filterwarnings("ignore")
def test_ray_on_two_nodes(given, examples, tmp_path):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    example = pytest.importorskip("explain_dataset_ray")
    memory = {"object_store_memory": 200_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
    try:
        nodes = [cluster.add_node(num_cpus=2, **memory) for _ in range(2)]
        ray.init(address=cluster.address)
        killer = Killer(tmp_path / "out",
                        lambda: cluster.remove_node(nodes[0], allow_graceful=False))
        killer.start()
        counts = example.explain_images(*given, tmp_path / "out", workers=2)
        check(tmp_path / "out", counts, killer)
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
@pytest.mark.filterwarnings("ignore")
def test_spark_on_two_executors(given, examples, tmp_path):
    sql = pytest.importorskip("pyspark.sql")
    example = pytest.importorskip("explain_dataset_spark")
    spark = (sql.SparkSession.builder.master("local-cluster[2,1,1024]")
             .config("spark.ui.enabled", "false").config("spark.executor.memory", "1g")
             .config("spark.driver.host", "127.0.0.1").getOrCreate())

    def kill_an_executor():
        found = subprocess.run(["pgrep", "-f", "CoarseGrainedExecutorBackend"], text=True,
                               capture_output=True, check=True).stdout.split()
        os.kill(int(found[-1]), signal.SIGKILL)

    try:
        killer = Killer(tmp_path / "out", kill_an_executor)
        killer.start()
        counts = example.explain_images(spark, *given, tmp_path / "out")
        check(tmp_path / "out", counts, killer)
    finally:
        spark.stop()
