"""What an audit found: groups of explanations, the most suspicious first."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

SUSPICIOUS = 0.12  # a score above; see benchmarks/audit.py


@dataclasses.dataclass(frozen=True)
class Group:
    """Examples of one predicted class that the model recognizes by the same places.

    Attributes:
        target: the class.
        members: which examples of the data, in their order.
        size: how many of the class's examples there are in all.
        share: the members among them.
        heat: the mean share of what speaks for the class in each cell.
        region: the places that hold half of that, bool, of a heatmap's shape.
        overlap: how much of `heat` the rest of the class looks at as well, 0 to 1.
        paste: share of examples of other classes that become `target` when they get the
            members' content of `region`.
        paste_mates: the same with the content of the class's other examples.
        hide: share of members that leave the class when `region` gets the content of others.
        hide_elsewhere: the same with a region of that shape somewhere else.
        accuracy: share of members whose true class it is; None without labels.
        examples: inputs of typical members, those nearest to the mean.
    """

    target: int
    members: np.ndarray
    size: int
    heat: np.ndarray
    region: np.ndarray
    overlap: float
    paste: float
    paste_mates: float
    hide: float
    hide_elsewhere: float
    accuracy: float | None
    examples: Any
    example_maps: np.ndarray

    @property
    def share(self) -> float:
        """The members among all examples of the class."""
        return len(self.members) / self.size

    @property
    def score(self) -> float:
        """How suspicious it is: a strong, rare cause where the others of the class do not look.

        The gain of `paste` over `paste_mates`, times one minus `overlap`, times one minus
        `share`. Zero where it could not be measured.
        """
        gain = self.paste - (0.0 if np.isnan(self.paste_mates) else self.paste_mates)
        return float(np.nan_to_num(gain * (1 - self.overlap) * (1 - self.share)))

    @property
    def suspicious(self) -> bool:
        """Whether a person should look at it: a score above 0.12."""
        return self.score > SUSPICIOUS

    def to_dict(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        names = ("overlap", "paste", "paste_mates", "hide", "hide_elsewhere", "score")
        numbers = {n: float(getattr(self, n)) for n in names}
        return {
            "target": self.target, "members": self.members.tolist(), "size": self.size,
            "share": self.share, "suspicious": self.suspicious,
            **{n: None if np.isnan(v) else round(v, 4) for n, v in numbers.items()},
            "accuracy": self.accuracy,
        }


@dataclasses.dataclass(frozen=True)
class Audit:
    """What a model uses on a data set.

    Attributes:
        groups: of all classes, the most suspicious first.
        predicted: the class that was answered for each example.
        y: true classes, or None.
        class_names: one for each class.
        facts: what was audited and how: model, data, method, seed, versions.
        notes: what this audit cannot say, in sentences.
    """

    groups: tuple[Group, ...]
    predicted: np.ndarray
    y: np.ndarray | None
    class_names: list[str]
    facts: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def suspicious(self) -> tuple[Group, ...]:
        """The groups that a person should look at."""
        return tuple(g for g in self.groups if g.suspicious)

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None without labels."""
        return None if self.y is None else float((self.y == self.predicted).mean())

    def add_notes(self, notes: Sequence[str]) -> "Audit":
        """The same audit with more to say of what it cannot show.

        Args:
            notes: sentences.
        """
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON takes them."""
        return {"facts": self.facts, "accuracy": self.accuracy, "notes": list(self.notes),
                "class_names": self.class_names, "groups": [g.to_dict() for g in self.groups]}

    def save(self, path: str | os.PathLike) -> None:
        """Write the numbers as JSON.

        Args:
            path: of the file.
        """
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_dict(), file, indent=1, ensure_ascii=False)

    def report(self, path: str | os.PathLike) -> str:
        """Write one HTML file that needs no other file, no network and no scripts.

        Args:
            path: of the file.

        Returns:
            The path.
        """
        from keras_explain.auditing import _report

        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(_report.write(self))
        return os.fspath(path)

    def __repr__(self) -> str:
        right = "" if self.accuracy is None else f", accuracy {self.accuracy:.1%}"
        lines = [f"Audit of {self.facts['model']['name']!r}: {len(self.predicted)} examples{right},"
                 f" {len(self.groups)} groups, {len(self.suspicious)} suspicious"]
        for group in self.groups[:5]:
            lines.append(
                f"  {'!' if group.suspicious else ' '} class {self.class_names[group.target]}:"
                f" {len(group.members)} of {group.size}, score {group.score:.2f}: pasted, its"
                f" region turns {group.paste:.0%} of others into the class (that of its mates"
                f" {group.paste_mates:.0%})")
        return "\n".join(lines + [f"  Note: {note}" for note in self.notes])

    def _repr_html_(self) -> str:
        from keras_explain.auditing import _report

        return _report.summarize(self)
