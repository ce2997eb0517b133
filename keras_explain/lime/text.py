"""LIME for texts: which words speak for a class."""

import numpy as np

from keras_explain.lime._explainer import Explainer
from keras_explain.lime._local import Problem
from keras_explain.lime.explanation import make
from keras_explain.lime.subjects import TextSubject
from keras_explain.lime.words import split_words

_NUM_FEATURES = 10


class LimeTextExplainer(Explainer):
    """Explains a text classifier by the words that raise or lower a class's score.

    Words are taken out of the text, the shortened texts are scored, and a sparse linear model of
    the scores gives each word a weight for each class. The model needs no embedding layer and no
    gradients.

    Reference: Ribeiro, Singh and Guestrin, "Why should I trust you? Explaining the predictions of
    any classifier", KDD 2016, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model that takes strings (`TextVectorization` inside), a Keras model of
            tokens together with `encode`, a callable from a list of strings to scores
            `(N, classes)`, or a `Predictor`.
        encode: from a list of strings to the model's input: an array `(N, tokens)` of fixed
            length, a dict of arrays, a sparse matrix. A `TextVectorization` layer is one.
        words: `"bag"`: a word is one feature, all its occurrences are taken out together, as in
            the paper; `"positions"`: each occurrence is a feature of its own.
        split: from a text to words: a callable that returns a list of words or of `(start, end)`;
            by default `split_words`, Unicode's word boundaries.
        replacement: what stands for a word that is out, such as `"[UNK]"` for models that care
            about positions. By default nothing.
        sampler: `"hadamard"`, `"bernoulli"`, `"uniform"` (the paper's), `"sobol"` or a callable;
            see `keras_explain.lime.sampling`. By default `"hadamard"`.
        kernel: how samples are weighted: `"exponential"` of the cosine distance, another
            `Exponential(width, distance)`, a callable, or `"shapley"` for KernelSHAP.
        surrogate: `"k_lasso"`, `"highest_weights"`, `"forward_selection"`, `"ridge"`,
            `"decision_tree"` or a callable. By default `"k_lasso"`.
        class_names: the classes' names.
        batch_size: the largest number of texts that the model sees at once.

    Raises:
        TypeError, ValueError: an argument is none of the above.

    Example:
        >>> import numpy as np
        >>> from keras_explain.lime import LimeTextExplainer
        >>> score = lambda texts: np.array([0.5 + 0.4 * ("fine" in t) for t in texts])
        >>> explanation = LimeTextExplainer(score).explain("a fine, fine day", classes=[1])
        >>> explanation.words, explanation.top(1)[0].name
        (('a', 'fine', 'day'), 'fine')
    """

    def __init__(
        self,
        model,
        *,
        encode=None,
        words="bag",
        split=split_words,
        replacement="",
        sampler=None,
        kernel="exponential",
        surrogate=None,
        class_names=None,
        batch_size=128,
    ):
        super().__init__(
            model,
            encode,
            class_names,
            num_features=_NUM_FEATURES,
            sampler=sampler,
            kernel=kernel,
            surrogate=surrogate,
            batch_size=batch_size,
            distance="cosine",
            default_surrogate="k_lasso",
        )
        if words not in ("bag", "positions"):
            raise ValueError(f"Expected words to be 'bag' or 'positions', received {words!r}.")
        if not callable(split):
            raise TypeError(
                f"Expected split to be a callable from a text to words, received {split!r}. For a "
                "regular expression pass lambda text: re.findall(pattern, text)."
            )
        dtype = self._predictor.input_spec[1]
        if self._predictor.is_keras and self._predictor.preprocess is None:
            if dtype not in (None, "string"):
                raise ValueError(
                    f"Expected a model that takes strings, received {self._predictor.name} that "
                    f"takes {dtype}. Pass encode=, from a list of strings to its input."
                )
        self._words, self._split, self._replacement = words, split, replacement

    def explain(
        self,
        text,
        classes=None,
        num_samples=1000,
        num_features=None,
        seed=0,
        tolerance=None,
        verbose="auto",
    ):
        """Explain one text.

        Args:
            text: a string. Without any word the explanation has no weights, only the score.
            classes: `None` for the top class, an int for so many top classes, or a list of class
                indices and names. All come from one set of samples.
            num_samples: how many texts the model sees, the text itself included. Where all
                subsets of the words are fewer, each is tried once.
            num_features: how many words may get a weight (K in the paper), by default 10, or all
                with `"shapley"` and `"ridge"`.
            seed: the same seed gives the same explanation. The global generators are not used.
            tolerance: stop as soon as the weights' relative standard error is below this.
            verbose: `"auto"` shows progress on a terminal's stderr; 0 never, 1 always.

        Returns:
            An `Explanation`.

        Raises:
            TypeError, ValueError: not a string, an argument that is none of the above, or scores
                that are not finite.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"Expected one text as a str, received {type(text).__name__}. Explain the texts of "
                "a list one by one, decode bytes first."
            )
        request = self._request(classes, num_samples, num_features, seed, tolerance, verbose)
        subject = self._subject(text)
        problem = Problem(subject.words, self._scores_of(subject), what="word")
        result = self._local.explain(problem, request)
        return make(subject, result, self._class_names, seed)

    def _subject(self, text):
        spans = _checked_spans(self._split(text), text)
        features, words = {}, []
        positions = []
        for number, (start, end) in enumerate(spans):
            key = text[start:end] if self._words == "bag" else number
            if key not in features:
                features[key] = len(words)
                words.append(text[start:end])
            positions.append((start, end, features[key]))
        return TextSubject(text, tuple(words), tuple(positions))

    def _scores_of(self, subject):
        """The function of a `Problem`: masks of words to scores."""
        pieces, owners, position = [], [], 0
        for start, end, feature in subject.spans:
            pieces += [subject.text[position:start], subject.text[start:end]]
            owners += [-1, feature]
            position = end
        pieces = np.array([*pieces, subject.text[position:]], dtype=object)
        owners = np.array([*owners, -1])
        batch_size = self._local.batch_size

        def scores(masks, start):
            always = np.ones((len(masks), 1), bool)
            kept = np.concatenate([masks, always], axis=1)[:, owners]
            rows = np.where(kept, pieces, self._replacement)
            return self._predictor(["".join(row) for row in rows], batch_size)

        return scores


def _checked_spans(found, text):
    """`(start, end)` of each word, in order, from what a split function returns."""
    spans, position = [], 0
    for item in found:
        if isinstance(item, str):
            start = text.find(item, position)
            item = (start, start + len(item))
        start, end = (int(i) for i in item)
        if not position <= start < end <= len(text):
            raise ValueError(
                "Expected split to return the words of the text in their order, or their (start, "
                f"end), received {item!r} after position {position}. It must not change the words."
            )
        spans.append((start, end))
        position = end
    return spans
