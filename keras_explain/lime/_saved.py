"""Explanations from JSON, which may be damaged: whole, or a `ValueError` that says why not."""

import json

import numpy as np

from keras_explain.lime._subjects import SUBJECTS, ImageSubject

OF_EACH_CLASS = ("prediction", "intercept", "local_prediction", "fidelity", "held_out_fidelity",
                 "stability")
OPTIONAL = {"converged", "disagreement"}


def parse(text):
    """What a JSON text holds.

    Raises:
        ValueError: it is no JSON, or one that no `to_json` writes.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _error(f"a text that cannot be read ({error})") from error


def read_fields(data, version, fields):
    """The arguments of the `Explanation` that wrote the dict `data`.

    Args:
        data: as `to_dict` gives it.
        version: of the format.
        fields: the names of an explanation's fields.

    Raises:
        ValueError: another format, fields that are missing or unknown, or that do not fit.
    """
    if not isinstance(data, dict) or data.get("format") != version:
        received = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise _error(f"{received!r:.60} for its format, which is {version}")
    data = {key: value for key, value in data.items() if key != "format"}
    wrong = {*fields} - OPTIONAL - {*data} | {*data} - {*fields}
    if wrong:
        raise _error(f"other fields than it has: {sorted(map(str, wrong))} are missing or unknown")
    try:
        return _read(data)
    except (LookupError, TypeError, AttributeError, OverflowError, ValueError) as error:
        raise _error(f"fields that do not fit ({error})") from error


def _read(data):
    kind = data["subject"]["kind"]
    subject = SUBJECTS[kind].from_dict(data["subject"])
    names = _texts(data["class_names"])
    count = len(names)
    read = {"subject": subject, "class_names": names, "rules": _texts(data["rules"]),
            "classes": tuple(map(_integer, data["classes"])), "samples": _integer(data["samples"]),
            "seed": _integer(data["seed"]), "converged": data.get("converged"),
            "weights": _numbers("weights", data["weights"], (count, None)), "disagreement": None}
    if data.get("disagreement") is not None:
        read["disagreement"] = _numbers("disagreement", data["disagreement"], read["weights"].shape)
    for name in OF_EACH_CLASS:
        read[name] = _numbers(name, data[name], (count,))
    parts = int(subject.segments.max()) + 1 if isinstance(subject, ImageSubject) else len(
        subject.features)
    for what, found, wanted in [("classes", len(read["classes"]), count),
                                ("rules", len(read["rules"]), count),
                                ("features", parts, read["weights"].shape[1])]:
        if found != wanted:
            raise ValueError(f"{found} {what} for {wanted}")
    if read["converged"] not in (None, True, False):
        raise ValueError(f"converged is {read['converged']!r:.60}")
    return read


def _numbers(name, value, shape):
    numbers = np.asarray(value, float)
    if len(numbers.shape) != len(shape) or any(
            n not in (None, m) for n, m in zip(shape, numbers.shape, strict=True)):
        raise ValueError(f"{name} of shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} of numbers that are not finite")
    return numbers


def _texts(value):
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{value!r:.60} for a list of texts")
    return tuple(value)


def _integer(value):
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r:.60} for an integer")
    return value


def _refuse(word):
    raise ValueError(f"{word} is no number")


def _error(received):
    return ValueError(
        f"Expected an explanation as Explanation.to_dict() gives it, received {received}. Write"
        " the explanation again with this version.")
