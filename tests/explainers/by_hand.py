"""A small network computed twice: by Keras, and here in NumPy with float64, by the textbook.

Convolution, ReLU ("features"), convolution, ReLU, flatten, Dense, softmax; images of 7 x 6 with
three channels, so that rows, columns and channels cannot be mixed up unseen. Gradients are
central differences, so nothing here knows of a backend.
"""

import functools

import keras
import numpy as np

HEIGHT, WIDTH, CHANNELS = 7, 6, 3
CLASSES = 3


def images(count=2, seed=1):
    return np.random.default_rng(seed).uniform(size=(count, HEIGHT, WIDTH, CHANNELS)).astype("f4")


@functools.cache
def network():
    """The Keras model with its NumPy twin."""
    model = keras.Sequential([
        keras.Input((HEIGHT, WIDTH, CHANNELS)),
        keras.layers.Conv2D(4, 3, activation="relu", name="features"),
        keras.layers.Conv2D(5, 2, activation="relu", name="more"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(CLASSES, activation="softmax", name="top"),
    ])
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        scale = np.sqrt(2 / np.prod(v.shape[:-1])) if len(v.shape) > 1 else 0.2
        v.assign(scale * rng.normal(size=v.shape))
    return model, Twin(model)


class Twin:
    """The network of `network` for one image at a time, in NumPy."""

    def __init__(self, model):
        arrays = [np.array(w, "float64") for w in model.get_weights()]
        self.first, self.second, self.top = (arrays[i : i + 2] for i in (0, 2, 4))

    def features(self, image):
        return np.maximum(convolve(image, *self.first), 0)

    def head(self, features):
        """Logits from the features."""
        more = np.maximum(convolve(features, *self.second), 0)
        return more.reshape(-1) @ self.top[0] + self.top[1]

    def logits(self, image):
        return self.head(self.features(image))

    def probabilities(self, image):
        odds = np.exp(self.logits(image) - self.logits(image).max())
        return odds / odds.sum()

    def top_class(self, image):
        return int(self.logits(image).argmax())


def convolve(x, kernel, bias):
    """A valid convolution of one image."""
    rows, columns = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.asarray(x, "float64"), (rows, columns), axis=(0, 1))
    return np.einsum("yxcij,ijcf->yxf", windows, kernel) + bias


def gradient(fn, x, step=1e-6):
    """Central differences of the number `fn(x)`."""
    x = np.array(x, "float64")
    found = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        before = x[place]
        x[place] = before + step
        above = fn(x)
        x[place] = before - step
        found[place] = (above - fn(x)) / (2 * step)
        x[place] = before
    return found


def enlarge(small, shape):
    """A map of "features" over the image, pixel by pixel: linear between the middles of windows.

    The first window of a 3x3 convolution without padding has its middle at pixel 1.
    """
    return _interpolate(small, shape, lambda pixel, axis: pixel - 1.0)


def stretch(small, shape):
    """Bilinear interpolation over the whole of `shape`, with half-pixel centers."""
    return _interpolate(small, shape, lambda pixel, axis: (
        (pixel + 0.5) * small.shape[axis] / shape[axis] - 0.5))


def _interpolate(small, shape, place):
    large = np.zeros(shape)
    for y, x in np.ndindex(*shape):
        v = np.clip(place(y, 0), 0, small.shape[0] - 1)
        u = np.clip(place(x, 1), 0, small.shape[1] - 1)
        top, left = int(v), int(u)
        below, right = min(top + 1, small.shape[0] - 1), min(left + 1, small.shape[1] - 1)
        v, u = v - top, u - left
        large[y, x] = ((1 - v) * ((1 - u) * small[top, left] + u * small[top, right])
                       + v * ((1 - u) * small[below, left] + u * small[below, right]))
    return large


def expected(rule, batch, classes=None):
    """`rule(features, gradients of the class's logit, image, class)` for each image."""
    _, twin = network()
    maps = []
    for i, image in enumerate(batch):
        index = twin.top_class(image) if classes is None else classes[i]
        features = twin.features(image)
        grads = gradient(lambda f, index=index: twin.head(f)[index], features)
        maps.append(rule(features, grads, image, index))
    return np.stack(maps)


def explain(builder, batch, **options):
    """The heatmap that a builder gives for `network`, as NumPy."""
    model, _ = network()
    return np.asarray(builder(model, **options).predict(batch, verbose=0)["heatmap"])


def close(actual, wanted, share=1e-4):
    """Assert equality up to a share of the wanted range; and that there is something to see."""
    assert actual.shape == wanted.shape
    span = np.abs(wanted).max()
    assert span > 1e-3 and np.ptp(wanted) > 1e-3 * span
    assert np.abs(actual - wanted).max() < share * span
