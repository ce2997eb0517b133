"""The example: SP-LIME tells the classifier that cheats from the one that reads."""

import importlib.util
import pathlib

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "two_text_classifiers.py"


def test_picked_explanations_tell_them_apart(capsys):
    spec = importlib.util.spec_from_file_location("two_text_classifiers", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.main(epochs=8, candidates=12)
    assert found["A"] == 0 and found["B"] >= 4  # training differs a little between backends
    shown = capsys.readouterr().out
    right = [float(line.split()[-1][:-1]) for line in shown.splitlines() if ": right on" in line]
    assert abs(right[0] - right[1]) < 5 and min(right) > 75
