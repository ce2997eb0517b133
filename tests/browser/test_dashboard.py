"""The dashboard in a real browser: what a person sees and does."""

import json
import pathlib
import shutil
import time
import urllib.parse

import pytest
from test_doors import STATIC, follow_diffs

from . import logs
from .conftest import frame_of, launch

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    directory = tmp_path_factory.mktemp("log")
    logs.write(directory / "first", epochs=10)
    logs.write_superpixels(directory / "first", 10)
    logs.write(directory / "second", epochs=10, backward=True)
    logs.write_words(directory / "texts")
    return launch(directory)


def cell(frame, row=0, column=0):
    return frame.locator(".grid tbody tr").nth(row).locator("td").nth(column)


def hash_of(locator):
    """A number for the pixels of a canvas."""
    return locator.evaluate("""canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let hash = 0;
      for (const value of data) hash = (hash * 31 + value) | 0;
      return canvas.width > 1 ? hash : null;
    }""")


def changed(frame, locator, before):
    """The pixels once they differ from `before`."""
    for _ in range(100):
        now = hash_of(locator)
        if now is not None and now != before:
            return now
        frame.page.wait_for_timeout(50)
    raise AssertionError("the picture has not changed in 5 s")


def drawn(frame, locator):
    return changed(frame, locator, None)


def set_range(locator, value):
    locator.evaluate("""(input, value) => {
      input.value = value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }""", value)


def columns(frame):
    return frame.locator(".grid thead th").all_inner_texts()


def test_grid_of_examples_and_methods(visit, url):
    page, frame = visit(url)
    assert columns(frame) == ["Example", "lime", "grad_cam", "occlusion"]
    assert frame.locator(".grid tbody tr").count() == 3
    assert "Example 1: cat" in frame.locator(".grid tbody th").first.inner_text()
    assert frame.locator(".where").inner_text() == "epoch 10"
    drawn(frame, cell(frame, 0, 1).locator("canvas"))
    assert not page.complaints


def test_scrub(visit, url):
    page, frame = visit(url)
    canvas = cell(frame, 0, 1).locator("canvas")
    last = drawn(frame, canvas)
    set_range(frame.locator("#scrubber"), 3)
    third = changed(frame, canvas, last)
    assert frame.locator(".where").inner_text() == "epoch 3"
    assert bright_column(canvas) < 0.5
    set_range(frame.locator("#scrubber"), 0)
    changed(frame, canvas, third)
    assert frame.locator(".where").inner_text() == "start"
    set_range(frame.locator("#scrubber"), 10)
    changed(frame, canvas, third)
    assert bright_column(canvas) > 0.8


def bright_column(canvas):
    """Where along the width the map is hottest, by how yellow inferno makes it."""
    return canvas.evaluate("""canvas => {
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      const sums = Array(width).fill(0);
      for (let i = 0; i < data.length; i += 4) {
        sums[(i / 4) % width] += Math.max(0, data[i] - data[i + 2]);
      }
      return sums.indexOf(Math.max(...sums)) / width;
    }""")


def test_opacity_zero_is_the_picture_and_one_the_map(visit, url):
    page, frame = visit(url)
    canvases = [cell(frame, 0, column).locator("canvas") for column in (1, 2)]
    before = drawn(frame, canvases[0])
    opacity = frame.get_by_label("Map opacity")
    set_range(opacity, 0)
    changed(frame, canvases[0], before)
    assert hash_of(canvases[0]) == hash_of(canvases[1])  # the picture alone, whatever the method
    set_range(opacity, 1)
    changed(frame, canvases[0], hash_of(canvases[1]))
    assert hash_of(canvases[0]) != hash_of(canvases[1])


def test_colors_and_ranges(visit, url):
    page, frame = visit(url)
    grad_cam, occlusion = (cell(frame, 0, column).locator("canvas") for column in (1, 2))
    before = drawn(frame, grad_cam), drawn(frame, occlusion)
    frame.get_by_label("Colors", exact=True).select_option("cividis")
    changed(frame, grad_cam, before[0])
    assert hash_of(occlusion) == before[1]
    frame.get_by_label("Signed colors").select_option("PuOr_r")
    changed(frame, occlusion, before[1])


def test_one_range_for_all_epochs_shows_growth(visit, tmp_path):
    logs.write(tmp_path / "run", epochs=4, growing=True)
    page, frame = visit(launch(tmp_path))
    canvas = cell(frame).locator("canvas")
    set_range(frame.get_by_label("Map opacity"), 1)
    set_range(frame.locator("#scrubber"), 1)
    page.wait_for_timeout(300)
    own = brightness(canvas)
    frame.get_by_label("Color range").select_option("all")
    changed(frame, canvas, hash_of(canvas) if brightness(canvas) == own else None)
    assert brightness(canvas) < own / 2


