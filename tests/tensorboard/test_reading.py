"""Records of a damaged log: what is no record of ours is left out, the rest keeps its kinds."""

import json

import pytest

from keras_explain.tensorboard.plugin import reading


@pytest.mark.parametrize("text", [
    "", "x", "[]", "1", "null", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "[" * 100_000,
    '{"a":' * 100_000, '{"a":' * 20 + "1" + "}" * 20, '{"a": ' + "9" * 5000 + "}", None, 3, b"\xff",
])
def test_what_is_no_record(text):
    assert reading.parse(text) is None


def test_records_pass():
    record = {"format": 1, "ids": ["a"], "words": [["x", "y"]], "n": 1.5, "none": None}
    assert reading.parse(json.dumps(record)) == record


def test_ids_and_words_become_texts():
    about = reading.read_about({"format": 1, "kind": "words", "ids": [1, 2.5], "words": [[1], 3],
                                "truth": [7, None], "method": 5})
    assert about["ids"] == ["1", "2.5"] and about["words"] == [["1"], []]
    assert about["truth"] == ["7", None] and about["method"] == "5"


def test_fields_of_a_wrong_kind_are_left_out():
    step = reading.read_step({
        "label": 3, "weights": "none", "limits": [1, "x", None, True, 1e308], "score": {"a": 1},
        "predicted": [1, None], "step": "evil", "time": 0, "blobs": ["key"], "probable": [1, 0]})
    assert step == {"label": "3", "limits": [1, None, None, None, None],
                    "predicted": ["1", None], "probable": [True, False]}
