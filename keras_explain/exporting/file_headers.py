"""What an image file claims to hold, read in the graph before a decoder takes memory for it.

Layouts: RFC 2083 (PNG), ITU T.81 (JPEG), the GIF89a specification, the headers of Windows
bitmaps, and RFC 9649 (WebP).
"""

import tensorflow as tf

UNKNOWN = -1
MOVING = -2  # a WebP of several frames, of which TensorFlow decodes all or none
_HEAD = 64  # bytes; every size but those of JPEG and GIF lies in them
_LARGEST_SIDE = 2**31 - 1  # so that no product of two sides wraps
_EXTENSION, _FRAME = 0x21, 0x2C  # what a block of a GIF begins with
_OUTSIDE, _IN_EXTENSION, _IN_FRAME, _DONE, _DAMAGED = range(5)


def read_header(data):
    """The pixels of one image, and what a decoder needs of its file.

    Decoders read all frames of a GIF, each of which may claim 65,535 x 65,535 pixels in a few
    bytes: only the first is handed on.

    Args:
        data: the bytes of a file; a string of shape ().

    Returns:
        Width times height as int64 of shape (), `UNKNOWN` where the file is none of the formats,
        `MOVING` where nothing decodes it; and the bytes to decode.
    """
    head = tf.io.decode_raw(tf.strings.substr(data, 0, _HEAD), tf.uint8, fixed_length=_HEAD)
    head = tf.cast(head, tf.int64)

    def number(at, size, little=True):
        powers = [256**i for i in (range(size) if little else reversed(range(size)))]
        return tf.reduce_sum(head[at : at + size] * powers)

    def starts(magic, at=0):
        return tf.reduce_all(tf.equal(head[at : at + len(magic)], list(magic)))

    def jpeg():
        height, width = tf.unstack(tf.image.extract_jpeg_shape(data, tf.int32)[:2])
        return _area(tf.cast(width, tf.int64), tf.cast(height, tf.int64)), data

    def png():
        return _area(number(16, 4, little=False), number(20, 4, little=False)), data

    def bmp():
        return _area(_signed(number(18, 4)), _signed(number(22, 4))), data  # -height: from the top

    def webp_lossy():
        return _area(number(26, 2) % 2**14, number(28, 2) % 2**14), data

    def webp_lossless():
        bits = number(21, 4)
        return _area(bits % 2**14 + 1, bits // 2**14 % 2**14 + 1), data

    def webp_extended():
        area = _area(number(24, 3) + 1, number(27, 3) + 1)
        moves = head[20] // 2 % 2 == 1
        return tf.where(moves, tf.constant(MOVING, tf.int64), area), data

    webp = starts(b"RIFF") & starts(b"WEBP", 8)
    return tf.case(
        [(starts(b"\xff\xd8\xff"), jpeg),
         (starts(b"\x89PNG\r\n\x1a\n"), png),
         (starts(b"GIF87a") | starts(b"GIF89a"), lambda: _first_frame(data)),
         (starts(b"BM"), bmp),
         (webp & starts(b"VP8 ", 12), webp_lossy),
         (webp & starts(b"VP8L", 12), webp_lossless),
         (webp & starts(b"VP8X", 12), webp_extended)],
        default=lambda: (tf.constant(UNKNOWN, tf.int64), data),
    )


def _area(width, height):
    return tf.minimum(tf.abs(width), _LARGEST_SIDE) * tf.minimum(tf.abs(height), _LARGEST_SIDE)


def _signed(number):
    return tf.where(number < 2**31, number, number - 2**32)


def _first_frame(data):
    """The pixels of a GIF's first frame, and a GIF that ends behind it."""
    raw = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    length = tf.size(raw)

    def color_table(packed):
        return tf.where(packed >= 0x80, 3 * 2 ** (packed % 8 + 1), 0)

    def side(at):
        return tf.cast(raw[at] + 256 * raw[at + 1], tf.int64)

    def block(at, pixels):
        """Step behind what a block has before its parts."""
        return tf.case(
            [(raw[at] == _EXTENSION, lambda: (at + 2, _IN_EXTENSION, pixels)),
             ((raw[at] == _FRAME) & (at + 10 < length),
              lambda: (at + 11 + color_table(raw[at + 9]), _IN_FRAME,
                       _area(side(at + 5), side(at + 7))))],
            default=lambda: (at, _DAMAGED, pixels))

    def part(at, state, pixels):
        """Step behind a part; the part of no bytes is the last one of its block."""
        ended = tf.where(state == _IN_FRAME, _DONE, _OUTSIDE)
        return at + 1 + raw[at], tf.where(raw[at] == 0, ended, state), pixels

    def step(at, state, pixels):
        return tf.cond(state == _OUTSIDE, lambda: block(at, pixels),
                       lambda: part(at, state, pixels))

    at, state, pixels = tf.while_loop(
        lambda at, state, pixels: (state < _DONE) & (at < length), step,
        (13 + color_table(raw[10]), _OUTSIDE, tf.constant(UNKNOWN, tf.int64)))
    pixels = tf.where(state == _DAMAGED, tf.constant(UNKNOWN, tf.int64), pixels)
    return pixels, tf.strings.join([tf.strings.substr(data, 0, tf.minimum(at, length)), ";"])