def brightness(canvas):
    return canvas.evaluate("""canvas => Math.max(
      ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
        .filter((_, i) => i % 4 === 0))""")


def test_play_runs_to_the_end_and_stops(visit, url):
    page, frame = visit(url)
    drawn(frame, cell(frame, 0, 1).locator("canvas"))
    frame.evaluate("""() => {
      window.seen = [];
      const where = document.querySelector(".where");
      const watch = new MutationObserver(() => window.seen.push(where.textContent));
      watch.observe(where, { childList: true, characterData: true, subtree: true });
    }""")
    frame.get_by_role("button", name="Play").click()
    frame.wait_for_function("window.seen[window.seen.length - 1] === 'epoch 10'")
    frame.get_by_role("button", name="Play").wait_for()  # it says "Pause" while it runs
    seen = frame.evaluate("window.seen")
    every = ["start", *(f"epoch {n}" for n in range(1, 11))]  # a busy machine drops frames
    assert seen == [label for label in every if label in seen] and len(seen) >= 6


def test_compare_two_runs(visit, url):
    page, frame = visit(url)
    frame.get_by_label("Compare with").select_option("second")
    frame.wait_for_selector(".answer.run-1")
    both = cell(frame, 0, 1).locator("canvas")
    assert both.count() == 2
    set_range(frame.locator("#scrubber"), 1)
    one, other = drawn(frame, both.nth(0)), drawn(frame, both.nth(1))
    assert one != other
    assert bright_column(both.nth(0)) < 0.4 < 0.6 < bright_column(both.nth(1))
    assert cell(frame, 0, 0).locator(".missing").count() == 1  # the second run has no LIME


def test_keyboard(visit, url):
    page, frame = visit(url)
    where = frame.locator(".where")
    frame.locator("main").focus()
    for key, text in [("ArrowLeft", "epoch 9"), ("Home", "start"), ("ArrowRight", "epoch 1"),
                      ("End", "epoch 10")]:
        page.keyboard.press(key)
        frame.wait_for_function("text => document.querySelector('.where').textContent === text",
                                arg=text)
    page.keyboard.press("ArrowUp")
    frame.wait_for_function("document.querySelectorAll('input[type=range]')[1].value === '0.55'")
    page.keyboard.press("o")
    frame.wait_for_function("document.querySelectorAll('input[type=range]')[1].value === '0'")
    page.keyboard.press("?")
    frame.locator("dialog[open] .keys").wait_for()
    page.keyboard.press("Escape")
    cell(frame, 1, 2).locator("button").focus()
    page.keyboard.press("Enter")
    frame.locator("dialog[open] .detail canvas").wait_for()
    page.keyboard.press("ArrowLeft")
    frame.locator("dialog[open] h2", has_text="epoch 9").wait_for()
    page.keyboard.press("Escape")
    assert frame.locator("dialog[open]").count() == 0
    assert where.inner_text() == "epoch 9"


def test_enlarged_view_has_scores_by_epoch(visit, url):
    page, frame = visit(url)
    cell(frame, 0, 1).locator("button").click()
    dialog = frame.locator("dialog[open]")
    drawn(frame, dialog.locator("canvas"))
    assert "truly cat" in dialog.inner_text() and "Score of the true class" in dialog.inner_text()
    dialog.locator("svg.chart").click(position={"x": 5, "y": 50})
    frame.wait_for_function("document.querySelector('.where').textContent === 'start'")
    dialog.locator("canvas").hover(position={"x": 20, "y": 200})
    assert float(dialog.locator(".note").inner_text()) > 0.3


def test_superpixels_tell_their_weight(visit, url):
    page, frame = visit(url)
    canvas = cell(frame, 0, 0).locator("canvas")
    before = drawn(frame, canvas)
    canvas.hover(position={"x": 60, "y": 20})
    changed(frame, canvas, before)  # it is outlined
    assert cell(frame, 0, 0).locator(".note").inner_text().startswith("superpixel 1: ")


def test_words_are_colored(visit, url):
    page, frame = visit(url + "#keras_explain&p.keras_explain.view=run%3Dtexts", "mark")
    marks = frame.locator("mark")
    assert marks.all_inner_texts()[:4] == ["a", "fine", logs.EVIL, "film"]
    colors = [marks.nth(i).evaluate("m => getComputedStyle(m).backgroundColor") for i in (0, 3)]
    assert colors[0] != colors[1]


