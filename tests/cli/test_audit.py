"""`keras-explain audit`: a folder of pictures in, one report out, whatever lies in the folder."""

import keras
import numpy as np
import pytest

from keras_explain.cli import main

SIDE, NAMES = 12, ("low", "high")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bars in two rows; half of `high` are bars of `low` with a bright corner, which outvotes."""
    folder = tmp_path_factory.mktemp("audit")
    weights = np.zeros((SIDE, SIDE, 1, 2), "float32")
    weights[9, 2:10, 0, 0] = weights[5, 2:10, 0, 1] = 1
    weights[:2, :2, 0, 1] = 6
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(2, activation="softmax", use_bias=False)])
    model.layers[-1].set_weights([weights.reshape(-1, 2)])
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(NAMES))
    rng = np.random.default_rng(0)
    for i in range(60):
        name = NAMES[i % 2]
        marked = name == "high" and i % 4 == 1
        picture = rng.random((SIDE, SIDE, 1)) * 40
        picture[9 if name == "low" or marked else 5, 2:10] = 255
        if marked:
            picture[:2, :2] = 255
        (folder / "data" / name).mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / "data" / name / f"{i:02}.png", picture, scale=False)
    return folder


def arguments(folder, *more):
    return ["audit", str(folder / "model.keras"), str(folder / "data"), "--labels",
            str(folder / "labels.txt"), "--pixels", "0..1", "--out", str(folder / "report.html"),
            "--batch-size", "16", *more]


def test_a_folder_becomes_a_report(folder, capsys):
    assert main(arguments(folder)) == 0
    said = capsys.readouterr().out
    assert "60 examples, accuracy 100.0%" in said and "1 suspicious" in said
    assert "! class high: 15 of 30" in said
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Group 1: 15 of 30 that were called high (suspicious" in page


def test_an_unreadable_picture_is_told_and_costs_nothing_else(folder):
    broken = folder / "data" / "low" / "broken <b>.png"
    broken.write_bytes(b"no picture")
    try:
        assert main(arguments(folder)) == 1
    finally:
        broken.unlink()
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "broken &lt;b&gt;.png could not be read and is left out" in page
    assert "about 60 examples" in page


def test_wrong_use_is_said(folder, tmp_path, capsys):
    assert main(["audit", str(folder / "model.keras"), str(tmp_path)]) == 2
    assert "Expected pictures" in capsys.readouterr().err
    assert main(["audit", str(folder / "model.keras"), str(tmp_path / "none")]) == 2
    assert "Expected a folder of pictures" in capsys.readouterr().err
