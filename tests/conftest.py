"""Settings that must stand before Keras is imported."""

import json
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA takes seconds to optimize what these tests run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def pytest_addoption(parser):
    parser.addoption("--support", metavar="FILE", help=(
        "write what the contract test finds of each builder and model: docs/_site/support.py"))


def pytest_configure(config):
    if config.getoption("--support") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Support(config.getoption("--support")))


class Support:
    """{builder: {kind of model: "right", "refused" or "wrong"}}, from `test_output`."""

    def __init__(self, path):
        self.path, self.found = path, {}

    def pytest_runtest_logreport(self, report):
        case = re.search(r"test_contract\.py::test_output\[(\w+)-(\w+)\]", report.nodeid)
        if case and (report.when == "call" or report.failed):
            told = dict(report.user_properties).get("support", "right")
            outcome = {"passed": told, "skipped": "refused", "failed": "wrong"}[report.outcome]
            self.found.setdefault(case[1], {})[case[2]] = outcome

    def pytest_sessionfinish(self):
        pathlib.Path(self.path).write_text(json.dumps(self.found, indent=1) + "\n")
