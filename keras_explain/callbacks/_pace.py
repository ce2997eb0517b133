"""Which epochs are explained where the user leaves it to the callback."""

import time

SHARE = 0.2  # of the time of training that explanations may take


class Pace:
    """Explanations take at most a fifth of the time of training, the last epoch's aside.

    Used as a context it measures an explanation.

    Args:
        seconds: what the explanation before training took.
    """

    def __init__(self, seconds):
        self.seconds, self.skipped = seconds, 0
        self._spent, self._trained, self._began = 0.0, 0.0, None

    def is_due(self, seconds, is_last):
        """Whether to explain after an epoch that took `seconds`."""
        self._trained += seconds
        is_due = is_last or self._spent + self.seconds <= SHARE * self._trained
        self.skipped += not is_due
        return is_due

    def describe(self):
        """Why epochs were left out."""
        return (
            f"{self.skipped} epochs were not explained, because an explanation of the examples"
            f" takes {self.seconds:.1f} s and all together may take {SHARE:.0%} of the"
            f" {self._trained:.1f} s that training took so far. `every_n_epochs=1` explains each."
        )

    def __enter__(self):
        self._began = time.perf_counter()

    def __exit__(self, *error):
        self.seconds = time.perf_counter() - self._began
        self._spent += self.seconds
