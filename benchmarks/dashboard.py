"""How fast is the dashboard with 20 examples x 4 methods x 200 epochs? One JSON line.

    python benchmarks/dashboard.py [--chromium /usr/bin/chromium] [--repeats 3]

Needs Chromium and `pip install playwright`. Seconds from opening the page, with nothing cached,
to the first picture (TensorBoard's own page, and then ours), and frames a second while every
epoch is scrubbed through.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import logs  # noqa: E402
from browser.conftest import ARGUMENTS, frame_of, launch  # noqa: E402

SCRUB = """async () => {
  const scrubber = document.querySelector("#scrubber");
  const frame = () => new Promise(requestAnimationFrame);
  const started = performance.now();
  for (let step = 0; step <= 200; step++) {
    scrubber.value = step;
    scrubber.dispatchEvent(new Event("input"));
    await frame();
    await frame();
  }
  return 201 / ((performance.now() - started) / 1000);
}"""


def measure(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(f"{address}#keras_explain")
    frame = frame_of(page, None)
    shell = time.perf_counter() - began
    frame.wait_for_function("(document.querySelector('canvas.map')?.width ?? 0) > 1")
    opened = time.perf_counter() - began
    frame.wait_for_function("document.querySelector('#scrubber').max === '200'")
    page.wait_for_timeout(3000)
    pace = frame.evaluate(SCRUB)
    context.close()
    return opened, opened - shell, pace


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        logs.write_large(pathlib.Path(folder, "run"))
        address = launch(folder, "true")
        browser = playwright.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        measure(browser, address)  # TensorBoard has read the log
        found = [measure(browser, address) for _ in range(options.repeats)]
        browser.close()
    opened, ours, pace = (statistics.median(side) for side in zip(*found, strict=True))
    print(json.dumps({"first_picture_seconds": round(opened, 2), "mark_below": 3,
                      "of_it_after_the_page_of_tensorboard": round(ours, 2),
                      "frames_per_second": round(pace, 1), "mark_above": 10}))


if __name__ == "__main__":
    main()
