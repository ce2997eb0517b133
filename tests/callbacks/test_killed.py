"""A process that is killed while it logs: the log stays readable, and the next one goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from keras_explain.tensorboard import EventWriter

SIZE = 200_000


def write(log_dir):
    """Write one series without end, so that a kill falls into a record."""
    with EventWriter(log_dir) as writer:
        for step in range(10**9):
            writer.blobs("series", [bytes([step % 251]) * SIZE], step, plugin_name="test")
            if step % 10 == 0:
                print(step, flush=True)


def train(log_dir, first):
    """Train for ever from an epoch on, with three callbacks that write."""
    import keras

    import keras_explain as kx

    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((12, 10, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).random((16, 12, 10, 1), "float32"), np.arange(16) % 2
    explain = [kx.callbacks.GradCAMCallback(x[:3], y[:3], log_dir=log_dir),
               kx.callbacks.OcclusionCallback(x[:2], patch_size=4, log_dir=log_dir)]
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print(epoch, flush=True))
    model.fit(x, y, epochs=10**6, initial_epoch=int(first), verbose=0, callbacks=[*explain, tell])


def kill_after(count, pause, *arguments, **environment):
    """Run this file as a program, kill it after `count` lines; returns the last line."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        lines = [process.stdout.readline() for _ in range(count)]
        time.sleep(pause)
        assert process.poll() is None and lines[-1], process.stderr.read()[-3000:]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return int(lines[-1])


def kill_writers(directory, kills):
    """How many records lie in the logs of as many killed writers; all of them are whole."""
    pause, found = random.Random(0), []
    for i in range(kills):
        kill_after(3, pause.random() / 20, "write", directory / str(i))
        (file,) = (directory / str(i)).iterdir()
        events = [e for e in EventFileLoader(str(file)).Load() if e.summary.value]
        for step, event in enumerate(events):
            (blob,) = event.summary.value[0].tensor.string_val
            assert event.step == step and blob == bytes([step % 251]) * SIZE
        found.append(len(events))
    return found


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_whole_records(tmp_path, kills):
    found = kill_writers(tmp_path, kills)
    assert len(found) == kills and min(found) > 20


def check_training(directory, kills, **environment):
    """Kill a training that starts again each time; each epoch that was told of is in the log."""
    pause, first, told = random.Random(1), 0, []
    for _ in range(kills):
        last = kill_after(3, pause.random() / 5, "train", directory, first, **environment)
        told += range(first, last + 1)
        first = last + 1
    for name in ("grad_cam", "occlusion"):
        run = directory / "explanations" / name
        assert len(list(run.iterdir())) == kills
        log = event_accumulator.EventAccumulator(str(run), size_guidance={"tensors": 0})
        log.Reload()
        steps = log.Tensors(f"{name}/steps")
        for event in steps:
            assert len(json.loads(event.tensor_proto.string_val[0])["limits"]) > 1
        assert {e.step for e in steps} >= {-1, *told}, name
        maps = [t for t in log.Tags()["tensors"] if t.startswith(f"{name}/maps/")]
        assert len(maps) == kills  # one for each training, by its token
        assert sum(len(log.Tensors(t)) for t in maps) >= len(told)


def test_a_killed_training_goes_on_in_its_log(tmp_path):
    check_training(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_so_it_does_on_each_backend(tmp_path, backend):
    pytest.importorskip(backend)
    check_training(tmp_path, 5, KERAS_BACKEND=backend)


if __name__ == "__main__":
    {"write": write, "train": train}[sys.argv[1]](*sys.argv[2:])
