"""Event files: read back by TensorBoard's own reader, and on a disk that fails."""

import struct
import subprocess
import sys
import threading
import zlib

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from keras_explain import images
from keras_explain.tensorboard import EventWriter, tfrecord, writer

KEEP_ALL = {"tensors": 0, "images": 0, "scalars": 0}


def read(directory):
    accumulator = EventAccumulator(str(directory), size_guidance=KEEP_ALL)
    accumulator.Reload()
    return accumulator


def raw_events(directory):
    (path,) = directory.iterdir()
    return [event_pb2.Event.FromString(data) for data in RawEventFileLoader(str(path)).Load()]


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def test_images_come_back_to_the_pixel(tmp_path, photo):
    with EventWriter(tmp_path) as log:
        for step in (0, 1, 7):
            log.image("grad_cam/0", photo + np.uint8(step), step, description="*why*")
    accumulator = read(tmp_path)
    assert accumulator.Tags()["tensors"] == ["grad_cam/0"]
    events = accumulator.Tensors("grad_cam/0")
    assert [event.step for event in events] == [0, 1, 7]
    for event in events:
        width, height, png = event.tensor_proto.string_val
        assert (width, height) == (b"40", b"24")
        np.testing.assert_array_equal(decode(png)[..., ::-1], photo + np.uint8(event.step))
    metadata = accumulator.SummaryMetadata("grad_cam/0")
    assert metadata.plugin_data.plugin_name == "images"
    assert metadata.data_class == summary_pb2.DATA_CLASS_BLOB_SEQUENCE
    assert metadata.summary_description == "*why*"


def test_the_tensor_is_that_of_tensorflow(tmp_path, photo):
    tf = pytest.importorskip("tensorflow")
    with tf.summary.create_file_writer(str(tmp_path / "theirs")).as_default():
        tf.summary.image("grad_cam/0", photo[None], step=3)
        tf.summary.scalar("loss", 0.25, step=3)
        tf.summary.text("notes", "**bold**", step=3)
    with EventWriter(tmp_path / "ours") as log:
        log.image("grad_cam/0", photo, 3)
        log.scalar("loss", 0.25, 3)
        log.text("notes", "**bold**", 3)
    ours, theirs = read(tmp_path / "ours"), read(tmp_path / "theirs")
    assert ours.Tags() == theirs.Tags()
    for tag in ("grad_cam/0", "loss", "notes"):
        # TensorFlow leaves the data class out, and the loaders add it for these three plugins.
        assert ours.SummaryMetadata(tag).plugin_data == theirs.SummaryMetadata(tag).plugin_data
        our_value = tf.make_ndarray(ours.Tensors(tag)[0].tensor_proto)
        their_value = tf.make_ndarray(theirs.Tensors(tag)[0].tensor_proto)
        assert (our_value.dtype, our_value.shape) == (their_value.dtype, their_value.shape)
        if tag == "grad_cam/0":
            our_value, their_value = ([*v[:2], decode(v[2])] for v in (our_value, their_value))
            np.testing.assert_array_equal(our_value.pop(), their_value.pop())
        assert our_value == their_value


def test_images_can_be_png_bytes_and_gray(tmp_path, photo):
    png = images.encode_png(photo)
    with EventWriter(tmp_path) as log:
        log.image("png", png, 0)
        log.image("native", photo[:7, :5, 0], 0)
    accumulator = read(tmp_path)
    assert accumulator.Tensors("png")[0].tensor_proto.string_val[:] == [b"40", b"24", png]
    width, height, gray = accumulator.Tensors("native")[0].tensor_proto.string_val
    assert (width, height) == (b"5", b"7")
    np.testing.assert_array_equal(decode(gray), photo[:7, :5, 0])


