"""A text to words, in any script."""

import re
import unicodedata

# One letter per class of character: the text is mapped to these, then split by a plain pattern.
_CLASSES = {"L": "L", "M": "M", "N": "N", "Pc": "L", "So": "S", "Sk": "M"}
_JOINERS = "\u200c\u200d"
_INSIDE_WORDS = "'\u2019\u00b7\u05f4\u2027"  # UAX 29: MidLetter and MidNumLet
_INSIDE_NUMBERS = "'\u2019,;\u066c"
_PATTERN = re.compile(
    r"[LN](?:[LNMJ]|[.q](?=[LN])|w(?=L)|(?<=N)n(?=N))*"  # letters and digits, "don't", "3,14"
    r"|HM*"  # Chinese characters and Hiragana: each is a word
    r"|S(?:M|JS)*"  # emoji and other symbols, with modifiers and joiners
)


def split_words(text: str) -> list[tuple[int, int]]:
    """Find the words of a text.

    Follows the default word boundaries of Unicode: runs of letters, combining marks, digits and
    connectors, with apostrophes and dots inside ("don't", "3.14", "U.S"); each Chinese character
    and Hiragana is a word by itself. Symbols such as emoji are words too, unlike in Unicode, for a
    heart says a lot about a review. Thai, Lao, Khmer and Burmese need a dictionary to be split:
    without one they are split at spaces only.

    The boundaries are those of Unicode Standard Annex 29, https://unicode.org/reports/tr29.

    Args:
        text: a string.

    Returns:
        A list of `(start, end)`.

    Example:
        >>> text = "I don't \\u2764\\ufe0f na\\u00efve r\\u00e9sum\\u00e9s!"
        >>> [text[start:end] for start, end in split_words(text)]
        ['I', "don't", '❤️', 'naïve', 'résumés']
    """
    return [match.span() for match in _PATTERN.finditer("".join(map(_classify, text)))]


def _classify(character):
    if character in _JOINERS:
        return "J"
    if character == ".":
        return "."
    if character in "'\u2019":
        return "q"
    if character in _INSIDE_WORDS:
        return "w"
    if character in _INSIDE_NUMBERS:
        return "n"
    if _is_ideograph(ord(character)):
        return "H"
    category = unicodedata.category(character)
    return _CLASSES.get(category) or _CLASSES.get(category[0], "_")


def _is_ideograph(code):
    """Han and Hiragana, without the marks that follow another character."""
    return (
        0x3041 <= code <= 0x3096
        or 0x3400 <= code <= 0x4DBF
        or 0x4E00 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
    )
