"""Names of files and classes on their way to a terminal or into a document."""

import re
import unicodedata

_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, directions, lone surrogates, line separators


def escape_controls(text: object) -> str:
    r"""The text with everything escaped that a terminal would obey instead of show.

    A file name or a label may hold escape sequences that recolor the terminal, move its cursor or
    turn the reading direction round.

    Args:
        text: what is to be shown, in one line; other objects as their `str`.

    Returns:
        A text that every terminal shows as it is, and that can be written as UTF-8.

    Example:
        >>> print(escape_controls("a\x1b[31m\nb"))
        a\x1b[31m\nb
    """
    return "".join(_escape(c) if unicodedata.category(c) in _UNSEEN else c for c in str(text))


def escape_markdown(text: object) -> str:
    r"""The text as one cell of a Markdown table, without meaning for Markdown or HTML.

    Example:
        >>> print(escape_markdown("a|b <i> *c*"))
        a\|b \<i\> \*c\*
    """
    return re.sub(r"([\\`*\[\]<>|~&])", r"\\\1", escape_controls(text))


def _escape(character):
    return character.encode("unicode_escape").decode("ascii")
