"""TensorBoard's entry point to the Explanations dashboard.

TensorBoard loads this module at every start, and does not start if that fails. So nothing is
imported here but TensorBoard's own base class, which is loaded by then; what the dashboard needs
is imported when it is made, and an error there costs the dashboard only.
"""

import logging

from tensorboard.plugins import base_plugin

from keras_explain.tensorboard.naming import PLUGIN_NAME


class Loader(base_plugin.TBLoader):
    """Makes the dashboard for TensorBoard."""

    def fix_flags(self, flags):
        """Keep every step: TensorBoard's default for plugins is ten (0 means all)."""
        samples = getattr(flags, "samples_per_plugin", None)
        if isinstance(samples, dict):
            samples.setdefault(PLUGIN_NAME, 0)

    def load(self, context):
        """The dashboard, or None and a logged reason."""
        try:
            from keras_explain.tensorboard.plugin.backend import Dashboard

            return Dashboard(context)
        except Exception:
            logging.getLogger("tensorboard").exception(
                "The Explanations dashboard of keras_explain could not be loaded; TensorBoard"
                " goes on without it."
            )
            return None
