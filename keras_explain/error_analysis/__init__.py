"""Where a classifier is wrong, what it confuses, and why."""

from keras_explain.error_analysis.analysis import (
    ConfusedPair,
    ErrorAnalysis,
    ErrorHeatmaps,
    analyze_errors,
    explain_errors,
)

__all__ = ["ConfusedPair", "ErrorAnalysis", "ErrorHeatmaps", "analyze_errors", "explain_errors"]