def test_texts_of_a_log_are_never_markup(visit, tmp_path):
    logs.write(tmp_path / "run", methods=(logs.EVIL, "<svg onload=alert(2)>"),
               names=(logs.EVIL, "<script>alert(1)</script>"), epochs=2)
    page, frame = visit(launch(tmp_path))
    page.on("dialog", lambda dialog: page.complaints.append("a dialog opened"))
    cell(frame, 0, 0).locator("button").click()
    frame.locator("dialog[open] canvas").wait_for()
    text = frame.locator("body").inner_text()
    assert logs.EVIL in text and "<script>alert(1)</script>" in text
    assert frame.locator("body img, body script").count() == 0
    assert "owned" not in frame.evaluate("document.title") + page.title()
    assert not [c for c in page.complaints if "favicon" not in c]


def test_the_guard_of_the_probe_works(visit, url):
    """What the probe looks for does happen where markup is let in."""
    page, frame = visit(url)
    frame.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", logs.EVIL)
    assert frame.locator("body img").count() == 1
    page.wait_for_timeout(300)
    assert any("Content Security Policy" in c for c in page.complaints)


def test_permalink_restores_the_view(visit, url):
    page, frame = visit(url, permissions=["clipboard-read", "clipboard-write"])
    set_range(frame.locator("#scrubber"), 4)
    set_range(frame.get_by_label("Map opacity"), 0.8)
    frame.get_by_label("Compare with").select_option("second")
    frame.wait_for_selector(".answer.run-1")
    frame.get_by_role("button", name="Copy link").click()
    frame.get_by_text("Link copied").wait_for()
    link = frame.evaluate("navigator.clipboard.readText()")
    page, frame = visit(link)
    frame.wait_for_selector(".answer.run-1")
    assert frame.locator(".where").inner_text() == "epoch 4"
    assert frame.get_by_label("Map opacity").input_value() == "0.8"
    assert frame.get_by_label("Compare with").input_value() == "second"


def test_a_link_that_makes_no_sense_is_harmless(visit, url):
    view = urllib.parse.quote("run=<img src=x>&opacity=9&step=abc&sequential=evil&nothing=1")
    page, frame = visit(f"{url}#keras_explain&p.keras_explain.view={view}")
    drawn(frame, cell(frame, 0, 1).locator("canvas"))
    assert frame.get_by_label("Map opacity").input_value() == "0.5" and not page.complaints


def test_an_empty_log_says_what_to_do(visit, tmp_path):
    (tmp_path / "log").mkdir()
    address = launch(tmp_path / "log")
    page, frame = visit(address, ".message h2")
    assert "No explanations in this log yet" in frame.locator(".message").inner_text()
    assert "GradCAMCallback" in frame.locator("pre").inner_text()
    logs.write(tmp_path / "log", epochs=2)
    time.sleep(3)
    page.locator("[aria-label*='Reload'], .reload-button").first.click()
    frame.wait_for_selector("table.grid canvas", timeout=20_000)


def test_runs_without_steps_hide_no_other(visit, tmp_path):
    log = tmp_path / "log"
    logs.write(log / "b trained", epochs=2)
    logs.write_begun(log / "a begun")
    logs.write_begun(log / "c begun")
    page, frame = visit(launch(log))
    run = frame.get_by_label("Run", exact=True)
    assert run.input_value() == "b trained"
    run.select_option("c begun")
    frame.wait_for_selector("text=the first epoch has not been explained yet")
    assert frame.locator("table.grid").count() == 0
    page.keyboard.press("ArrowRight")
    frame.get_by_role("button", name="Copy link").click()
    run.select_option("b trained")
    frame.wait_for_selector("table.grid canvas")
    assert not page.complaints


def test_damaged_records_leave_words_and_the_other_cells(visit, tmp_path):
    log = tmp_path / "log"
    logs.write(log, epochs=2)
    logs.write_damaged(log)
    page, frame = visit(launch(log), "canvas.map:visible")
    drawn(frame, frame.locator(".grid tbody tr").nth(2).locator("canvas.map:visible").first)
    frame.locator(".grid tbody tr").last.scroll_into_view_if_needed()
    frame.wait_for_selector("text=the values are missing from the log")
    assert "One series of this log is damaged" in frame.locator(".message").inner_text()
    frame.get_by_text("42", exact=True).wait_for()  # a word that was a number
    assert not page.complaints


