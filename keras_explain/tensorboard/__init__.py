"""TensorBoard logs without TensorFlow.

TensorBoard imports this package when it starts, to find our dashboard: nothing is imported here
before it is used.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(__name__, submod_attrs={"writer": ["EventWriter"]})
