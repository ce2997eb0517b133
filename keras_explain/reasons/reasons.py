"""What `explain` answers: predictions, two methods' maps, whether they agree and beat chance."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_explain.reasons import _drawing
from keras_explain.reasons._checking import CHANCES, name_agreement
from keras_explain.signatures import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_explain.explainers._explained_model import ExplainedModel


class DisagreementWarning(UserWarning):
    """Two methods that work differently say different things of the same answer."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reasons:
    """Why a model answers as it does, for a few inputs. Notebooks show it by itself.

    `print` gives it in words, `show` as a figure, `to_html` as a page.

    Attributes:
        kind: of the input: "image", "text", "series" or "table".
        method: the name of the method that was chosen, and `why`.
        second: the name of a method that works differently; None where none suits.
        x: the inputs, as given.
        predictions: the model's answers.
        answers: the explained answer of each input in words, as "cat 93 %".
        heatmaps: `(N, ...)`, those of the chosen method, raw; of words and columns `(N, ...)` too.
        second_heatmaps: those of the second method, or None.
        agreement: `(N,)`, correlation of the two over cells, words or columns, or None.
        beats_chance: `(N,)`, the share of random orders of the same numbers that the method's order
            is better than; NaN for inputs that were not checked, None where it cannot be measured.
        parts: names of the words of each text, or of the columns; None for images and series.
        explained: the explained models of the two methods, to ask on.
        notes: what could not be done, and why.
    """

    kind: str
    method: str
    why: str
    second: str | None
    x: Any
    predictions: Any
    answers: tuple[str, ...]
    heatmaps: Array
    second_heatmaps: Array | None
    agreement: np.ndarray | None
    beats_chance: np.ndarray | None
    parts: tuple[tuple[str, ...], ...] | None
    explained: tuple["ExplainedModel", ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.answers)

    def sentences(self, row: int = 0) -> list[str]:
        """What is to be said of one input, in whole sentences.

        Args:
            row: which of the inputs.
        """
        said = [f"Answer: {self.answers[row]}."]
        if self.parts is not None:
            order = np.argsort(-np.abs(self.heatmaps[row][: len(self.parts[row])]))[:5]
            said.append("Most by: " + ", ".join(
                f"{self.parts[row][i]} ({self.heatmaps[row][i]:+.3g})" for i in order) + ".")
        if self.agreement is None:
            said.append("No second method could be asked.")
        else:
            found = float(self.agreement[row])
            advice = {"disagree": " Believe neither before you know why: compare them on more"
                                  " inputs with `keras_explain.compare`."}
            verdict = name_agreement(found)
            said.append(f"{self.method} and {self.second} {verdict} (correlation"
                        f" {found:.2f}).{advice.get(verdict, '')}")
        if self.beats_chance is not None and np.isfinite(self.beats_chance[row]):
            share = float(self.beats_chance[row])
            said.append(
                f"Its order is better than {round(share * CHANCES)} of {CHANCES} orders at random."
                + (" On this input it has not shown that it explains anything."
                   if share < 0.75 else ""))
        return said

    def __str__(self) -> str:
        lines = [f"{self.method} ({self.kind}). {self.why}"]
        for i in range(len(self)):
            lines += [f"[{i}] {' '.join(self.sentences(i))}"]
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        return (f"<Reasons of {len(self)} {self.kind} inputs by {self.method!r},"
                f" second {self.second!r}>")

    def show(self, row: int = 0) -> "Figure":
        """One input with the maps of both methods, as a matplotlib figure.

        Args:
            row: which of the inputs.
        """
        return _drawing.draw(self, row)

    def to_html(self, path: str | os.PathLike | None = None) -> str:
        """All inputs as one page without scripts and other files.

        Args:
            path: a file to write it to.

        Returns:
            The page.
        """
        text = _drawing.write_page(self)
        if path is not None:
            pathlib.Path(path).write_text(text, encoding="utf-8")
        return text

    def _repr_html_(self) -> str:
        return _drawing.write_block(self)
