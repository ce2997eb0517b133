"""Names that the callbacks write and the dashboard reads; imports nothing."""

PLUGIN_NAME = "keras_explain"
FORMAT = 1
FOLDER = "explanations"  # <log_dir>/explanations/<series> is the run of one callback
