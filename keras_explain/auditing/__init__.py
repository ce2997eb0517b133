"""What a whole data set shows: groups of explanations, each with an intervention, and a report.

`auditor.py` is the entry and `findings.py` what it returns. `_passing.py` explains the data once
and finds chosen examples again, `_pooling.py` makes heatmaps comparable, `_grouping.py` groups
them, `_intervening.py` changes what a group looks at, and `_report.py` writes it all down.
"""

from keras_explain.auditing.auditor import audit
from keras_explain.auditing.findings import Audit, Group

__all__ = ["Audit", "Group", "audit"]
