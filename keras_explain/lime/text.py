"""LIME for texts: which words speak for a class."""

from collections.abc import Callable
from typing import Any, Literal, Unpack

import numpy as np
from keras import tree

from keras_explain.checks import check_choice
from keras_explain.explainers._given import check_array, check_ids, find_tables
from keras_explain.graph.program import Program
from keras_explain.lime._arguments import Arguments
from keras_explain.lime._asking import ask
from keras_explain.lime._base import LimeExplainer, make_explanation
from keras_explain.lime._inputs import to_arrays
from keras_explain.lime._local import Problem
from keras_explain.lime._options import ExplainerOptions, ExplainOptions
from keras_explain.lime._subjects import TextSubject
from keras_explain.lime.explanation import Explanation
from keras_explain.lime.words import split_words
from keras_explain.signatures import spell_out
from keras_explain.targets._target import Target

_NUM_FEATURES = 10


class LimeTextExplainer(LimeExplainer):
    """Explains a text classifier by the words that raise or lower a class's score.

    Words are taken out of the text, the shortened texts are scored, and a sparse linear model of
    the scores gives each word a weight for each class. The model needs no embedding layer and no
    gradients.

    Reference: Ribeiro, Singh and Guestrin 2016, "Why should I trust you? Explaining the
    predictions of any classifier", KDD, https://arxiv.org/abs/1602.04938.

    Args:
        model: a Keras model that takes strings (`TextVectorization` inside), a Keras model of
            tokens together with `tokenizer`, a callable from a list of strings to scores
            `(N, classes)`, or a `Predictor`.
        tokenizer: for models that do not take strings, what makes their input from a list of
            texts: a `TextVectorization` layer, or a function that returns an array `(N, tokens)`
            of fixed length, a dict of arrays or a sparse matrix.
        words: `"bag"`: a word is one feature, all its occurrences are taken out together, as in
            the paper; `"positions"`: each occurrence is a feature of its own.
        split: from a text to words: a callable that returns a list of words or of `(start, end)`;
            by default `split_words`, Unicode's word boundaries.
        baseline: what stands for a word that is out, such as `"[UNK]"` for models that care about
            positions. By default nothing.
        batch_size: the largest number of texts that the model sees at once.
        **options: those of `ExplainerOptions`.

    Raises:
        TypeError, ValueError: an argument is none of the above.

    Example:
        >>> import numpy as np
        >>> from keras_explain.lime import LimeTextExplainer
        >>> score = lambda texts: np.array([0.5 + 0.4 * ("fine" in t) for t in texts])
        >>> explanation = LimeTextExplainer(score).explain("a fine, fine day", target=1)
        >>> explanation.words, explanation.top(1)[0].name
        (('a', 'fine', 'day'), 'fine')
    """

    @spell_out(LimeExplainer)
    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Callable[..., Any] | None = None,
        words: Literal["bag", "positions"] = "bag",
        split: Callable[[str], Any] = split_words,
        baseline: str = "",
        batch_size: int = 128,
        **options: Unpack[ExplainerOptions],
    ) -> None:
        super().__init__(model, tokenizer, num_features=_NUM_FEATURES, batch_size=batch_size,
                         distance="cosine", default_surrogate="k_lasso", **options)
        check_choice("words", words, ("bag", "positions"))
        if not isinstance(baseline, str):
            raise TypeError(
                "Expected `baseline` to be a str that stands for a word, received"
                f" {baseline!r}. Pass the name of the token for unknown words."
            )
        if not callable(split):
            raise TypeError(
                f"Expected `split` to be a callable from a text to words, received {split!r}. For"
                " a regular expression pass lambda text: re.findall(pattern, text)."
            )
        dtype = self._predictor.input_spec[1]
        if self._predictor.is_keras and self._predictor.preprocess is None:
            if dtype not in (None, "string"):
                raise ValueError(
                    f"Expected a model that takes strings, received {self._predictor.name} that "
                    f"takes {dtype}. Pass `tokenizer`, from a list of strings to its input."
                )
        self._words, self._split, self._baseline = words, split, baseline
        self._tables = None  # in which the ids of the tokenizer are looked up
        self._asked = None  # the target that was asked last, compiled

    @spell_out(Arguments)
    def explain(
        self, x: str, *, samples: int = 1000, **options: Unpack[ExplainOptions]
    ) -> Explanation:
        """Explain one text.

        Shortened texts for which the model gives NaN, as a mean over no words does, are left out,
        with a warning.

        Args:
            x: a text. Without any word the explanation has no weights, only the score.
            samples: how many texts the model sees, the text itself included. Where all subsets of
                the words are fewer, each is tried once.
            **options: those of `ExplainOptions`.

        Returns:
            An `Explanation`.

        Raises:
            TypeError, ValueError: not a string, an argument that is none of the above, or scores
                that are not finite.
        """
        if not isinstance(x, str):
            raise TypeError(
                f"Expected one text as a str, received {type(x).__name__}. Explain the texts of "
                "a list one by one, decode bytes first."
            )
        arguments = self._check_arguments(samples, **options)
        self._check_tokens(x)
        predictor = self._predictor_for(arguments)
        subject = self._split_text(x)
        problem = Problem(
            subject.words, self._make_scores(subject, predictor), what="word",
            may_be_undefined=True, is_ambiguous=predictor.is_ambiguous)
        return make_explanation(subject, self._local.explain(problem, arguments), arguments)

    def _check_tokens(self, text):
        """Does what the tokenizer makes of the text fit the model? Frameworks do not always say."""
        made = self._predictor.preprocess
        if made is None or not self._predictor.is_keras:
            return
        if self._tables is None:
            program = Program.trace(self._predictor.model)[1]
            self._tables = program.inputs, *find_tables(program)
        values, *tables = self._tables
        arrays = tree.flatten(to_arrays(made([text])))
        if len(arrays) == len(values) and all(isinstance(a, np.ndarray) for a in arrays):
            for value, array in zip(values, arrays, strict=True):
                check_array(value.spec, array)
            check_ids(*tables, arrays)

    def _predictor_for(self, arguments):
        target = arguments.target
        if not (isinstance(target, Target) and target.reads_padding):
            return super()._predictor_for(arguments)
        if self._asked is None or self._asked[0] != target:
            self._asked = target, ask(self._predictor, target, self._local.batch_size)
        return self._asked[1]

    def __getstate__(self):
        return {**vars(self), "_asked": None, "_tables": None}

    def _split_text(self, text):
        spans = _check_spans(self._split(text), text)
        features, words = {}, []
        positions = []
        for number, (start, end) in enumerate(spans):
            key = text[start:end] if self._words == "bag" else number
            if key not in features:
                features[key] = len(words)
                words.append(text[start:end])
            positions.append((start, end, features[key]))
        return TextSubject(text, tuple(words), tuple(positions))

    def _make_scores(self, subject, predictor):
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
            rows = np.where(kept, pieces, self._baseline)
            texts = ["".join(row) for row in rows]
            return predictor(texts, batch_size, may_be_undefined=True)

        return scores


def _check_spans(found, text):
    """`(start, end)` of each word, in order, from what a split function returns."""
    spans, position = [], 0
    for item in found:
        if isinstance(item, str):
            start = text.find(item, position)
            item = (start, start + len(item))
        start, end = (int(i) for i in item)
        if not position <= start < end <= len(text):
            raise ValueError(
                "Expected `split` to return the words of the text in their order, or their (start, "
                f"end), received {item!r} after position {position}. It must not change the words."
            )
        spans.append((start, end))
        position = end
    return spans
