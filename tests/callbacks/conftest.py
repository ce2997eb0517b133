"""A model that trains in a second, and logs read back."""

import pathlib

import cv2
import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture
def digits():
    """Gray images of two classes: bright above, bright below."""
    rng = np.random.default_rng(0)
    x = rng.random((48, 12, 10, 1), dtype="float32") * 0.3
    y = np.arange(48) % 2
    x[y == 0, :6] += 0.7
    x[y == 1, 6:] += 0.7
    return x, y


@pytest.fixture
def make_model():
    def make(seed=3, **compile_options):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([
            keras.Input((12, 10, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Conv2D(4, 3, activation="relu", name="last"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy", **compile_options)
        return model

    return make


class Log:
    """The events of one run's directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
        self.events.Reload()

    @property
    def tags(self):
        return sorted(self.events.Tags()["tensors"])

    def records(self, tag):
        """Those of a tag; blobs have one for each training, with its token behind."""
        own = [t for t in self.tags if t == tag or t.rpartition("/")[0] == tag]
        return [event for t in own for event in self.events.Tensors(t)]

    def steps(self, tag):
        return [event.step for event in self.records(tag)]

    def blobs(self, tag):
        return [list(event.tensor_proto.string_val) for event in self.records(tag)]

    def texts(self, tag):
        import json

        return [json.loads(blobs[0]) for blobs in self.blobs(tag)]

    def numbers(self, tag):
        return [event.tensor_proto.float_val[0] for event in self.events.Tensors(tag)]


@pytest.fixture
def read():
    return Log


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
