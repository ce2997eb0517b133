"""One line on stderr that counts samples."""

import sys
import time


class Progress:
    """`verbose="auto"` is silent where stderr is not a terminal; `verbose=0` everywhere."""

    def __init__(self, total, what, verbose):
        shown = sys.stderr.isatty() if verbose == "auto" else bool(verbose)
        self._stream = sys.stderr if shown else None
        self._total, self._what, self._start = total, what, time.monotonic()

    def update(self, done):
        """Show that `done` of the total are done."""
        if self._stream is None:
            return
        left = (time.monotonic() - self._start) / done * (self._total - done)
        bar = ("#" * (20 * done // self._total)).ljust(20, ".")
        self._stream.write(f"\r{self._what} [{bar}] {done}/{self._total}, {left:.0f} s left ")
        self._stream.flush()

    def close(self, note=""):
        """End the line."""
        if self._stream is not None:
            spent = time.monotonic() - self._start
            self._stream.write(f"\r{self._what}: {spent:.1f} s{note}".ljust(70) + "\n")
            self._stream.flush()
