"""One question, `explain`, for people who do not know a method's name, and its answer.

`explain.py` is the entry and `reasons.py` what it returns. `_methods.py` chooses two methods that
work differently, `_checking.py` compares them with each other and with chance, and `_drawing.py`
shows it all.
"""

from keras_explain.reasons.explain import explain
from keras_explain.reasons.reasons import DisagreementWarning, Reasons

__all__ = ["DisagreementWarning", "Reasons", "explain"]
