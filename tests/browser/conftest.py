"""TensorBoard with our dashboard, and a headless Chromium."""

import atexit
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

playwright_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update"]


SERVER = """
import pathlib, sys, threading
from tensorboard import default, program
from keras_explain.tensorboard.plugin import Loader, backend
if sys.argv[3:]:
    backend._STATIC = pathlib.Path(sys.argv[3])
board = program.TensorBoard(plugins=[*default.get_static_plugins(), Loader])
board.configure(["tensorboard", "--logdir", sys.argv[1], "--port", "0", "--load_fast", sys.argv[2],
                 "--reload_interval", "1"])
print(board.launch(), flush=True)
threading.Event().wait()
"""


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: needs Chromium and playwright")


def launch(logdir, fast="false", static=()):
    """Start TensorBoard on a free port; returns its address.

    `static` is one folder of the page's files, in place of the package's.
    It has a process of its own: its threads abort an interpreter that ends under them.
    """
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(logdir), fast, *map(str, static)],
                              text=True,
                              stdout=subprocess.PIPE, cwd=pathlib.Path(__file__).parents[2])
    atexit.register(server.kill)
    for line in server.stdout:
        if line.startswith("http"):
            return line.strip()
    raise AssertionError("TensorBoard has not started")


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium: install it, or name it in the variable CHROMIUM")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open an address; returns the page and the dashboard's frame once it has drawn."""
    contexts = []

    def visit(url, wait="table.grid canvas", size=(1280, 800), **options):
        viewport = {"width": size[0], "height": size[1]}
        contexts.append(browser.new_context(viewport=viewport, **options))
        page = contexts[-1].new_page()
        page.complaints = []
        page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(url if "#" in url else f"{url}#keras_explain")
        return page, frame_of(page, wait)

    yield visit
    for context in contexts:
        context.close()


def frame_of(page, wait):
    for _ in range(600):
        for frame in page.frames:
            if "plugin_entry" in frame.url:
                if wait:
                    frame.wait_for_selector(wait, timeout=30_000)
                return frame
        page.wait_for_timeout(50)
    raise AssertionError("TensorBoard shows no Explanations tab")
