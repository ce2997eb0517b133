"""Read linear classifiers of handwritten digits through their coefficients.

    python kannada_digits.py                     scikit-learn's digits: no download
    python kannada_digits.py --data FOLDER       Kannada-MNIST files (X_kannada_MNIST_test-...gz)
    python kannada_digits.py --download          Kannada-MNIST from its public home

Kannada-MNIST: Prabhu 2019, "Kannada-MNIST: a new handwritten digits dataset for the Kannada
language", https://arxiv.org/abs/1908.01242. Writes figures and `report.txt` to `--out`. A dense
network's mean Jacobian is shown beside the coefficients of linear models and the class means:
Hechtlinger 2016, "Interpretation of Prediction Models Using the Input Gradient".
"""

import argparse
import gzip
import pathlib
import time

import keras
import numpy as np
from keras import layers, regularizers
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import keras_explain as kx
from keras_explain import error_analysis, linear, plots
from keras_explain.callbacks import CoefficientCallback, ErrorAnalysisCallback
from keras_explain.linear.mean_gradient import mean_gradient

HOME = ("https://github.com/vinayprabhu/Kannada_MNIST/raw/master/data/output_tensors/"
        "MNIST_format/")
NAMES = [str(i) for i in range(10)]


def load(folder=None, download=False):
    """Images `(N, H, W)` in 0..1 and labels, of train, test, and of other writers or None."""
    if folder is None and not download:
        print("Data: scikit-learn's digits, 8x8, embedded (--data or --download for Kannada-MNIST)")
        digits = load_digits()
        x, y = digits.images.astype("float32") / 16, digits.target
        return *split(x, y), None
    train, test = read_pair(folder, "kannada_MNIST_train"), read_pair(folder, "kannada_MNIST_test")
    if test is None:
        raise SystemExit(f"Expected X_kannada_MNIST_test-idx3-ubyte.gz and its labels in {folder}.")
    if train is None:
        print("Data: Kannada-MNIST, 28x28; no training files, so the test files are split 4 to 1")
        train, test = split(*test)
    else:
        print("Data: Kannada-MNIST, 28x28")
    return train, test, read_pair(folder, "dig_MNIST")


def split(x, y):
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    return (x, y), (x_test, y_test)


def read_pair(folder, name):
    """Images and labels of one part; None where a local folder does not have it."""
    paths = []
    for file in (f"X_{name}-idx3-ubyte.gz", f"y_{name}-idx1-ubyte.gz"):
        path = pathlib.Path(folder or "", file)
        if folder is None:
            path = keras.utils.get_file(file, HOME + file, cache_subdir="kannada_mnist")
        elif not path.exists():
            return None
        paths.append(path)
    images, labels = map(read_idx, paths)
    return images.astype("float32") / 255, labels.astype("int64")


def read_idx(path):
    """An array in MNIST's format: two zeros, dtype, rank, sizes, then the values."""
    with gzip.open(path) as file:
        content = file.read()
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, offset=4)
    return np.frombuffer(content, "uint8", offset=4 + 4 * rank).reshape(shape)


def linear_model(shape, activation, regularizer=None):
    """Softmax units compete; sigmoid units each say "this digit or not"."""
    model = keras.Sequential([
        keras.Input(shape), layers.Flatten(),
        layers.Dense(10, activation, kernel_regularizer=regularizer),
    ])
    loss = "categorical_crossentropy" if activation == "softmax" else "binary_crossentropy"
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["categorical_accuracy"])
    return model


def dense_network(shape):
    model = keras.Sequential([
        keras.Input(shape), layers.Flatten(), layers.Dense(128, "relu"), layers.Dropout(0.3),
        layers.Dense(64, "relu"), layers.Dropout(0.3), layers.Dense(10, "softmax"),
    ])
    model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy",
                  metrics=["categorical_accuracy"])
    return model


def fit(model, train, epochs, callbacks=()):
    x, y = train
    model.fit(x, keras.utils.to_categorical(y, 10), batch_size=64, epochs=epochs, verbose=0,
              callbacks=list(callbacks))
    return model


class Report:
    """Prints, keeps and saves what was found."""

    def __init__(self, out):
        self.out, self.lines = out, []
        out.mkdir(parents=True, exist_ok=True)

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def figure(self, name, figure):
        figure.savefig(self.out / f"{name}.png")
        self.say(f"  -> {self.out / name}.png")

    def save(self):
        (self.out / "report.txt").write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def gallery(report, train):
    x, y = train
    rows = np.concatenate([np.flatnonzero(y == c)[:10] for c in range(10)])
    report.figure("samples", plots.gallery(x[rows], [NAMES[c] for c in y[rows]],
                                           title="Ten of each class"))


