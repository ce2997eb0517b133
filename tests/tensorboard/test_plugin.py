"""The dashboard's server side over HTTP, through both of TensorBoard's loaders."""

import collections
import concurrent.futures
import importlib.metadata
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest
from tensorboard import program
from tensorboard.plugins import base_plugin
from tensorboard.plugins.core import core_plugin

from keras_explain import images
from keras_explain.tensorboard import EventWriter
from keras_explain.tensorboard.naming import PLUGIN_NAME
from keras_explain.tensorboard.plugin import Loader, backend
from keras_explain.tensorboard.records import MOST_BYTES, SeriesWriter, encode_maps

EVIL = '"><img src=x onerror=alert(1)>\\'
BASE = f"/data/plugin/{PLUGIN_NAME}"


def write_log(directory, steps=25, name="grad_cam", pictures=True):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, 24, 20, 3), dtype=np.uint8)
    with EventWriter(directory / "explanations" / "one") as writer:
        series = SeriesWriter(writer, name)
        series.examples(-1, photos, [EVIL, "dog"])
        for step in range(-1, steps):
            answers = {"predicted": [EVIL, "dog"], "score": [0.5, 1.0], "probable": [True, True]}
            series.step(step, f"epoch {step + 1}", rng.random((2, 3, 4)), answers, 0.25)
        if pictures:
            tag = f"{name}/maps/{series.about['token']}"
            writer.blobs(tag, [b"<svg onload=alert(1)>"], 99, plugin_name=PLUGIN_NAME)
        writer.image("private", np.zeros((2, 2, 3), "uint8"), 0)


class Board:
    """A TensorBoard with our plugin over a log directory."""

    def __init__(self, logdir, fast, *arguments):
        board = program.TensorBoard(plugins=[core_plugin.CorePluginLoader, Loader])
        board.configure(["tensorboard", "--logdir", str(logdir), "--port", "0",
                         "--load_fast", fast, *arguments])
        self.flags, self.url = board.flags, board.launch().rstrip("/") + BASE

    def get(self, path, **arguments):
        query = f"?{urllib.parse.urlencode(arguments)}" if arguments else ""
        try:
            with urllib.request.urlopen(self.url + path + query) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def json(self, path, **arguments):
        status, headers, body = self.get(path, **arguments)
        assert status == 200 and headers["Content-Type"].startswith("application/json"), body
        return json.loads(body)

    def wait_for_series(self, count=1):
        for _ in range(100):
            found = self.json("/series")["series"]
            if len(found) >= count:
                return found
            time.sleep(0.1)
        raise AssertionError("no series after 10 s")


