"""The two examples run on their embedded data, and say so; their loaders read the real formats."""

import gzip
import importlib.util
import pathlib
import sys

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def load_example(monkeypatch):
    def load(name):
        if not FOLDER.exists():
            pytest.skip("no examples beside the tests")
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.astype("uint8").tobytes())


def test_kannada_files_are_read(load_example, tmp_path, capsys):
    example = load_example("kannada_digits")
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28))
    labels = np.arange(50) % 10
    (tmp_path / "X_kannada_MNIST_test-idx3-ubyte.gz").write_bytes(idx(images))
    (tmp_path / "y_kannada_MNIST_test-idx1-ubyte.gz").write_bytes(idx(labels))
    (x, y), (x_test, y_test), others = example.load(tmp_path)
    assert "Kannada-MNIST" in capsys.readouterr().out and others is None
    assert x.shape == (40, 28, 28) and x_test.shape == (10, 28, 28)
    assert sorted(y_test) == list(range(10))
    both = np.concatenate([x, x_test]).sum(axis=(1, 2))
    np.testing.assert_allclose(np.sort(both), np.sort(images.sum(axis=(1, 2)) / 255), rtol=1e-5)
    with pytest.raises(SystemExit, match="Expected X_kannada_MNIST_test"):
        example.load(tmp_path / "nowhere")


def test_review_files_are_read(load_example, tmp_path, capsys):
    example = load_example("movie_reviews")
    (tmp_path / "rt-polarity.pos").write_bytes("a caf\xe9 to love \n\n".encode("latin-1"))
    (tmp_path / "rt-polarity.neg").write_bytes(b"dull\nflat\n")
    texts, labels = example.load(tmp_path)
    assert texts == ["dull", "flat", "a café to love"] and labels.tolist() == [0, 0, 1]
    assert "Pang and Lee" in capsys.readouterr().out
    made, labels = example.made_up(200)
    assert len(set(made)) == 200 and labels.sum() == 100
    with pytest.raises(SystemExit, match="Expected rt-polarity.neg"):
        example.load(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("name, figures", [
    ("kannada_digits", {"samples", "coefficients", "mean_jacobian", "agreement",
                        "confusion_one_vs_rest", "confusion_multinomial", "confusion_network",
                        "mistakes_network", "mistakes_multinomial", "mistakes_one_vs_rest"}),
    ("movie_reviews", {"confusion", "words", "agreement"}),
])
def test_an_example_runs_without_network(load_example, name, figures, tmp_path, monkeypatch):
    example = load_example(name)
    monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path), "--epochs", "3"])
    example.main()
    assert {path.stem for path in tmp_path.glob("*.png")} == figures
    report = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert "test accuracy" in report and "mean gradient" in report.lower()