def test_scalars_and_text(tmp_path):
    with EventWriter(tmp_path) as log:
        log.scalar("loss", np.float32(0.25), np.int64(3))
        log.scalar("loss", float("nan"), 4)
        log.text("notes", "**bold** é", 3)
    accumulator = read(tmp_path)
    loss = accumulator.Tensors("loss")
    assert [event.step for event in loss] == [3, 4]
    assert loss[0].tensor_proto.float_val[:] == [0.25]
    assert np.isnan(loss[1].tensor_proto.float_val[0])
    assert accumulator.SummaryMetadata("loss").data_class == summary_pb2.DATA_CLASS_SCALAR
    assert accumulator.Tensors("notes")[0].tensor_proto.string_val[:] == ["**bold** é".encode()]
    assert accumulator.SummaryMetadata("notes").data_class == summary_pb2.DATA_CLASS_TENSOR
    assert accumulator.SummaryMetadata("notes").plugin_data.plugin_name == "text"


def test_blobs_belong_to_the_plugin_that_is_named(tmp_path):
    with EventWriter(tmp_path) as log:
        log.blobs("method/0", [b"{}", b"\x00\xff"], 5, plugin_name="explanations")
    accumulator = read(tmp_path)
    assert accumulator.Tensors("method/0")[0].tensor_proto.string_val[:] == [b"{}", b"\x00\xff"]
    metadata = accumulator.SummaryMetadata("method/0")
    assert metadata.plugin_data.plugin_name == "explanations"
    assert metadata.data_class == summary_pb2.DATA_CLASS_BLOB_SEQUENCE


@pytest.mark.parametrize(
    "tag, expected",
    [
        ("grad_cam/layer-3.0 x", "grad_cam/layer-3.0 x"),
        ('say "cat"\\', "say _cat__"),
        ("line\nbreak: 5 %", "line_break_ 5 _"),
        ("猫", "u732b"),
        ("café", "cafu00e9"),
        ("😀", "_"),
    ],
)
def test_tags_are_made_safe_and_shown_as_they_were(tmp_path, tag, expected):
    assert writer.safe_tag(tag) == expected
    with EventWriter(tmp_path) as log:
        log.scalar(tag, 1.0, 0)
    accumulator = read(tmp_path)
    assert accumulator.Tags()["tensors"] == [expected]
    shown = accumulator.SummaryMetadata(expected).display_name
    assert shown == ("" if tag == expected else tag)


def test_other_alphabets_stay_apart():
    assert writer.safe_tag("grad_cam/猫") != writer.safe_tag("grad_cam/犬")


def test_records_can_be_read_while_the_file_is_open(tmp_path):
    log = EventWriter(tmp_path)
    log.scalar("loss", 1.0, 0)
    assert len(read(tmp_path).Tensors("loss")) == 1
    log.scalar("loss", 2.0, 1)
    log.flush()
    assert len(read(tmp_path).Tensors("loss")) == 2
    log.close()


def test_two_writers_of_a_directory_have_a_file_each(tmp_path):
    with EventWriter(tmp_path), EventWriter(str(tmp_path)):
        names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2
    assert all(name.startswith("events.out.tfevents.") for name in names)


def test_the_first_event_is_the_version(tmp_path):
    EventWriter(tmp_path / "a" / "b").close()
    (event,) = raw_events(tmp_path / "a" / "b")
    assert event.file_version == "brain.Event:2"


@pytest.mark.parametrize("size", [*range(4, 40), 127, 128, 255, 256, 1000, 4096, 65_537, 300_001])
def test_the_checksum_is_tensorboards(size):
    data = np.random.default_rng(size).bytes(size)
    assert tfrecord._masked_checksum(data) == struct.pack("<I", masked_crc32c(data))


def test_the_checksum_of_the_standard():
    assert tfrecord._crc32c(b"123456789") == 0xE3069283  # RFC 3720
    assert tfrecord._crc32c(bytes(32)) == 0x8A9136AA
    assert tfrecord._crc32c(b"\xff" * 32) == 0x62A8AB43
    assert zlib.crc32(b"123456789") != 0xE3069283


