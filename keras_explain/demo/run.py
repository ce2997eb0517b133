"""`keras-explain demo`: the library on embedded data, from a photograph to a served model."""

import os
import pathlib
import shlex
import subprocess
import sys
import time

ASK = '''"""Ask the exported model with TensorFlow alone: keras_explain is not imported."""

import pathlib
import sys

import numpy as np
import tensorflow as tf

folder = pathlib.Path(__file__).parent
explain = tf.saved_model.load(str(folder / "served" / "1")).signatures["explain"]
image = tf.constant(np.load(folder / "digit.npy")[None])
(name,) = explain.structured_input_signature[1]
answer = explain(**{name: image})
assert "keras_explain" not in sys.modules

scores, heatmap = answer["predictions"].numpy()[0], answer["heatmap"].numpy()[0]
print(f"The served model says {scores.argmax()} ({scores.max():.0%}), because of:")
for row in heatmap / max(heatmap.max(), 1e-9):
    print("   " + "".join(" .:-=+*#%@"[int(max(v, 0) * 9)] * 2 for v in row))
'''


def run(out):
    """Run all parts; returns the exit code."""
    started = time.time()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no alarm where there is no GPU
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _say(1, "Why is this a cat? Occlusion and Grad-CAM on EfficientNet-Lite0")
    picture = explain_cat(out)
    _say(2, "What does a digit classifier look at while it trains?")
    explained, digit = watch_training(out)
    _say(3, "The same question, to an exported SavedModel in a fresh process")
    ask_served(out, explained, digit)
    _say(4, f"Done in {time.time() - started:.0f} s. Written:")
    print(f"  {picture}: the cat, explained")
    print(f"  {out / 'logs'}: heatmaps of every epoch. See them in the Explanations tab of")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(out / "logs")]
    print(f"\n      {shlex.join(command)}\n")
    print(f"  {out / 'served' / '1'}: SavedModel that answers with predictions and heatmaps")
    print(f"  {out / 'ask_served_model.py'}: how to ask it, with TensorFlow alone")
    return 0


def explain_cat(out):
    """Compare two methods on scikit-image's cat; returns the picture's path."""
    import skimage.data

    import keras_explain as kx
    from keras_explain.demo import imagenet as _imagenet

    model, names = _imagenet.efficientnet_lite0(), _imagenet.class_names()
    image = _imagenet.load_image(skimage.data.chelsea())
    print("  Hiding 64 x 64 pixels at 121 places, by four fills ...")
    hiding = kx.occlusion(model, patch_size=64, stride=16, baseline="several", score="log_odds")
    occlusion = hiding.predict(image[None], verbose=0)
    drops = kx.images.fade(occlusion["heatmap"][0], occlusion["disagreement"][0])
    grad_cam = kx.grad_cam(model).predict(image[None], verbose=0)
    scores = grad_cam["predictions"][0]
    top = [(names[i], float(scores[i])) for i in scores.argsort()[::-1][:4]]
    for name, probability in top:
        print(f"  {probability:6.1%}  {name}")
    figure = kx.plots.comparison(
        image,
        {"Occlusion": drops, "Grad-CAM": grad_cam["heatmap"][0]},
        predictions=top,
    )
    path = out / "cat.png"
    figure.savefig(path)
    return path


def watch_training(out):
    """Train a small CNN on digits with both callbacks; returns it explained, and a digit."""
    import keras
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    import keras_explain as kx

    keras.utils.set_random_seed(0)
    digits = load_digits()
    pixels = np.repeat(np.repeat(digits.images, 2, 1), 2, 2)[..., None].astype("float32") / 16
    x, x_test, y, y_test = train_test_split(pixels, digits.target, random_state=0)
    model = keras.Sequential([keras.Input((16, 16, 1))])
    for filters in (16, 32, 32):
        model.add(keras.layers.Conv2D(filters, 3, padding="same", use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9))
        model.add(keras.layers.ReLU())
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    shown = {"log_dir": out / "logs", "max_images": 6}
    model.fit(
        x, y, epochs=12, batch_size=64, verbose=2, validation_data=(x_test, y_test),
        callbacks=[
            keras.callbacks.TensorBoard(out / "logs", write_graph=False),
            kx.callbacks.GradCAMCallback(x_test, y_test, **shown),
            kx.callbacks.OcclusionCallback(x_test, y_test, patch_size=4, stride=2, **shown),
        ],
    )
    return kx.occlusion(model, patch_size=4, stride=2), x_test[0]


def ask_served(out, explained, digit):
    """Export, and ask the export from another process."""
    import numpy as np

    import keras_explain as kx

    kx.export(explained, out / "served" / "1", overwrite=True)
    np.save(out / "digit.npy", digit)
    script = out / "ask_served_model.py"
    script.write_text(ASK)
    subprocess.run([sys.executable, script], check=True)


def _say(part, text):
    print(f"\n[{part}/4] {text}", flush=True)
