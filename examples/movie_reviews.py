"""Ask two networks what they learned about film reviews, and compare with a linear model.

    python movie_reviews.py                  a small set of reviews made up here: no download
    python movie_reviews.py --data FOLDER    rt-polarity.pos and rt-polarity.neg
    python movie_reviews.py --download       the same from a public home

Pang and Lee 2005, "Seeing stars", sentence polarity data. A convolution over words is asked for
the expressions that it reads (the norm of the gradient at each token), a network on binary bags
of words for the average gradient of each word: Hechtlinger 2016, "Interpretation of Prediction
Models Using the Input Gradient". Writes figures, `reviews.html` and `report.txt` to `--out`.
"""

import argparse
import itertools
import pathlib
import random
import re
import time

import keras
import numpy as np
from keras import layers
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import keras_explain as kx
from keras_explain import error_analysis, linear, plots, text
from keras_explain.linear.mean_gradient import MeanGradient

HOME = "https://raw.githubusercontent.com/yoonkim/CNN_sentence/master/"
NAMES = ["negative", "positive"]
LENGTH, WORDS = 40, 5000

# The embedded reviews: a judgement, sometimes turned round, about something, and an aside.
GOOD = ["moving", "witty", "gripping", "honest", "charming", "beautiful", "funny", "warm", "clever",
        "touching", "inventive", "graceful", "superb", "lively"]
BAD = ["dull", "clumsy", "tedious", "shallow", "predictable", "lifeless", "boring", "silly", "flat",
       "lazy", "messy", "forgettable", "awful", "cold"]
THINGS = ["film", "story", "script", "cast", "ending", "direction", "camera work", "dialogue",
          "first half", "music", "plot", "leading couple"]
SAID = ["the {thing} is {word}", "a {word} {thing} from start to finish",
        "{word} {thing} , truly {second}", "i found the {thing} {word} and {second}",
        "what a {word} {thing}", "with a {thing} this {word} , who can be surprised"]
TURNED = ["the {thing} is not {word}", "far from {word} , the {thing} is a different matter",
          "hardly a {word} {thing}", "the {thing} is anything but {word}"]
ASIDES = ["", "", "and my neighbor agreed", "shot in three weeks", "two hours long",
          "based on a novel", "set in the north", "by a first time director"]


def load(folder=None, download=False):
    """Reviews as strings, and 1 where they praise."""
    if folder is None and not download:
        print("Data: 2,000 reviews made up for this example (--data or --download for real ones)")
        return made_up(2000)
    parts = []
    for file in ("rt-polarity.neg", "rt-polarity.pos"):
        path = pathlib.Path(folder, file) if folder else keras.utils.get_file(
            file, HOME + file, cache_subdir="movie_reviews")
        if not pathlib.Path(path).exists():
            raise SystemExit(f"Expected {file} in {folder}.")
        lines = pathlib.Path(path).read_text(encoding="latin-1").splitlines()
        parts.append([line.strip() for line in lines if line.strip()])
    print("Data: sentence polarity data of Pang and Lee")
    return parts[0] + parts[1], np.repeat([0, 1], [len(part) for part in parts])


def made_up(count):
    """Different reviews, half of them praise; a quarter says so by denying the opposite."""
    rng, found = random.Random(0), {}
    for i in itertools.count():
        praise, turned = i % 2, rng.random() < 0.25
        words = (GOOD, BAD)[praise == turned] if turned else (BAD, GOOD)[praise]
        word, second = rng.sample(words, 2)
        pattern = rng.choice(TURNED if turned else SAID)
        said = pattern.format(thing=rng.choice(THINGS), word=word, second=second)
        said = re.sub(r"\ba (?=[aeiou]|honest)", "an ", said)
        found[f"{said} {rng.choice(ASIDES)}".strip()] = praise
        if len(found) == count:
            return list(found), np.array(list(found.values()))


def convolution(vocabulary):
    """Kim 2014: convolutions over word embeddings, and the largest answer of each."""
    x = inputs = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(vocabulary, 48)(x)
    x = layers.SpatialDropout1D(0.3)(x)
    widths = [layers.GlobalMaxPooling1D()(layers.Conv1D(48, n, activation="relu")(x))
              for n in (3, 4, 5)]
    x = layers.Dropout(0.5)(layers.Concatenate()(widths))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(x))
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    return model


def bag_of_words(vocabulary):
    """Two hidden layers on which words occur."""
    model = keras.Sequential([
        keras.Input((vocabulary,)), layers.Dropout(0.5), layers.Dense(64, "relu"),
        layers.Dropout(0.5), layers.Dense(32, "relu"), layers.Dense(1, "sigmoid"),
    ])
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    return model


def words_and_ids(vectorize, texts):
    return keras.ops.convert_to_numpy(vectorize(np.array(texts, dtype=object)))


class Report:
    """Prints, keeps and saves what was found."""

    def __init__(self, out):
        self.out, self.lines = out, []
        out.mkdir(parents=True, exist_ok=True)

    def say(self, words=""):
        print(words, flush=True)
        self.lines.append(words)

    def figure(self, name, figure):
        figure.savefig(self.out / f"{name}.png")
        self.say(f"  -> {self.out / name}.png")

    def save(self):
        (self.out / "report.txt").write_text("\n".join(self.lines) + "\n", encoding="utf-8")