class TestFailingDisk:
    def test_a_file_in_the_directorys_place(self, tmp_path):
        (tmp_path / "logs").write_text("")
        with pytest.raises(OSError):
            EventWriter(tmp_path / "logs")
        with pytest.raises(OSError):
            EventWriter(tmp_path / "logs" / "run")

    def test_a_directory_that_went_away(self, tmp_path, monkeypatch):
        monkeypatch.setattr("os.makedirs", lambda *args, **kwargs: None)
        with pytest.raises(OSError):
            EventWriter(tmp_path / "gone")

    def test_a_full_disk_raises_in_the_call_and_the_file_stays_whole(self, tmp_path, photo):
        resource = pytest.importorskip("resource")
        log = EventWriter(tmp_path)
        log.image("image", photo, 0)
        (path,) = tmp_path.iterdir()
        size = path.stat().st_size
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                log.image("image", photo, 1)
            assert path.stat().st_size == size
            log.scalar("loss", 0.5, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        log.image("image", photo, 2)
        log.close()
        steps = [event.step for event in raw_events(tmp_path)]
        assert steps == [0, 0, 1, 2]

    def test_no_thread_is_left(self, tmp_path):
        before = threading.active_count()
        with EventWriter(tmp_path):
            assert threading.active_count() == before


def test_after_close_nothing_can_be_written(tmp_path):
    log = EventWriter(tmp_path)
    log.close()
    log.close()
    with pytest.raises(ValueError):
        log.scalar("loss", 1.0, 0)


def test_remote_directories_go_through_tensorboards_file_systems(photo):
    tf = pytest.importorskip("tensorflow")
    directory = "ram://keras_explain/test_writer"
    with EventWriter(directory) as log:
        log.image("grad_cam/0", photo, 3)
        log.flush()
    (name,) = tf.io.gfile.listdir(directory)
    (_, record) = tf.data.TFRecordDataset(f"{directory}/{name}")
    event = event_pb2.Event.FromString(record.numpy())
    assert event.step == 3
    with pytest.raises(ValueError, match="received a closed one"):
        log.scalar("loss", 1.0, 0)
    with pytest.raises(OSError, match="Could not write the TensorBoard log nosuch://bucket"):
        EventWriter("nosuch://bucket")


def test_errors(tmp_path, photo):
    with EventWriter(tmp_path) as log:
        with pytest.raises(TypeError, match="received float64. Call to_uint8 first"):
            log.image("a", photo / 255, 0)
        with pytest.raises(ValueError, match="bytes of a PNG file"):
            log.image("a", b"\xff\xd8\xff\xe0 a JPEG", 0)
        with pytest.raises(ValueError, match="Expected a tag"):
            log.scalar(" ", 1.0, 0)
        with pytest.raises(TypeError, match="Expected an integer step, received 0.5"):
            log.scalar("a", 1.0, 0.5)
    assert len(raw_events(tmp_path)) == 1


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_without_tensorboard_the_error_says_what_to_install(tmp_path):
    result = run(
        "import sys; sys.modules['tensorboard'] = None\n"
        "from keras_explain.tensorboard import EventWriter\n"
        f"try: EventWriter({str(tmp_path)!r})\n"
        "except ImportError as error: print(error)"
    )
    assert "pip install 'tensorboard>=2.21'" in result.stdout, result.stderr


def test_nothing_is_printed_and_tensorflow_is_not_imported(tmp_path):
    result = run(
        "import sys; import numpy as np\n"
        "from keras_explain.tensorboard import EventWriter\n"
        f"with EventWriter({str(tmp_path)!r}) as log:\n"
        "    log.image('a', np.zeros((3, 4, 3), 'uint8'), 0); log.scalar('b', 1, 0)\n"
        "    log.text('c', 'd', 0); log.flush()\n"
        "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_importing_the_package_imports_nothing_else():
    result = run(
        "import sys, keras_explain.tensorboard\n"
        "print([m for m in ('numpy', 'cv2', 'tensorboard', 'keras') if m in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr
