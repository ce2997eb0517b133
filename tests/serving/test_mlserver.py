"""A real server, asked over plain HTTP: right answers, clear errors, nothing lost or crossed."""

import base64
import concurrent.futures
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain import images
from keras_explain.serving import SavedExplainer

pytest.importorskip("mlserver")
pytestmark = pytest.mark.serving
ROOT = pathlib.Path(__file__).parents[2]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def png(seed, size=(32, 32)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3))
    return images.encode_png(pixels.astype("uint8"))


def huge_png():
    """A small file that claims 100,000 x 100,000 pixels."""
    claims = bytearray(png(0))
    claims[16:24] = (100_000).to_bytes(4, "big") * 2
    return bytes(claims)


def body(pictures, target=None):
    inputs = [{"name": "image_bytes", "shape": [len(pictures)], "datatype": "BYTES",
               "parameters": {"content_type": "base64"},
               "data": [base64.b64encode(p).decode() for p in pictures]}]
    if target is not None:
        inputs.append({"name": "target", "shape": [len(target)], "datatype": "INT32",
                       "data": target})
    return json.dumps({"inputs": inputs}).encode()


class Server:
    def __init__(self, folder, log):
        self.port = free_port()
        settings = json.loads((folder / "settings.json").read_text())
        settings.update(http_port=self.port, grpc_port=free_port(), metrics_port=free_port())
        (folder / "settings.json").write_text(json.dumps(settings))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        mlserver = pathlib.Path(sys.executable).parent / "mlserver"
        self.process = subprocess.Popen([mlserver, "start", folder], stdout=log, stderr=log,
                                        env=environment)

    def wait(self, seconds=180):
        until = time.time() + seconds
        while time.time() < until:
            assert self.process.poll() is None, "the server ended"
            try:
                if self.get("/v2/models/explained/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.5)
        raise TimeoutError("the server is not ready")

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as reply:
            return reply.status, reply.read()

    def ask(self, data):
        """Status, and outputs by name or the error's text."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2/models/explained/infer", data,
            {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                outputs = json.load(reply)["outputs"]
                return reply.status, {o["name"]: np.reshape(o["data"], o["shape"])
                                      for o in outputs}
        except urllib.error.HTTPError as error:
            return error.code, json.load(error).get("error", "")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((32, 32, 3)), layers.Rescaling(1 / 255),
        layers.Conv2D(8, 5, activation="relu", name="conv"), layers.GlobalAveragePooling2D(),
        layers.Dense(5), layers.Rescaling(20.0), layers.Softmax(),
    ])
    folder = tmp_path_factory.mktemp("mlserver")
    for file in (ROOT / "examples" / "serve_mlserver").glob("*.*"):
        shutil.copy(file, folder)
    path = kx.export(kx.grad_cam(model, layer="conv"), folder / "export", class_names=list("abcde"),
                     image_options={"max_pixels": 1_000_000})
    with open(folder / "log.txt", "wb") as log:
        server = Server(folder, log)
        try:
            server.wait()
            yield server, SavedExplainer(path, "explain_image_class").load()
        finally:
            server.process.terminate()
            server.process.wait(30)


def test_a_plain_client_gets_predictions_and_a_picture(served):
    server, local = served
    status, outputs = server.ask(body([png(1)]))
    assert status == 200
    expected = local({"image_bytes": [png(1)], "target": [-1]})
    np.testing.assert_allclose(outputs["predictions"], expected["predictions"], atol=1e-5)
    np.testing.assert_allclose(outputs["heatmap"], expected["heatmap"], atol=1e-4)
    picture = base64.b64decode(outputs["overlay_bytes"].ravel()[0])
    assert picture == expected["overlay_bytes"][0]
    assert outputs["top_labels"][0, 0] == expected["top_labels"][0, 0].decode()


@pytest.mark.parametrize(("data", "status", "message"), [
    (body([b"no image"]), 400, "Expected the bytes of a whole JPEG, PNG, GIF, BMP or WebP"),
    (body([huge_png()]), 400, "at most 1000000 pixels"),
    (body([png(1)], [5]), 400, "Expected a target from -1 (top class) to 4, received 5."),
    (body([png(1)], [2**32 + 1]), 400, "received 4294967297, which is out of its range"),
    (body([png(1)], [None]), 400, "Expected int32 for target"),
    (body([png(1)], ["cat"]), 400, "Expected int32 for target"),
    (body([png(1)], [1.5]), 400, "Expected int32 for target"),
    (body([png(1)], [1, 2]), 400, "one target for each of 1 images, received 2"),
    (body([png(1)] * 65), 413, "Expected 1 to 64 images, received 65"),
    (json.dumps({"inputs": [{"name": "image_bytes", "shape": [1], "datatype": "BYTES",
                             "parameters": {"content_type": "base64"}, "data": ["***"]}]}).encode(),
     400, ""),
    (json.dumps({"inputs": [{"name": "picture", "shape": [1], "datatype": "FP32",
                             "data": [1.0]}]}).encode(), 400, "an input named image_bytes"),
    (b"{", 422, ""),
])
def test_bad_requests_are_told_and_the_server_stays_up(served, data, status, message):
    server, _ = served
    given, error = server.ask(data)
    assert given == status, error
    assert message in error
    assert server.ask(body([png(2)]))[0] == 200


def test_one_bad_image_spoils_no_other(served):
    server, local = served
    status, outputs = server.ask(body([png(1), b"no image", png(2)], [0, 0, 7]))
    assert status == 200
    assert [bool(e) for e in outputs["error"].ravel()] == [False, True, True]


def test_a_thousand_mixed_requests_at_once(served):
    server, local = served
    count = 1000
    kinds = ["good", "good", "good", "bad bytes", "good", "wrong class", "good", "huge"]
    sent = [kinds[i % len(kinds)] for i in range(count)]
    wrong = {"bad bytes": b"no image", "huge": huge_png()}
    pictures = [wrong.get(kind, None) or png(i) for i, kind in enumerate(sent)]
    targets = [9 if kind == "wrong class" else i % 5 for i, kind in enumerate(sent)]
    expected = {}
    for start in range(0, count, 50):
        rows = range(start, start + 50)
        answer = local({"image_bytes": [pictures[i] for i in rows],
                        "target": [targets[i] for i in rows]})
        for row, i in enumerate(rows):
            expected[i] = answer["predictions"][row], answer["overlay_bytes"][row]
    started = time.time()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: server.ask(body([pictures[i]], [targets[i]])),
                                range(count)))
    seconds = time.time() - started
    good = 0
    for i, (status, outputs) in enumerate(answers):
        if sent[i] != "good":
            assert status == 400 and "Expected" in outputs
            continue
        good += 1
        predictions, overlay = expected[i]
        assert status == 200
        np.testing.assert_allclose(outputs["predictions"][0], predictions, atol=1e-5)
        assert base64.b64decode(outputs["overlay_bytes"].ravel()[0]) == overlay
    assert good == sent.count("good")
    assert server.process.poll() is None
    print(f"{count} requests in {seconds:.1f} s, {good} of them good")