def expressions(report, train, test, epochs):
    """What the convolution reads, review by review."""
    vectorize = layers.TextVectorization(max_tokens=WORDS, output_sequence_length=LENGTH)
    vectorize.adapt(train[0])
    model = convolution(vectorize.vocabulary_size())
    model.fit(words_and_ids(vectorize, train[0]), train[1], batch_size=64, epochs=epochs, verbose=0)
    ids = words_and_ids(vectorize, test[0])
    analysis = error_analysis.analyze_errors(model, ids, test[1], class_names=NAMES)
    report.say(f"Convolution: test accuracy {analysis.accuracy:.1%}\n")
    sure = analysis.probabilities.max(axis=1)
    order = np.argsort(np.abs(sure - 0.9), kind="stable")  # neither in doubt nor beyond it
    right = order[(analysis.y == analysis.predicted)[order]]
    rows = np.concatenate([right[test[1][right] == 1][:3], right[test[1][right] == 0][:3],
                           analysis.misclassified[:2]])
    texts = [test[0][i] for i in rows]
    found = text.top_expressions(kx.saliency(model, target=1), texts, tokenizer=vectorize)
    pages = ["<!doctype html><meta charset=utf-8><title>What the convolution reads</title>"
             "<style>body {font: 15px sans-serif; max-width: 45em; margin: 2em auto}</style>"]
    for i, scores in zip(rows, found, strict=True):
        head = (f"{NAMES[test[1][i]]}, the network says {NAMES[analysis.predicted[i]]} "
                f"({analysis.probabilities[i].max():.0%})")
        print(f"{head}: {scores.to_terminal(4)}\n")
        report.lines += [f"{head}: {scores.to_terminal(4, color=False)}", ""]
        pages.append(f"<h4>{head}</h4>{scores.to_html(4)}")
    (report.out / "reviews.html").write_text("\n".join(pages), encoding="utf-8")
    report.say(f"  -> {report.out / 'reviews.html'}")
    report.figure("confusion", plots.confusion_matrix({"convolution, test": analysis}))


def words(report, train, test, epochs):
    """Which words matter on average, and how well they alone explain the network."""
    vectorize = layers.TextVectorization(max_tokens=WORDS, output_mode="multi_hot")
    vectorize.adapt(train[0])
    bags, bags_test = (words_and_ids(vectorize, part[0]).astype("float32")
                       for part in (train, test))
    names = vectorize.get_vocabulary()
    model = bag_of_words(len(names))
    model.fit(bags, train[1], batch_size=64, epochs=epochs, verbose=0)
    accuracy = error_analysis.analyze_errors(model, bags_test, test[1]).accuracy
    report.say(f"Bag of words, two hidden layers: test accuracy {accuracy:.1%}")
    gradient = text.mean_gradient(model, bags, feature_names=names)
    plain = LogisticRegression(C=0.3, max_iter=300).fit(bags, train[1])
    report.say(f"Logistic regression on the same:  test accuracy"
               f" {plain.score(bags_test, test[1]):.1%}")
    show_words(report, "Mean gradient of the network", gradient)
    maps = linear.coefficient_maps(plain)[0].astype("float64")
    show_words(report, "Coefficients of the logistic regression", MeanGradient(
        maps, np.zeros_like(maps), plain.intercept_[0], len(bags),
        feature_names=list(map(str, names))))
    report.figure("words", plots.ranking(gradient, 20, title="Words for and against the film"))
    agreement = linear.agreement(model, gradient, bags_test)
    own = gradient.scores(bags_test)[:, 0] > 0
    report.say(f"The linear model of the mean gradient agrees with the network on"
               f" {agreement.rate:.1%} of the test reviews (correlation"
               f" {agreement.correlation:.3f}); its own accuracy is"
               f" {np.mean(own == test[1]):.1%}")
    report.figure("agreement", plots.agreement(agreement))


def show_words(report, title, gradient, k=15):
    positive, negative = gradient.top(k)
    report.say(f"{title}\n  for:     {', '.join(f.name for f in positive)}")
    report.say(f"  against: {', '.join(f.name for f in negative)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with rt-polarity.pos and rt-polarity.neg")
    parser.add_argument("--download", action="store_true", help="get the files from GitHub")
    parser.add_argument("--out", default="movie_reviews", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, help="default: 6, of the small set 20")
    args = parser.parse_args()
    started = time.time()
    keras.utils.set_random_seed(0)
    report = Report(args.out)
    texts, labels = load(args.data, args.download)
    x, x_test, y, y_test = train_test_split(texts, labels, test_size=0.2, stratify=labels,
                                            random_state=0)
    report.say(f"{len(x)} training and {len(x_test)} test reviews")
    epochs = args.epochs or (6 if len(x) > 5000 else 20)
    expressions(report, (x, y), (x_test, y_test), epochs)
    words(report, (x, y), (x_test, y_test), epochs)
    report.say(f"Done in {time.time() - started:.0f} s")
    report.save()


if __name__ == "__main__":
    main()