def linear_models(report, train, test, epochs):
    """Coefficients one-vs-rest and multinomial, regularized and denoised, beside the means."""
    shape = train[0].shape[1:]
    flat, flat_test = (x.reshape(len(x), -1) for x, _ in (train, test))
    models = {
        "one-vs-rest": linear_model(shape, "sigmoid"),
        "multinomial": linear_model(shape, "softmax"),
        "multinomial, L1": linear_model(shape, "softmax", regularizers.L1(3e-4)),
        "multinomial, L2": linear_model(shape, "softmax", regularizers.L2(3e-3)),
    }
    rows = {"mean images": linear.mean_images(*train)}
    for name, model in models.items():
        fit(model, train, epochs)
        rows[name] = linear.coefficient_maps(model)
        report_accuracy(report, name, model, test)
    sklearn_models = {
        "scikit-learn": LogisticRegression(C=0.1, max_iter=300, tol=1e-3),
        "40 components": make_pipeline(PCA(40, random_state=0),
                                       LogisticRegression(C=0.1, max_iter=300, tol=1e-3)),
    }
    for name, model in sklearn_models.items():
        model.fit(flat, train[1])
        rows[name] = linear.coefficient_maps(model, shape=shape)
        report_accuracy(report, name, model.predict_proba, (flat_test, test[1]))
    report.figure("coefficients", plots.coefficient_maps(
        rows, NAMES, title="What speaks for each digit"))
    return models, rows


def report_accuracy(report, name, model, test):
    analysis = error_analysis.analyze_errors(model, *test)
    report.say(f"  {name:<18} test accuracy {analysis.accuracy:.2%}")
    return analysis


def network(report, train, test, others, rows, epochs, logs):
    """A dense network: its mean Jacobian, its mistakes."""
    callbacks = []
    if logs is not None:
        shown = {"log_dir": logs, "class_names": NAMES}
        callbacks = [ErrorAnalysisCallback(*test, **shown), CoefficientCallback(test[0], **shown)]
    model = fit(dense_network(train[0].shape[1:]), train, epochs, callbacks)
    report_accuracy(report, "dense network", model, test)
    if others is not None:
        report_accuracy(report, "other writers", model, others)
    gradient = mean_gradient(model, train[0][:4000])
    figure = plots.coefficient_maps(
        {"mean Jacobian": gradient.mean.astype("float32"),
         "logistic regression": rows["scikit-learn"], "mean images": rows["mean images"]},
        NAMES, title="Dense network, linear model, data",
    )
    report.figure("mean_jacobian", figure)
    agreement = linear.agreement(model, gradient, test[0])
    report.say(f"  The linear model of the mean gradient decides as the network on"
               f" {agreement.rate:.1%} of the test images (correlation"
               f" {agreement.correlation:.2f})")
    report.figure("agreement", plots.agreement(agreement))
    return model


def errors(report, model, name, train, test):
    """Confusion, report, gallery of mistakes with the reason."""
    found = {part: error_analysis.analyze_errors(model, *data, class_names=NAMES)
             for part, data in (("train", train), ("test", test))}
    report.figure(f"confusion_{name}", plots.confusion_matrix(found, title=name))
    analysis = found["test"]
    report.say(analysis.report())
    for pair in analysis.most_confused(5):
        report.say(f"  {NAMES[pair.first]} and {NAMES[pair.second]}: {pair.count} confused,"
                   f" {pair.rate:.1%} of both")
    rows = analysis.misclassified[:8]
    if len(rows):
        images = test[0][rows]
        why = error_analysis.explain_errors(model, images, analysis.y[rows],
                                            analysis.predicted[rows],
                                            builder=kx.gradient_x_input)
        report.figure(f"mistakes_{name}", plots.error_gallery(
            images, analysis, why, rows=rows,
            title="The surest mistakes, and what speaks for them"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with the Kannada-MNIST files")
    parser.add_argument("--download", action="store_true", help="get the files from GitHub")
    parser.add_argument("--out", default="kannada_digits", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, help="default: 15, of the small digits 60")
    parser.add_argument("--logs", help="log the network's training for TensorBoard here")
    args = parser.parse_args()
    started = time.time()
    keras.utils.set_random_seed(0)
    report = Report(args.out)
    train, test, others = load(args.data, args.download)
    report.say(f"{len(train[0])} training and {len(test[0])} test images"
               f" of {' x '.join(map(str, train[0].shape[1:]))}")
    epochs = args.epochs or (15 if len(train[0]) > 5000 else 60)
    gallery(report, train)
    models, rows = linear_models(report, train, test, epochs)
    model = network(report, train, test, others, rows, epochs, args.logs)
    errors(report, models["one-vs-rest"], "one_vs_rest", train, test)
    errors(report, models["multinomial"], "multinomial", train, test)
    errors(report, model, "network", train, test)
    report.say(f"Done in {time.time() - started:.0f} s")
    report.save()


if __name__ == "__main__":
    main()
