"""Records of a log as the dashboard can show them, whatever a damaged log holds.

One bad record must not hide another: what is no JSON object, holds NaN or is nested deeper than
any record of ours is left out, and fields of a wrong kind are dropped from the others.
"""

import json
import math

from keras_explain.tensorboard.naming import FORMAT

KINDS = ("image", "superpixels", "words")
_DEEPEST = 8


def parse(text):
    """The record in a text, or None."""
    try:
        record = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, TypeError, RecursionError):
        return None
    return record if isinstance(record, dict) and _depth(record) <= _DEEPEST else None


def read_about(record):
    """What a series is about, with its fields in the kinds that they should have; None if its
    format is another or it has no list of examples."""
    if record.get("format") != FORMAT or record.get("kind") not in KINDS:
        return None
    if not isinstance(record.get("ids"), list):
        return None
    ids = [str(name) for name in record["ids"]]
    return {
        **record, "method": str(record.get("method", "")), "ids": ids,
        "truth": _texts(record.get("truth")), "words": _rows(record.get("words"), str),
        "token": str(record.get("token", "")),
    }


def read_step(record):
    """The answers of one step, with what is of a wrong kind left out."""
    fields = {
        "label": str(record.get("label", "")), "seconds": _number(record.get("seconds")),
        "set": record.get("set"), "predicted": _texts(record.get("predicted")),
        "truth": _texts(record.get("truth")), "words": _rows(record.get("words"), str),
        "weights": _rows(record.get("weights"), _number),
    }
    for name in ("limits", "score", "truth_score"):
        fields[name] = _list(record.get(name), _number)
    fields["probable"] = _list(record.get("probable"), bool)
    if isinstance(record.get("ids"), list):
        fields["ids"] = [str(name) for name in record["ids"]]
    return {name: value for name, value in fields.items() if value is not None}


def _refuse(constant):
    raise ValueError(f"Expected numbers of JSON, received {constant}. Write null in its place.")


def _finite(text):
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _depth(value):
    """How deep lists and dicts are nested, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        parents = [v for v in level if isinstance(v, (dict, list))]
        level = [child for v in parents for child in (v.values() if isinstance(v, dict) else v)]
        if depth > _DEEPEST:
            break
    return depth


def _list(value, kind):
    return [kind(v) for v in value] if isinstance(value, list) else None


def _texts(value):
    return _list(value, lambda v: None if v is None else str(v))


def _rows(value, kind):
    return _list(value, lambda row: _list(row, kind) or [])


def _number(value):
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if real and abs(value) < 1e300 else None
