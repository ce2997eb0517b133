"""Sizes read from headers are those of the files; what claims too much is never decoded."""

import io
import json
import struct
import subprocess
import sys
import zlib

import cv2
import keras
import numpy as np
import pytest
from PIL import Image

if keras.backend.backend() == "torch":
    pytest.skip("Keras exports no SavedModel from PyTorch", allow_module_level=True)

import tensorflow as tf

from keras_explain.exporting import decoding
from keras_explain.exporting.file_headers import UNKNOWN, read_header

READ = tf.function(read_header, input_signature=[tf.TensorSpec((), tf.string)])
DECODE = tf.function(lambda data: decoding.decode_all(data, 8, 8, 3, "stretch", 2**20),
                     input_signature=[tf.TensorSpec((None,), tf.string)])
SIZES = [(1, 1), (3, 7), (300, 2), (257, 513)]


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), "uint8")


def encoded(kind, x):
    if kind in ("jpg", "png", "bmp", "webp"):
        return cv2.imencode(f".{kind}", x)[1].tobytes()
    file = io.BytesIO()
    if kind == "webp lossy":
        Image.fromarray(x).save(file, "webp", quality=50)
    elif kind == "webp extended":
        Image.fromarray(x).save(file, "webp", lossless=True, exif=b"Exif\0\0" + bytes(20))
    elif kind == "gif":
        Image.fromarray(x).save(file, "gif", comment=b"c" * 700)
    elif kind == "animated gif":
        frames = [Image.fromarray(pixels(*x.shape[:2], seed)) for seed in (1, 2)]
        Image.fromarray(x).save(file, "gif", save_all=True, append_images=frames, loop=0)
    elif kind == "bmp from the top":
        data = bytearray(encoded("bmp", x))
        data[22:26] = struct.pack("<i", -x.shape[0])
        return bytes(data)
    return file.getvalue()


def skip_undecoded(kind):
    """TensorFlow 2.18 decodes no WebP."""
    try:
        tf.io.decode_image(encoded(kind, pixels(2, 2)))
    except tf.errors.InvalidArgumentError:
        pytest.skip("this TensorFlow decodes no WebP")


KINDS = ["jpg", "png", "bmp", "bmp from the top", "webp", "webp lossy", "webp extended", "gif",
         "animated gif"]


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_right_and_the_file_is_decoded_as_it_was(kind):
    skip_undecoded(kind)
    for height, width in SIZES:
        data = encoded(kind, pixels(height, width))
        found, rest = READ(data)
        assert found == height * width
        expected = tf.io.decode_image(data, 3, expand_animations=False)
        assert tf.reduce_all(tf.io.decode_image(rest, 3, expand_animations=False) == expected)


def gif(width, height, frames=1):
    frame = (b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
             + b"\x02\x02\x4c\x01\x00")
    return (b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame * frames
            + b"\x3b")


def webp(width, height):
    chunk = (b"VP8X" + struct.pack("<I", 10) + bytes(4)
             + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3])
    chunk += b"VP8L" + struct.pack("<I", 14) + b"\x2f" + bytes(13)
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def png(width, height):
    data = bytearray(encoded("png", pixels(4, 4)))
    data[16:24] = struct.pack(">II", width, height)
    return bytes(data)


def bmp(width, height):
    data = bytearray(encoded("bmp", pixels(4, 4)))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def jpg(width, height):
    data = encoded("jpg", pixels(4, 4))
    at = data.index(b"\xff\xc0")
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


BOMBS = {"gif": gif(65_535, 65_535), "webp": webp(15_000, 15_000), "png": png(50_000, 50_000),
         "png of wrapping sides": png(2**32 - 1, 2**32 - 1), "jpg": jpg(65_000, 65_000),
         "bmp": bmp(50_000, 50_000), "bmp from the top": bmp(50_000, -50_000)}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_by_their_header(kind):
    images, errors = DECODE(tf.constant([BOMBS[kind]]))
    assert errors.numpy()[0].startswith(b"Expected an image of at most 1048576 pixels, received")
    assert not images.numpy().any()


def test_a_small_frame_on_a_large_screen_is_no_bomb():
    data = bytearray(encoded("gif", pixels(9, 5)))
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    assert READ(bytes(data))[0] == 45


def test_only_the_first_frame_is_handed_on():
    found, rest = READ(gif(100, 100, frames=1000))
    assert found == 10_000 and len(rest.numpy()) == len(gif(100, 100))


def test_an_animated_webp_is_refused_for_what_it_is():
    skip_undecoded("webp")
    file = io.BytesIO()
    frames = [Image.fromarray(pixels(9, 5, seed)) for seed in range(3)]
    frames[0].save(file, "webp", save_all=True, append_images=frames[1:])
    images, errors = DECODE(tf.constant([file.getvalue(), encoded("webp", pixels(9, 5))]))
    assert list(errors.numpy()) == [decoding.ANIMATED.encode(), b""]
    assert not images[0].numpy().any() and images[1].numpy().any()


def zipped_text(size):
    """A small PNG with a text and a color profile that inflate to `size`."""
    data, packed = encoded("png", pixels(4, 4)), zlib.compress(bytes(size), 9)
    chunks = [struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
              for body in (b"zTXta\0\0" + packed, b"iCCPb\0\0" + packed)]
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize("data", [
    b"", b"B", b"no image", b"<svg/>", b"\xff\xd8", b"GIF89a", b"RIFF\0\0\0\0WEBP", bytes(200),
    b"GIF89a" + bytes(7) + b"\x00" * 50, b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_no_image_is_never_decoded(data):
    _, errors = DECODE(tf.constant([data]))
    assert errors.numpy() == [decoding.UNREADABLE.encode()]


def test_unknown_formats_are_named_so():
    assert READ(b"\x00\x00\x01\x00" + bytes(60))[0] == UNKNOWN  # an icon


def test_damaged_files_end():
    """Whatever a byte is changed to, the reader ends, with a size or an error."""
    random = np.random.default_rng(0)
    for kind in KINDS:
        whole = encoded(kind, pixels(20, 30))
        for _ in range(20):
            data = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for at in random.integers(0, min(len(data), 60), 3):
                data[at] = random.integers(256)
            images, errors = DECODE(tf.constant([bytes(data)]))
            assert np.isfinite(images.numpy()).all() and len(errors) == 1


@pytest.mark.slow
def test_refused_files_take_no_memory(tmp_path):
    """The peak above idle, measured in a process of its own."""
    for name, data in BOMBS.items():
        (tmp_path / name.replace(" ", "_")).write_bytes(data)
    (tmp_path / "text.png").write_bytes(zipped_text(2**29))
    (tmp_path / "many_frames.gif").write_bytes(gif(60_000, 60_000, frames=20_000))
    code = f"""
import json, pathlib, resource, sys
import tensorflow as tf
from keras_explain.exporting import decoding
ask = tf.function(lambda x: decoding.decode_all(x, 8, 8, 3, "stretch", 2**20),
                  input_signature=[tf.TensorSpec((None,), tf.string)])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
found = {{}}
ask(tf.constant([b"no image"] * 8))
for file in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
    data, before = file.read_bytes(), peak()
    errors = ask(tf.constant([data] * 8))[1].numpy()
    assert file.name == "text.png" or all("at most" in e.decode() for e in errors), file
    found[file.name] = peak() - before
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, megabytes in json.loads(done.stdout.splitlines()[-1]).items():
        assert megabytes < 50, name
