"""Where the pieces of a tokenizer lie in the text that it cut, and which word each belongs to."""

import unicodedata

from keras_explain.lime.words import split_words

_MARKS = ("##", "\u2581", "\u0120")  # of pieces inside a word, or behind a space


def align(text: str, pieces: list[tuple[str, ...] | None]) -> list[tuple[int, int] | None]:
    """Find the span of text that each piece was cut from.

    Tokenizers change letters (lower case, no accents), mark pieces ("##ing") and replace what
    they do not know. A piece is looked for behind the last one, without case and accents; those
    that are not found share the words that nothing else covers there; what covers no text, as
    "[CLS]", has no span. A piece that was not found covers one word at most.

    Args:
        text: as the user wrote it.
        pieces: for each token the forms in which it may stand in the text, the likeliest first;
            None for one that is known to stand for no text, as padding.

    Returns:
        `(start, end)` or None for each piece.
    """
    plain, origin = _simplify(text)
    spans, cursor, missed = [], 0, 0
    for forms in pieces:
        found = None if forms is None else _find(plain, cursor, forms)
        if found is None or len(split_words(plain[cursor : found[0]])) > missed:
            spans.append(None)
            missed += forms is not None
            continue
        cursor, missed = found[1], 0
        spans.append((origin[found[0]], origin[found[1] - 1] + 1))
    return _fill_gaps(text, spans, {k for k, forms in enumerate(pieces) if forms is None})


def merge(
    text: str, spans: list[tuple[int, int] | None]
) -> tuple[list[tuple[int, int]], list[int]]:
    """The words of a text, and for each piece the index of its word, -1 for pieces without span.

    Words are those of `split_words` that a piece reaches; a piece beside them, as a comma, is
    one by itself.
    """
    words, found, places = split_words(text), [], []
    for span in spans:
        if span is None:
            places.append(-1)
            continue
        word = next((w for w in words if w[0] <= span[0] < w[1]), span)
        if found and found[-1][0] <= span[0] < found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], word[1])
        else:
            found.append((word[0], max(word[1], span[1])))
        places.append(len(found) - 1)
    return found, places


def _simplify(text):
    """The text without case and accents, and for each letter of it the place in the text."""
    letters, origin = [], []
    for i, character in enumerate(text):
        for letter in unicodedata.normalize("NFD", character.casefold()):
            if unicodedata.category(letter) != "Mn":
                letters.append(letter)
                origin.append(i)
    return "".join(letters), origin


def _find(plain, cursor, forms):
    """The next place of a piece: directly behind the last one, else anywhere behind it."""
    start = cursor
    while start < len(plain) and plain[start].isspace():
        start += 1
    wanted = [_simplify(form.strip())[0] for form in _unmark(forms)]
    wanted = [form for form in wanted if form]
    for form in wanted:
        if plain.startswith(form, start):
            return start, start + len(form)
    for form in wanted:
        at = plain.find(form, start)
        if at >= 0:
            return at, at + len(form)
    return None


def _unmark(forms):
    """The forms, and what they are without a tokenizer's marks."""
    for form in forms:
        yield form
        for mark in _MARKS:
            if form.startswith(mark) and form != mark:
                yield form[len(mark):]


def _fill_gaps(text, spans, special):
    """Give runs of pieces without span the words between their neighbors, in order.

    Where there are more pieces than words at an end of the text, the outermost are no words.
    """
    spans, i = list(spans), 0
    while i < len(spans):
        stop = i
        while stop < len(spans) and spans[stop] is None:
            stop += 1
        start = spans[i - 1][1] if i else 0
        end = spans[stop][0] if stop < len(spans) else len(text)
        free, run = split_words(text[start:end]), [k for k in range(i, stop) if k not in special]
        if stop == len(spans) and len(free) > len(run) and not special:
            free = []  # the text was cut
        surplus = max(len(run) - len(free), 0)
        if i == 0:
            run = run[surplus - surplus // 2 if stop == len(spans) else surplus:]
        if stop == len(spans) and run:
            run = run[:max(len(free), 1)]
        for n, k in enumerate(run if free else []):
            a, b = free[min(n, len(free) - 1)]
            spans[k] = start + a, start + b
        i = stop + 1
    return spans
