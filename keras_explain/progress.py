"""One line on stderr that counts what is done."""

import sys
import time
from typing import Literal

from keras_explain.checks import check_choice

Verbose = Literal["auto", 0, 1]
VERBOSE = ("auto", 0, 1, False, True)


class Progress:
    """A bar with the time that is left.

    Args:
        total: how many there are to do; None where it is not known.
        what: the words before the bar.
        verbose: "auto" shows the bar where stderr is a terminal; 0 never, 1 always.
    """

    def __init__(self, total: int | None, what: str, verbose: Verbose) -> None:
        check_choice("verbose", verbose, VERBOSE)
        shown = sys.stderr.isatty() if verbose == "auto" else bool(verbose)
        self._stream = sys.stderr if shown else None
        self._total, self._what, self._start = total, what, time.monotonic()
        self._done = 0

    def advance(self, count: int = 1) -> None:
        """Show that `count` more are done."""
        self._done += count
        if self._stream is None:
            return
        if self._total is None:
            self._stream.write(f"\r{self._what}: {self._done} ")
            self._stream.flush()
            return
        left = (time.monotonic() - self._start) / self._done * (self._total - self._done)
        bar = ("#" * (20 * self._done // self._total)).ljust(20, ".")
        self._stream.write(
            f"\r{self._what} [{bar}] {self._done}/{self._total}, {left:.0f} s left ")
        self._stream.flush()

    def close(self, note: str = "") -> None:
        """End the line with the time that was spent, and a `note`."""
        if self._stream is not None:
            spent = time.monotonic() - self._start
            self._stream.write(f"\r{self._what}: {spent:.1f} s{note}".ljust(70) + "\n")
            self._stream.flush()