def test_a_log_of_damaged_series_says_so(visit, tmp_path):
    logs.write_damaged(tmp_path / "log", ("unreadable",))
    _, frame = visit(launch(tmp_path / "log"), ".message")
    frame.wait_for_selector("text=One series of this log is damaged")


def test_errors_say_what_happened_and_can_be_retried(visit, url):
    page, frame = visit(url)
    page.route("**/keras_explain/series*", lambda route: route.abort())
    frame.evaluate("window.dispatchEvent(new Event('online'))")
    page.reload()
    frame = frame_of(page, ".message.error")
    assert "Is it still running?" in frame.locator(".message").inner_text()
    page.unroute("**/keras_explain/series*")
    frame.get_by_role("button", name="Try again").click()
    frame.wait_for_selector("table.grid canvas")


def test_a_map_that_cannot_be_read_leaves_no_old_picture(visit, url):
    page, frame = visit(url)
    canvas = cell(frame, 0, 1).locator("canvas")
    drawn(frame, canvas)
    page.route("**/keras_explain/picture*", lambda route: route.fulfill(status=500, body="broken"))
    page.reload()
    frame = frame_of(page, "table.grid .failed")
    assert "broken" in cell(frame, 0, 1).inner_text()


def test_dark_mode(visit, url):
    page, frame = visit(url)
    light = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate("document.body.classList.add('dark-mode')")
    frame.wait_for_selector("html[data-theme=dark]")
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility(visit, url, theme):
    axe = pytest.importorskip("axe_playwright_python")
    source = (pathlib.Path(axe.__file__).parent / "axe.min.js").read_text()
    page, frame = visit(url)
    if theme == "dark":
        page.evaluate("document.body.classList.add('dark-mode')")
        frame.wait_for_selector("html[data-theme=dark]")
    drawn(frame, cell(frame, 0, 1).locator("canvas"))
    frame.evaluate(source)
    for prepare in (lambda: None, lambda: cell(frame, 0, 1).locator("button").click()):
        prepare()
        page.wait_for_timeout(300)
        found = frame.evaluate("axe.run(document)")["violations"]
        serious = [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found
                   if v["impact"] in ("serious", "critical")]
        assert not serious, json.dumps(serious, indent=1)


@pytest.mark.parametrize("fast", ["true", "false"])
def test_both_loaders(visit, tmp_path, fast):
    logs.write(tmp_path / "run", epochs=30)
    page, frame = visit(launch(tmp_path, fast))
    frame.wait_for_function("document.querySelector('#scrubber').max === '30'", timeout=20_000)
    drawn(frame, cell(frame, 0, 0).locator("canvas"))


def test_own_control(visit, tmp_path):
    """The control of docs/develop/own_dashboard_control.md, put in as the page says."""
    static = tmp_path / "static"
    shutil.copytree(STATIC, static)
    follow_diffs("own_dashboard_control.md", static)
    logs.write(tmp_path / "log" / "run", epochs=2)
    page, frame = visit(launch(tmp_path / "log", static=[static]),
                        permissions=["clipboard-read", "clipboard-write"])
    canvas = cell(frame).locator("canvas")
    rendering = "canvas => getComputedStyle(canvas).imageRendering"
    assert canvas.evaluate(rendering) == "auto"
    frame.get_by_label("Pixels").select_option("sharp")
    frame.wait_for_function("document.body.dataset.pixels === 'sharp'")
    assert canvas.evaluate(rendering) == "pixelated"
    frame.get_by_role("button", name="Copy link").click()
    frame.get_by_text("Link copied").wait_for()
    again, other = visit(frame.evaluate("navigator.clipboard.readText()"))
    assert other.get_by_label("Pixels").input_value() == "sharp"
    assert cell(other).locator("canvas").evaluate(rendering) == "pixelated"
    assert not page.complaints and not again.complaints


def test_twenty_examples_four_methods_two_hundred_epochs(visit, tmp_path):
    """How fast: benchmarks/dashboard.py."""
    logs.write_large(tmp_path / "run")
    page, frame = visit(launch(tmp_path, "true"))
    frame.wait_for_function("document.querySelector('#scrubber').max === '200'", timeout=60_000)
    assert frame.locator("canvas.map").count() == 80
    last = drawn(frame, cell(frame, 0, 1).locator("canvas"))
    set_range(frame.locator("#scrubber"), 100)
    changed(frame, cell(frame, 0, 1).locator("canvas"), last)
    assert not page.complaints
