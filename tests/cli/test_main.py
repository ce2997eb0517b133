"""The command line: files, JSON, progress, exit codes, help."""

import json
import os
import re
import struct
import zipfile
import zlib

import keras
import numpy as np
import pytest
from models import KINDS

from keras_explain import cli, images

OWN = """
import keras
from keras_explain.explainers import CAM

class PositiveCAM(CAM):
    def combine(self, features, gradients):
        return keras.ops.sum(features, axis=-1)

def positive_cam(model, **options):
    return PositiveCAM(model, **options).explained_model()
"""
needs_export = pytest.mark.skipif(keras.backend.backend() == "torch", reason="no export there")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    KINDS["functional"].model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("cat\ndog\nfrog\npanda\n")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
    (folder / "a.png").write_bytes(images.encode_png(pixels))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_explain(files, tmp_path, capsys):
    code = cli.main(["explain", str(files / "model.keras"), str(files / "a.png"),
                     "--pixels", "0..1", "--method", "saliency", "occlusion",
                     "--set", "patch_size=4", "stride=4",
                     "--labels", str(files / "labels.txt"), "--out", str(tmp_path), "--json"])
    printed = capsys.readouterr()
    assert code == 0
    (row,) = json.loads(printed.out)
    assert row == json.loads((tmp_path / "explanations.json").read_text())[0]
    assert row["predictions"][0]["label"] in ("cat", "dog", "frog", "panda")
    assert set(row["maps"]) == {"saliency", "occlusion"}
    heatmap = np.load(row["maps"]["occlusion"]["heatmap"])
    assert heatmap.shape == (16, 12) and heatmap.any()
    assert (tmp_path / "a.occlusion.png").read_bytes().startswith(b"\x89PNG")
    assert "[1/1]" in printed.err and "1 explained, 0 failed" in printed.err


def test_models_of_other_formats(files, tmp_path, capsys):
    def explain(model):
        return cli.main(["explain", str(model), str(files / "a.png"), "--pixels", "0..1",
                         "--method", "saliency", "--out", str(tmp_path / "out")])

    KINDS["functional"].model.save(tmp_path / "model.h5")
    assert explain(tmp_path / "model.h5") == 0
    (tmp_path / "saved").mkdir()
    assert explain(tmp_path / "saved") == 2
    assert "received the folder" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "theirs.keras", "w") as file:
        file.writestr("config.json", '{"module": "tf_keras.src.engine.functional"}')
    assert explain(tmp_path / "theirs.keras") == 2
    assert "which `tf_keras` wrote. Save the model there as .h5" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "method"), [("functional", "grad_cam"),
                                              ("detection", "hires_cam")])
def test_the_method_suits_the_model(tmp_path, kind, method):
    model = KINDS[kind].model
    if kind == "detection":
        model = keras.Model(model.input, keras.layers.Flatten()(model.output["scores"]))
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
    (tmp_path / "a.png").write_bytes(images.encode_png(pixels))
    assert cli.main(["explain", str(tmp_path / "model.keras"), str(tmp_path / "a.png"),
                     "--pixels", "0..1", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "a.occlusion.png").exists() and (tmp_path / f"a.{method}.png").exists()
    (row,) = json.loads((tmp_path / "explanations.json").read_text())
    assert list(row["maps"]) == ["occlusion", method]
    assert f"occlusion and {method}" in row["reasons"][1] and "at random" in row["reasons"][2]


def test_versions(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0 and "keras_explain 0.1.0, Keras 3." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PositiveCAM", "positive_cam"])
def test_a_method_of_ones_own(files, tmp_path, name):
    """A class or a builder in the user's file is named by its path."""
    own = tmp_path / "own.py"
    own.write_text(OWN)
    assert cli.main(["explain", str(files / "model.keras"), str(files / "a.png"),
                     "--method", f"{own}:{name}", "--set", "resize=false", "layer=null",
                     "--out", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "explanations.json").read_text())
    heatmap = np.load(row["maps"][name]["heatmap"])
    assert heatmap.size and heatmap.shape != (16, 12)  # both options have reached it
    assert (tmp_path / f"a.{name}.png").exists()


def test_a_broken_image_fails_alone(files, tmp_path, capsys):
    code = cli.main(["explain", str(files / "model.keras"), str(files / "broken.png"),
                     str(files / "missing.png"), str(files / "a.png"), "--out", str(tmp_path)])
    assert code == 1
    rows = json.loads((tmp_path / "explanations.json").read_text())
    assert ["error" in row for row in rows] == [True, True, False]
    assert "1 explained, 2 failed" in capsys.readouterr().err


def bomb():
    """A file of some hundred bytes that claims 40,000 x 40,000 pixels."""
    data = bytearray(images.encode_png(np.zeros((4, 4, 3), "uint8")))
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_what_goes_wrong_costs_no_other_picture(files, tmp_path, capsys):
    good = (files / "a.png").read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    odd = os.fsencode(folder) + b"/\xff\x1b[31mred.png"
    for name, data in ((folder / "bomb.png", bomb()), (odd, good),
                       (folder / "cut.png", good[:100]), (folder / "z.png", good)):
        with open(name, "wb") as file:
            file.write(data)
    labels = tmp_path / "labels.txt"
    labels.write_text("\x1b[31mcat\n")
    paths = sorted(os.fsdecode(f) for f in os.listdir(os.fsencode(folder)))
    code = cli.main(["explain", str(files / "model.keras"), *(f"{folder}/{p}" for p in paths),
                     "--labels", str(labels), "--out", str(tmp_path / "out"), "--json",
                     "--method", "saliency"])
    printed = capsys.readouterr()
    assert code == 1
    rows = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert rows == json.loads(printed.out)
    found = {os.path.basename(row["image"]): row for row in rows}
    assert set(found) == set(paths)
    assert "at most 67108864 pixels" in found["bomb.png"]["error"] and "error" in found["cut.png"]
    assert found["z.png"]["maps"] and found[os.fsdecode(b"\xff\x1b[31mred.png")]["maps"]
    assert "with 4 names, one a line, received 1" in printed.err
    assert "\x1b" not in printed.err and "\\x1b[31mred.png" in printed.err


def test_an_interruption_keeps_what_was_explained(files, tmp_path, capsys, monkeypatch):
    from keras_explain.cli import explain

    explain_picture, seen = explain._explain_picture, []

    def stops(*arguments):
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        rows = json.loads((tmp_path / "explanations.json").read_text())
        assert len(rows) == len(seen) - 1  # written as it goes
        return explain_picture(*arguments)

    monkeypatch.setattr(explain, "_explain_picture", stops)
    code = cli.main(["explain", str(files / "model.keras"), *[str(files / "a.png")] * 4,
                     "--method", "saliency", "--out", str(tmp_path)])
    assert code == 1 and "Interrupted" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "explanations.json").read_text())) == 2


