"""What LIME says about one input."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from keras_explain.checks import check_choice
from keras_explain.lime._packing import freeze
from keras_explain.lime._saved import parse, read_fields
from keras_explain.lime._subjects import (
    ImageSubject,
    SeriesSubject,
    TabularSubject,
    TextSubject,
)
from keras_explain.terminal import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMAT = 1
Sign = Literal["both", "positive", "negative"]
_SIGNS = {"both": 0, "positive": 1, "negative": -1}


class Feature(NamedTuple):
    """One part of the input and its weight: index in the weights, name, weight."""

    index: int
    name: str
    weight: float


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gave one input its scores: a weight for each superpixel, word, column or segment.

    A weight is by how much the class's score rises, near the input, when the feature is there
    rather than taken out. Before reading weights, read `fidelity` and `stability`.

    Args:
        subject: the input and its parts: an `ImageSubject`, `TextSubject`, `TabularSubject` or
            `SeriesSubject`.
        classes: indices of the explained classes, `C` of them.
        class_names: their names.
        prediction: `(C,)`, the model's scores of the input.
        weights: `(C, S)`.
        intercept: `(C,)`, the surrogates' scores with every feature out.
        local_prediction: `(C,)`, the surrogates' scores of the input: compare with `prediction`.
        fidelity: `(C,)`, weighted R2: the share of the scores' variance around the input that the
            surrogate explains; 1 is all. This is `lime`'s `score`.
        held_out_fidelity: `(C,)`, the same for samples that the surrogate was not fitted to.
        stability: `(C,)`, the correlation to expect with the weights of another seed; 1 where all
            subsets were tried.
        rules: for each class the decision tree as text, else "".
        samples: how many perturbed inputs the model saw.
        seed: the seed that reproduces this.
        converged: whether `tolerance` was reached, `None` without.
        disagreement: `(C, S)`, the standard deviation of each weight over the fills of
            `baseline="several"`; `None` with one fill.

    Example:
        >>> from keras_explain.lime import LimeTextExplainer
        >>> import numpy as np
        >>> count = lambda texts: np.array([t.count("good") / 2 for t in texts])
        >>> explanation = LimeTextExplainer(count).explain("good day", target=1)
        >>> [(f.name, round(f.weight, 3) + 0.0) for f in explanation.top(2)]
        [('good', 0.5), ('day', 0.0)]
    """

    subject: ImageSubject | TextSubject | TabularSubject | SeriesSubject
    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    prediction: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    local_prediction: np.ndarray
    fidelity: np.ndarray
    held_out_fidelity: np.ndarray
    stability: np.ndarray
    rules: tuple[str, ...]
    samples: int
    seed: int
    converged: bool | None = None
    disagreement: np.ndarray | None = None

    def __post_init__(self) -> None:
        for field in _ARRAYS:
            if getattr(self, field) is not None:
                object.__setattr__(self, field, freeze(getattr(self, field)))

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in the order of the weights."""
        return self.subject.features

    @property
    def segments(self) -> np.ndarray:
        """The labels of superpixels `(H, W)`, or of a series' parts, as the heatmap."""
        return self.subject.segments

    @property
    def words(self) -> tuple[str, ...]:
        """The words of a text, in the order of the weights."""
        return self.subject.words

    def top(
        self, k: int = 5, target: int | str | None = None, sign: Sign = "both"
    ) -> list[Feature]:
        """The features of largest weight.

        Args:
            k: how many; fewer where there are not so many weights of that sign.
            target: index or name of an explained class; `None` for the first.
            sign: `"positive"` for those that speak for the class, `"negative"` against it,
                `"both"`.

        Returns:
            A list of `Feature(index, name, weight)`, largest magnitude first. Weights of 0 are
            left out.

        Raises:
            ValueError: the class was not explained, or an unknown sign.
        """
        check_choice("sign", sign, _SIGNS)
        weights = self.weights[self.row(target)]
        order = np.argsort(-np.abs(weights), kind="stable")
        order = [i for i in order if weights[i] * (_SIGNS[sign] or np.sign(weights[i])) > 0][:k]
        names = self.features
        return [Feature(int(i), names[i], float(weights[i])) for i in order]

    def heatmap(self, target: int | str | None = None) -> np.ndarray:
        """The weights in the shape of the input.

        Args:
            target: index or name of an explained class; `None` for the first.

        Returns:
            float32: `(H, W)` for an image, `(T,)` for the words of a text (every occurrence),
            `(F,)` for a row, `(T, F)` for a series, `(K, F)` for its frequencies, lowest first,
            and frequencies by frames for its spectrogram.

        Raises:
            ValueError: the class was not explained.
        """
        return self.subject.spread(self.weights[self.row(target)])

    def mask(
        self, k: int = 5, target: int | str | None = None, sign: Sign = "positive"
    ) -> np.ndarray:
        """Where the features of largest weight are.

        Args:
            k, target, sign: as for `top`; by default the features that speak for the class.

        Returns:
            bool, of the heatmap's shape.

        Raises:
            ValueError: as `top`.
        """
        chosen = np.zeros(len(self.features))
        chosen[[feature.index for feature in self.top(k, target, sign)]] = 1
        return self.subject.spread(chosen) > 0

    def picture(
        self, k: int = 5, target: int | str | None = None, sign: Sign = "positive"
    ) -> np.ndarray:
        """The image with only its most important superpixels, the rest faded to gray.

        Args:
            k, target, sign: as for `mask`.

        Returns:
            uint8 `(H, W, 3)`.

        Raises:
            TypeError: no image.
            ValueError: as `top`.
        """
        from keras_explain.lime._figure import cut_out

        return cut_out(self, k, target, sign)

    def show(self, k: int = 5, target: int | str | None = None) -> "Figure":
        """A matplotlib figure: top features and heatmap of an image, lines of a series, else bars.

        Args:
            k: number of features.
            target: index or name of an explained class; `None` for a row of pictures per class.

        Returns:
            `matplotlib.figure.Figure`; notebooks display it, `savefig` writes it.

        Raises:
            ValueError: as `top`.
        """
        from keras_explain.lime._figure import draw_figure

        return draw_figure(self, k, target)

    def to_html(self, k: int = 10) -> str:
        """A self-contained piece of HTML without scripts; all texts and names are escaped.

        Args:
            k: number of features for each class.

        Returns:
            str.
        """
        from keras_explain.lime._html import to_html

        return to_html(self, k)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_dict(self) -> dict[str, Any]:
        """The whole explanation in lists, numbers and strings, ready for JSON."""
        data = {"format": _FORMAT, "subject": self.subject.to_dict()}
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            is_list = isinstance(value, (tuple, np.ndarray))
            data[field.name] = np.asarray(value).tolist() if is_list else value
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Explanation":
        """The inverse of `to_dict`: every number is the same to the last bit.

        Raises:
            ValueError: not a dict of this format, or a damaged one.
        """
        return cls(**read_fields(data, _FORMAT, [f.name for f in dataclasses.fields(cls)]))

    def to_json(self) -> str:
        """`to_dict` as a JSON text."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Explanation":
        """The inverse of `to_json`. Raises as `from_dict`."""
        return cls.from_dict(parse(text))

    def row(self, target: int | str | None = None) -> int:
        """The row of an explained class in `weights`, by its index or name."""
        if target is None:
            return 0
        for names in (self.classes, self.class_names):
            if target in names:
                return names.index(target)
        raise ValueError(
            f"Expected one of the explained classes {list(self.classes)}"
            f" ({', '.join(self.class_names)}), received {target!r}. Explain it: target={target!r}."
        )

    def __str__(self) -> str:
        lines = []
        for row, number in enumerate(self.classes):
            reasons = ", ".join(f"{f.name} ({f.weight:+.3g})" for f in self.top(5, number))
            lines.append(
                f"{self.class_names[row]} ({self.prediction[row]:.3g}) because: "
                f"{reasons or 'nothing'} [fidelity {self.fidelity[row]:.2f}, stability "
                f"{self.stability[row]:.2f}]"
            )
        return "\n".join(map(escape_controls, lines))

    def __repr__(self) -> str:
        return (
            f"<Explanation of {self.subject.kind}, classes {list(self.class_names)}, "
            f"{len(self.features)} features, {self.samples} samples>"
        )


_ARRAYS = (
    "prediction",
    "weights",
    "intercept",
    "local_prediction",
    "fidelity",
    "held_out_fidelity",
    "stability",
    "disagreement",
)