@pytest.fixture(scope="module", params=["true", "false"])
def board(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("log")
    write_log(directory / "first")
    write_log(directory / 'sec"ond', steps=2, name='odd "name" <b>')
    board = Board(directory, request.param)
    board.wait_for_series(2)
    return board


def series_of(board, method):
    return next(s for s in board.json("/series")["series"] if s["about"]["method"] == method)


def test_every_step_is_kept(board):
    found = series_of(board, "grad_cam")
    for _ in range(50):
        steps = board.json("/steps", run=found["run"], series=found["series"])["steps"]
        if len(steps) == 26:
            break
        time.sleep(0.1)
    assert [s["step"] for s in steps] == list(range(-1, 25))
    assert all(len(s["blobs"]) == 1 and len(s["limits"]) == 2 for s in steps)
    assert steps[3]["predicted"] == [EVIL, "dog"]  # data, as it was written


def test_maps_and_pictures_come_as_images(board):
    found = series_of(board, "grad_cam")
    assert found["run"] == "first/explanations/one" and found["about"]["truth"][0] == EVIL
    (step, *_) = board.json("/steps", run=found["run"], series=found["series"])["steps"]
    for key in [*found["pictures"], *step["blobs"]]:
        status, headers, body = board.get("/picture", key=key)
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert body.startswith(b"\x89PNG")


def test_odd_names_are_readable(board):
    found = series_of(board, 'odd "name" <b>')
    assert set(found["series"]) <= set("odname_b< ")
    steps = board.json("/steps", run=found["run"], series=found["series"])["steps"]
    assert len(steps) == 3


def test_bytes_that_are_no_picture_are_refused(board):
    key = _key_of_the_svg(board)
    status, headers, body = board.get("/picture", key=key)
    assert status == 400 and headers["Content-Type"].startswith("text/plain")
    assert b"svg" not in body


@pytest.mark.parametrize("path", [
    "/../../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/static/index.js", "/backend.py",
    "/__init__.py", "/index.js/..%2fbackend.py", "/",
])
def test_only_listed_files_are_served(board, path):
    assert board.get(path)[0] == 404


RAW = [
    "/../../../../etc/passwd", "/static/../backend.py", "/index.js/../backend.py", "//etc/passwd",
    "/%2e%2e/backend.py", "/..%2f..%2fbackend.py", "/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/..%252f..%252fbackend.py", "/..\\backend.py", "/%5c..%5cbackend.py", "/%00", "/index.js%00",
    "/index.js%2500.py", "/%ff%fe", "/%c0%ae%c0%ae/backend.py", "/index.js;a=b", "/series;a=b",
    "/index.js/;", "/.", "/..", "/index.js/", "/INDEX.JS", "/%", "/%zz", "/" + "a" * 5000,
    "/\u202egnp.xedni".encode("utf-8"),
    "/steps?run=../..&series=%00", "/steps?run=%ff&series=%ff", "/steps?run=a&run=b",
    "/steps?" + "a=b&" * 2000, "/picture?key=%ff", "/picture?key=" + "A" * 5000,
    "/picture?key=..%2f..%2fetc%2fpasswd", "/picture?key=%00", "/series?%00=%00",
]


def ask_raw(board, path):
    """Status line and body of a request whose path nothing has tidied up."""
    address = urllib.parse.urlsplit(board.url)
    path = path if isinstance(path, bytes) else path.encode("latin-1")
    request = (b"GET " + address.path.encode() + path
               + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    with socket.create_connection((address.hostname, address.port), 30) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.mark.parametrize("path", RAW, ids=range(len(RAW)))
def test_raw_addresses_reach_nothing_else(board, path):
    status, body = ask_raw(board, path)
    assert 200 <= status < 500
    for secret in (b"root:", b"class Dashboard", b"Traceback"):
        assert secret not in body
    if status == 200:  # steps or series: no other address than its own reaches a listed file
        assert body.startswith(b"{")
    assert board.json("/series")["series"]


@pytest.mark.parametrize("path", ["/index.js;a=b", "/index.js/", "/series;a=b", "/style.css/."])
def test_only_the_exact_address_is_answered(board, path):
    assert ask_raw(board, path)[0] == 404


@pytest.mark.parametrize("count", [200, pytest.param(2400, marks=pytest.mark.slow)])
def test_many_requests_at_once(board, count):
    """Each gets the answer that it gets alone."""
    found = series_of(board, "grad_cam")
    place = {"run": found["run"], "series": found["series"]}
    key = found["pictures"][0]
    kinds = [("/series", {}), ("/steps", place), ("/picture", {"key": key}), ("/index.js", {}),
             ("/picture", {"key": "nonsense"}), ("/steps", {})]
    alone = [board.get(path, **arguments)[::2] for path, arguments in kinds]
    asked = [i % len(kinds) for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda i: board.get(kinds[i][0], **kinds[i][1])[::2], asked))
    wrong = collections.Counter(
        kinds[i][0] for i, answer in zip(asked, answers, strict=True) if answer != alone[i])
    assert not wrong and len(answers) == count


@pytest.mark.parametrize("fast", ["auto", "false"])
def test_several_named_directories(tmp_path, fast):
    """`--logdir_spec` gives each directory's runs a name in front; the fast loader knows none."""
    write_log(tmp_path / "a", steps=2)
    write_log(tmp_path / "b", steps=3, name="saliency")
    spec = f"first:{tmp_path / 'a'},second:{tmp_path / 'b'}"
    board = Board("", fast, "--logdir_spec", spec)
    found = {s["run"]: s for s in board.wait_for_series(2)}
    assert sorted(found) == ["first/explanations/one", "second/explanations/one"]
    for run, count in (("first/explanations/one", 3), ("second/explanations/one", 4)):
        steps = board.json("/steps", run=run, series=found[run]["series"])["steps"]
        assert len(steps) == count
        assert board.get("/picture", key=steps[0]["blobs"][0])[0] == 200


@pytest.mark.parametrize("path, arguments, status", [
    ("/steps", {}, 400),
    ("/steps", {"run": "first/explanations/one"}, 400),
    ("/picture", {}, 400),
    ("/picture", {"key": "nonsense"}, 404),
    ("/picture", {"key": "../../etc/passwd"}, 404),
])
def test_wrong_requests_have_words(board, path, arguments, status):
    code, headers, body = board.get(path, **arguments)
    assert body and headers["Content-Type"].startswith("text/plain")
    assert code == status or (code == 400 and "key" in arguments)  # the loaders differ there


@pytest.mark.parametrize("run", ["../..", "first/explanations/one"])
def test_a_series_without_steps_is_an_empty_list(board, run):
    assert board.json("/steps", run=run, series="nothing")["steps"] == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/series", "/index.js", "/picture?key=nonsense"])
def test_only_get_and_head_are_answered(board, method, path):
    request = urllib.request.Request(
        board.url + path, b"x" if method == "POST" else None, method=method
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    assert error.value.code == 405
    head = urllib.request.Request(f"{board.url}/series", method="HEAD")
    with urllib.request.urlopen(head) as response:
        assert response.status == 200 and response.read() == b""


DAMAGED = [
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 50 + "1" + "}" * 50,
    '{"format": 1, "ids": NaN}',
    '{"format": 1, "kind": "image", "ids": [1], "limit": 1e999}',
    "no JSON",
    "",
    "[1]",
    '{"format": 2, "kind": "image", "ids": []}',
    '{"format": 1, "kind": "image", "ids": 3}',
    '{"format": 1, "kind": "<b>", "ids": []}',
]


@pytest.mark.parametrize("fast", ["true", "false"])
def test_one_bad_run_touches_no_other(tmp_path, fast):
    write_log(tmp_path / "good", steps=2, name="cam/about")
    for i, text in enumerate(DAMAGED):
        with EventWriter(tmp_path / f"bad{i}") as writer:
            writer.text("evil/about", text, 0, plugin_name=PLUGIN_NAME)
    board = Board(tmp_path, fast)
    for _ in range(100):
        answer = board.json("/series")
        if answer["unreadable"] == len(DAMAGED) and answer["series"]:
            break
        time.sleep(0.1)
    (found,) = answer["series"]
    assert answer["unreadable"] == len(DAMAGED)
    assert found["series"] == "cam/about" and len(found["pictures"]) == 2
    assert len(board.json("/steps", run=found["run"], series="cam/about")["steps"]) == 3


def test_two_processes_in_one_directory_do_not_mix(tmp_path):
    """The newest training, and what was there before it began."""
    photos = np.zeros((1, 8, 8, 3), np.uint8)
    maps = {name: np.full((1, 2, 2), value) for name, value in (("old", 1.0), ("new", 3.0))}
    with EventWriter(tmp_path) as first, EventWriter(tmp_path) as second:
        writers = {"old": SeriesWriter(first, "cam"), "new": SeriesWriter(second, "cam")}

        def write(name, step):
            said = {"predicted": [name], "score": [0.5]}
            writers[name].step(step, f"epoch {step}", maps[name], said)

        for series in writers.values():
            series.examples(0, photos)
        write("old", 0)
        write("old", 1)
        for step in (2, 3):
            write("new", step)
            write("old", step)
        write("old", 4)
    board = Board(tmp_path, "false")
    (found,) = board.wait_for_series()
    steps = board.json("/steps", run=found["run"], series="cam")["steps"]
    assert [(s["step"], s["predicted"], s["limits"]) for s in steps] == [
        (0, ["old"], [1.0]), (1, ["old"], [1.0]), (2, ["new"], [3.0]), (3, ["new"], [3.0])]
    assert all(len(s["blobs"]) == 1 for s in steps) and len(found["pictures"]) == 1


def test_the_frontend_is_served_whole(board):
    files = {path.name for path in backend._STATIC.iterdir()}
    assert "index.js" in files
    for name in files:
        status, headers, body = board.get(f"/{name}")
        kind = {"js": "text/javascript", "css": "text/css"}[name.rsplit(".")[-1]]
        assert status == 200 and headers["Content-Type"].startswith(kind) and body
        for imported in re.findall(rb"""from ["']\./([^"']+)["']""", body):
            assert imported.decode() in files


def test_a_user_can_keep_fewer_steps(tmp_path):
    assert Board(tmp_path, "false").flags.samples_per_plugin[PLUGIN_NAME] == 0
    board = Board(tmp_path, "false", "--samples_per_plugin", f"{PLUGIN_NAME}=5")
    assert board.flags.samples_per_plugin[PLUGIN_NAME] == 5


def test_an_empty_log_is_no_error(tmp_path):
    assert Board(tmp_path, "true").json("/series")["series"] == []


def test_an_error_in_the_dashboard_does_not_stop_tensorboard(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(backend, "Dashboard", None)
    assert Loader().load(base_plugin.TBContext()) is None
    assert "goes on without" in caplog.text


def test_the_entry_point_imports_no_framework():
    program = (
        "import sys, keras_explain.tensorboard.plugin\n"
        "heavy = {'keras', 'tensorflow', 'numpy.linalg', 'cv2', 'matplotlib', 'torch', 'jax'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import keras_explain.tensorboard.plugin.backend\n"
        "assert not {'keras', 'tensorflow', 'cv2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_installed_package_is_found_by_tensorboard():
    try:
        distribution = importlib.metadata.distribution("keras3-explain")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    (point,) = distribution.entry_points.select(group="tensorboard_plugins")
    assert point.load() is Loader


def test_colors_are_those_of_all_our_pictures():
    script = (backend._STATIC / "colors.js").read_text()
    tables = re.findall(r'^  (\w+):\n((?:    ".*" ?\+?,?\n)+)', script, re.MULTILINE)
    assert len(tables) == 6
    for name, lines in tables:
        colors = bytes.fromhex("".join(re.findall(r'"(\w+)"', lines)))
        colors = np.frombuffer(colors, np.uint8).reshape(-1, 3)
        wanted = images.color_table(name, signed=len(colors) == 255)
        np.testing.assert_array_equal(colors, wanted)


def test_levels_of_signed_maps_are_centered():
    png, limits = encode_maps([[[-2.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]], signed=True)
    levels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.tolist() == [[1, 128, 192], [128, 128, 128]] and limits == [2.0, 0.0]


def test_noise_of_full_size_keeps_to_the_budget(tmp_path):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    sizes = []
    with EventWriter(tmp_path) as writer:
        for pick, examples in (("first", None), ("worst", (photos, None, None))):
            series = SeriesWriter(writer, pick, signed=True, pick=pick)
            before = _size(tmp_path)
            series.step(0, "epoch 1", rng.standard_normal((2, 300, 300)), {}, examples=examples)
            sizes.append(_size(tmp_path) - before)
    assert max(sizes) < 2 * MOST_BYTES + 2000


def _size(directory):
    return sum(path.stat().st_size for path in directory.iterdir())


def _key_of_the_svg(board):
    """Blob keys are made alike for all data: exchange the step's part of a real one."""
    import base64

    steps = board.json("/steps", run="first/explanations/one", series="grad_cam")["steps"]
    key = steps[-1]["blobs"][0]
    data = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode()
    assert "24" in data
    data = re.sub(r"\b24\b", "99", data)
    return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")
