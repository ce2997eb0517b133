"""Checks of arguments, each with one form of error: expected, received, remedy."""

import difflib
import numbers
from collections.abc import Iterable

import numpy as np


def check_positive(name, value, remedy=""):
    """`value` as an int of at least 1.

    Raises:
        ValueError: it is none.
    """
    return check_integer(name, value, 1, remedy)


def check_integer(name, value, lowest, remedy=""):
    """`value` as an int of at least `lowest`; integers of NumPy are welcome.

    Raises:
        ValueError: it is none.
    """
    if not is_integer(value) or value < lowest:
        raise ValueError(
            f"Expected `{name}` to be an integer of at least {lowest}, received {value!r}."
            f" {remedy}".rstrip()
        )
    return int(value)


def check_per_axis(name, value, remedy=""):
    """`value` as a tuple of ints of at least 1: an integer for all axes, or one for each.

    Raises:
        ValueError: it is none.
    """
    several = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    if not several or not all(is_integer(n) and n > 0 for n in several):
        raise ValueError(
            f"Expected `{name}` to be an integer of at least 1, or one per axis, received"
            f" {value!r}. {remedy}".rstrip()
        )
    return tuple(int(n) for n in several)


def check_bool(name, value):
    """`value` as a bool; those of NumPy are welcome.

    Raises:
        ValueError: it is none, though Python would take it for true or false.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"Expected `{name}` to be True or False, received {value!r}. Leave the"
                         " quotes of a word out.")
    return bool(value)


def check_choice(name, value, allowed):
    """Refuse what is not one of the values `allowed`.

    Raises:
        ValueError: it is none of them.
    """
    if not any(value is a or isinstance(value, str) and value == a for a in allowed):
        near = nearest(value, [a for a in allowed if isinstance(a, str)])
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"Expected `{name}` to be one of {tuple(allowed)}, received {value!r}.{hint}")


def is_integer(value):
    """Whether `value` is an int or a NumPy integer, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def nearest(name, known, count=3):
    """The names among `known` that look most like `name`, best first."""
    return difflib.get_close_matches(str(name), list(known), count, 0.5)
