"""`images.overlay` in the graph: the same pictures, from a served model."""

import tensorflow as tf

from keras_explain import images

GREY = (4899, 9617, 1868)  # of 2 ** 14, for red, green and blue


def fade(heatmap, disagreement):
    """`images.fade` in the graph."""
    return tf.sign(heatmap) * tf.nn.relu(tf.abs(heatmap) - disagreement)


def overlay(pixels, heatmap, signed, alpha):
    """Lay colored heatmaps over their images.

    Args:
        pixels: of shape (N, H, W, 1 or 3), 0 to 255.
        heatmap: float32 of shape (N, h, w). Each spans the colors by its own largest value.
        signed: whether zero lies in the middle of the colors.
        alpha: the heatmap's weight, 0 to 1.

    Returns:
        uint8 of shape (N, H, W, 3).
    """
    rgb = tf.round(tf.cast(pixels, tf.float32)) * tf.ones(3)
    table = tf.constant(images.color_table(signed=signed), tf.float32)
    high = tf.reduce_max(tf.abs(heatmap), axis=(1, 2), keepdims=True)
    high = tf.where(high > 0, high, 1.0)
    low = -high if signed else tf.zeros_like(high)
    if heatmap.shape[1:] != pixels.shape[1:3]:
        heatmap = tf.image.resize(heatmap[..., None], tf.shape(pixels)[1:3])[..., 0]
    last = table.shape[0] - 1
    levels = tf.round((heatmap - low) / (high - low) * last)
    colors = tf.gather(table, tf.cast(tf.clip_by_value(levels, 0, last), tf.int32))
    if signed:
        gray = tf.reduce_sum(tf.cast(rgb, tf.int32) * GREY, axis=-1, keepdims=True)
        gray = tf.cast((gray + 2**13) // 2**14, tf.float32)
        fade = min(1.0, 2 * alpha)
        rgb = tf.round((1 - fade) * rgb + fade * gray)
    return tf.cast(tf.round((1 - alpha) * rgb + alpha * colors), tf.uint8)
