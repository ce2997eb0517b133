"""Random crops of images, as large as the images again."""

import numpy as np
from keras import ops


def place_crops(count, sizes, side, crops, rng):
    """Upper left corners (count * crops, 2) of crops, those of one image in a row."""
    free = [n - s + 1 for n, s in zip(sizes, side, strict=True)]
    return np.stack([rng.integers(0, n, count * crops) for n in free], axis=1)


def cut(x, rows, corners, side):
    """Crops (M, *side, channels) of images (N, H, W, channels): image `rows[i]` at `corners[i]`."""
    down = corners[:, 0, None] + np.arange(side[0])
    across = corners[:, 1, None] + np.arange(side[1])
    return x[rows[:, None, None], down[:, :, None], across[:, None, :]]


def enlarge(crops, sizes):
    """Crops at the size of images, in their dtype."""
    found = ops.convert_to_numpy(ops.image.resize(
        ops.convert_to_tensor(crops.astype("float32")), sizes, data_format="channels_last"))
    if crops.dtype.kind in "iu":
        limits = np.iinfo(crops.dtype)
        found = np.clip(np.rint(found), limits.min, limits.max)
    return found.astype(crops.dtype)
