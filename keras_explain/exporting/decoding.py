"""Encoded images to pixels, in the graph: one bad image spoils no other."""

import tensorflow as tf

from keras_explain.exporting.file_headers import MOVING, UNKNOWN, read_header

UNREADABLE = ("Expected the bytes of a whole JPEG, PNG, GIF, BMP or WebP image, received others."
              " Send the file as it is.")
ANIMATED = "Expected a still image, received an animated WebP. Save one frame of it as PNG."
FITS = ("stretch", "crop")


def decode_all(image_bytes, height, width, channels, fit, max_pixels):
    """Decode, resize and batch.

    Args:
        image_bytes: strings of shape (N,).
        height, width, channels: of the result.
        fit: "stretch", or "crop": the largest central part of the result's shape.
        max_pixels: larger images are refused by their header, before they take memory.

    Returns:
        float32 pixels of shape (N, height, width, channels), 0 to 255, and for each image an
        error, "" if there is none; its pixels are then 0.
    """
    blank = tf.zeros((height, width, channels))
    too_large = tf.constant(f"Expected an image of at most {max_pixels} pixels, received more."
                            " Make it smaller, or export with a larger max_pixels.")

    def decode(index, data):
        claimed, data = read_header(data)

        def pixels():
            image = tf.io.decode_image(data, channels, expand_animations=False)
            if fit == "crop":
                image = _central(image, height, width)
            image = tf.image.resize(image, (height, width), antialias=True)
            return tf.ensure_shape(tf.clip_by_value(image, 0.0, 255.0), blank.shape), ""

        return index, *tf.case(
            [(claimed == UNKNOWN, lambda: (blank, UNREADABLE)),
             (claimed == MOVING, lambda: (blank, ANIMATED)),
             (claimed > max_pixels, lambda: (blank, too_large))], default=pixels)

    count = tf.size(image_bytes)
    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), image_bytes))
    rows = rows.map(decode, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    rows = rows.concatenate(tf.data.Dataset.from_tensors((count, blank, "")))  # never empty
    index, images, errors = rows.batch(tf.cast(count, tf.int64) + 1).get_single_element()
    index = index[:, None]
    unread = tf.fill([count + 1], UNREADABLE)
    errors = tf.tensor_scatter_nd_update(unread, index, errors)[:-1]
    images = tf.scatter_nd(index, images, tf.concat([[count + 1], blank.shape], 0))[:-1]
    return tf.ensure_shape(images, (None, *blank.shape)), errors


def _central(image, height, width):
    """The largest central part with the shape height : width."""
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    keep_rows = tf.minimum(rows, tf.maximum(1, columns * height // width))
    keep_columns = tf.minimum(columns, tf.maximum(1, rows * width // height))
    top, left = (rows - keep_rows) // 2, (columns - keep_columns) // 2
    return image[top : top + keep_rows, left : left + keep_columns]
