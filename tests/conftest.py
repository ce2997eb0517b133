"""Settings that must stand before Keras is imported."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA takes seconds to optimize what these tests run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
