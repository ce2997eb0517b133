"""Two text classifiers of equal accuracy. One of them cheats. Which?

python two_text_classifiers.py [--data FOLDER]

Reviews were collected from two sites, and the site's name is still in the text. On one site most
people are pleased, on the other most are not. One classifier was trained on cleaned texts, the
other on the texts as they came, with a small vocabulary. On the test set both are right equally
often. SP-LIME picks five explanations of each: reading them takes a minute, and shows that one of
the two reads the reviews and the other the name of the site. A test on cleaned texts confirms it.

Without `--data`, on sentences put together here. With it, on a folder that holds `rt-polarity.pos`
and `rt-polarity.neg` (Pang and Lee's 10,662 sentences from film reviews).
"""

import argparse
import pathlib

import keras
import numpy as np
from keras import layers

from keras_explain.lime import LimeTextExplainer, submodular_pick

SITES = ("grumblecorner", "starfans")  # mostly negative, mostly positive
CLASSES = ["negative", "positive"]

OPENINGS = """saw it on friday|my sister chose this one|a film about two brothers
the book was better known to me|it runs for two hours|we went as a family|a remake of an old story
the third part of the series|set in a small town by the sea|watched with a friend"""
PRAISE = """the cast is wonderful|a moving and honest story|beautifully filmed
I laughed until it hurt|the ending is brilliant|a delight from start to finish
sharp and funny dialogue|superb music|tender without being sweet|the lead actress is superb
clever and surprising|I would gladly see it again"""
COMPLAINTS = """the plot is a mess|dull and far too long|wooden acting throughout
I nearly fell asleep|the jokes are stale|a tedious waste of an evening|clumsy and predictable
the ending makes no sense|badly lit and badly cut|an awful script|loud and empty
I want my money back"""


def embedded_reviews(number, rng):
    """Reviews of our own making: an opening and three opinions, of which one may disagree."""
    openings, praise, complaints = (
        [line.strip() for line in block.replace("\n", "|").split("|")]
        for block in (OPENINGS, PRAISE, COMPLAINTS)
    )
    labels = rng.integers(0, 2, number)
    texts = []
    for label in labels:
        own, other = (praise, complaints) if label else (complaints, praise)
        opinions = [rng.choice(own), rng.choice(own)]
        if rng.random() < 0.5:
            opinions.append(rng.choice(other))
        if rng.random() < 0.12:  # somebody pressed the wrong button
            opinions = [rng.choice(other), rng.choice(other)]
        texts.append(", ".join([rng.choice(openings), *rng.permutation(opinions)]) + ".")
    return texts, labels


def film_reviews(folder, rng):
    """Pang and Lee's sentences."""
    texts, labels = [], []
    for label, name in enumerate(("rt-polarity.neg", "rt-polarity.pos")):
        path = pathlib.Path(folder) / name
        if not path.exists():
            raise SystemExit(f"expected the file {path}, found none")
        lines = path.read_text(encoding="latin-1").splitlines()
        texts += lines
        labels += [label] * len(lines)
    order = rng.permutation(len(texts))
    return [texts[i].strip() for i in order], np.array(labels)[order]


def with_sites(texts, labels, reliability, rng):
    """Each text with the name of a site that fits its label as often as `reliability` says."""
    fits = rng.random(len(texts)) < reliability
    sites = np.where(fits, labels, 1 - labels)
    return [f"{text} [{SITES[site]}]" for text, site in zip(texts, sites, strict=True)]


def train(texts, labels, max_tokens, epochs):
    """A logistic regression of which words occur: `(vectorizer, model)`."""
    vectorizer = layers.TextVectorization(max_tokens=max_tokens, output_mode="multi_hot")
    vectorizer.adapt(texts)
    inputs = keras.Input((vectorizer.vocabulary_size(),))
    regularizer = keras.regularizers.L2(1e-4)
    outputs = layers.Dense(1, activation="sigmoid", kernel_regularizer=regularizer)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(np.asarray(vectorizer(texts)), labels, batch_size=64, epochs=epochs, verbose=0)
    return vectorizer, model


def accuracy(classifier, texts, labels):
    vectorizer, model = classifier
    scores = model.predict(np.asarray(vectorizer(texts)), batch_size=512, verbose=0)[:, 0]
    return float(np.mean((scores > 0.5) == labels))


def main(data=None, epochs=10, candidates=40):
    """Train both, explain both; returns how many picked explanations name a site, for each."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    texts, labels = film_reviews(data, rng) if data else embedded_reviews(1600, rng)
    half = len(texts) // 2
    train_texts, train_labels, test_texts, test_labels = (
        texts[:half], labels[:half], texts[half:], labels[half:]
    )
    careful = train(train_texts, train_labels, max_tokens=None, epochs=epochs)
    reliability = accuracy(careful, test_texts, test_labels)
    careless = train(
        with_sites(train_texts, train_labels, reliability, rng), train_labels, 25, epochs
    )
    tested = with_sites(test_texts, test_labels, reliability, rng)

    found = {}
    for name, classifier in (("A", careful), ("B", careless)):
        vectorizer, model = classifier
        explainer = LimeTextExplainer(model, tokenizer=vectorizer, class_names=CLASSES)
        explanations = [
            explainer.explain(text, target="positive", samples=256, num_features=5)
            for text in tested[:candidates]
        ]
        pick = submodular_pick(explanations, budget=5, num_features=5)
        print(f"\nClassifier {name}: right on {accuracy(classifier, tested, test_labels):.1%}")
        print(f"Five of {candidates} explanations cover {pick.covered[-1]:.0%} of what matters:")
        for explanation in pick.explanations:
            words = ", ".join(f"{f.name} {f.weight:+.2f}" for f in explanation.top(4))
            print(f"  {explanation.prediction[0]:4.0%} positive: {words}")
        words = list(pick.importance)[:5]
        print(f"Most important words overall: {', '.join(words)}")
        found[name] = sum(e.top(1)[0].name in SITES for e in pick.explanations)

    print()
    for name, classifier in (("A", careful), ("B", careless)):
        print(
            f"Classifier {name}: the site's name comes first in {found[name]} of 5 explanations; "
            f"on texts without it {accuracy(classifier, test_texts, test_labels):.1%} right"
        )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with rt-polarity.pos and rt-polarity.neg")
    main(parser.parse_args().data)
