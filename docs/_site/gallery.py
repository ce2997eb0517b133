"""Draw the gallery: python docs/_site/gallery.py, with the extra [demo].

One photograph with two objects (two of scikit-image side by side), every method, for the class of
each object: a method that knows classes shows another place for each.
"""

import pathlib

import keras
import matplotlib
import numpy as np
from skimage import data, transform

import keras_explain as kx
from keras_explain.demo.imagenet import class_names, efficientnet_lite0

matplotlib.use("Agg")
FOLDER = pathlib.Path(__file__).parents[1] / "img" / "gallery"
CAMS = ["grad_cam", "hires_cam", "grad_cam_plus_plus", "xgrad_cam", "layer_cam", "cam",
        "ablation_cam", "score_cam", "eigen_cam"]
GRADIENTS = ["saliency", "gradient_x_input", "local_linear", "smooth_grad",
             "integrated_gradients", "guided_backprop", "guided_grad_cam"]
HIDING = ["occlusion", "rise"]
OPTIONS = {"occlusion": {"patch_size": 32, "stride": 8}, "rise": {"samples": 2048}}


def two_objects():
    """The cat Chelsea on the left, a cup of espresso on the right: (224, 224, 3), 0..255."""
    cat, coffee = data.chelsea()[:, 60:360], data.coffee()[20:400, 60:440]
    left = transform.resize(cat[:, 75:225], (224, 112), anti_aliasing=True)
    right = transform.resize(coffee[:, 95:285], (224, 112), anti_aliasing=True)
    return (np.concatenate([left, right], axis=1) * 255).astype("float32")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    model, names, image = efficientnet_lite0(), class_names(), two_objects()
    scores = model.predict(image[None], verbose=0)[0]
    print([(names[k], round(float(scores[k]), 3)) for k in np.argsort(-scores)[:6]])
    classes = [names.index("Egyptian cat"), names.index("espresso")]
    for name in [*CAMS, *GRADIENTS, *HIDING]:
        build = getattr(kx, name)
        maps = {names[k]: build(model, target=k, **OPTIONS.get(name, {})).predict(
            image[None], verbose=0)["heatmap"][0] for k in classes}
        figure = kx.plots.comparison(image, maps, title="")
        figure.savefig(FOLDER / f"{name}.jpg", dpi=80, bbox_inches="tight",
                       pil_kwargs={"quality": 85})
        a, b = (m.ravel() for m in maps.values())
        print(name, "correlation of the two maps", round(float(np.corrcoef(a, b)[0, 1]), 2))
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