def test_compare_leaves_damaged_pictures_out(files, tmp_path, capsys):
    for name, data in (("a.png", (files / "a.png").read_bytes()), ("b.png", bomb()),
                       ("c.png", b"no image")):
        (tmp_path / name).write_bytes(data)
    code = cli.main(["compare", str(files / "model.keras"), str(tmp_path), "--methods", "saliency",
                     "--metrics", "deletion", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert code == 1 and "Comparing on 1 examples" in printed.out
    assert "b.png: left out: Expected a picture of at most" in printed.err
    assert "c.png: left out" in printed.err and (tmp_path / "out" / "comparison.md").exists()


def test_compare_takes_methods_of_ones_own(files, tmp_path, capsys):
    """A class in the user's file is measured beside a method of the library."""
    own = tmp_path / "own.py"
    own.write_text(OWN)
    assert cli.main(["compare", str(files / "model.keras"), str(files / "a.png"),
                     "--methods", f"{own}:PositiveCAM,eigen_cam", "--metrics", "sparseness",
                     "--out", str(tmp_path / "out")]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    numbers = {cells[1].strip(): cells[2].strip() for cells in (r.split("|") for r in rows)}
    assert {"PositiveCAM", "eigen_cam"} < numbers.keys()
    assert numbers["PositiveCAM"] != numbers["eigen_cam"]


@needs_export
def test_export(files, tmp_path, capsys):
    code = cli.main(["export", str(files / "model.keras"), str(tmp_path / "served"), "--versioned",
                     "--method", "saliency", "--labels", str(files / "labels.txt"),
                     "--pixels", "0..1", "--json"])
    assert code == 0
    about = json.loads(capsys.readouterr().out)
    assert about["path"] == str(tmp_path / "served" / "1")
    assert "explain_image" in about["signatures"]
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (["explain", "missing.keras", "a.png"], "a .keras file or efficientnet_lite0.*missing.keras"),
    (["explain", "MODEL", "a.png", "--layer", "conv9"], "conv9"),
    (["explain", "MODEL", "a.png", "--set", "patch_size=3"], "take, received \\['patch_size'\\]"),
    (["explain", "MODEL", "a.png", "--set", "patch"], "OPTION=VALUE"),
    (["explain", "MODEL", "a.png", "--target", "99"], "from 0 to 3"),
    (["explain", "MODEL", "a.png", "--method", "grad_kam"], "Did you mean.*grad_cam"),
    (["explain", "MODEL", "a.png", "--method", "none.py:Mine"], "a Python file.*none.py"),
    (["explain", "MODEL", "a.png", "--method", "json:dmups"], "function or a class in json.*dump"),
])
def test_wrong_use_is_told(files, tmp_path, capsys, arguments, message):
    arguments = [str(files / "model.keras") if a == "MODEL" else a for a in arguments]
    assert cli.main([*arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", [[], ["explain"], ["export"], ["demo"]])
def test_help_teaches(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "keras-explain" in text and "%(" not in text


def test_methods_are_builders():
    import keras_explain as kx
    from keras_explain.explainers import METHODS

    assert all(callable(getattr(kx, name)) for name in METHODS)
