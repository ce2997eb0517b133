"""What a terminal or a Markdown reader would obey is shown instead."""

import unicodedata

import pytest

from keras_explain.terminal import escape_controls, escape_markdown


@pytest.mark.parametrize(("text", "shown"), [
    ("plain, ünïcode 猫", "plain, ünïcode 猫"),
    ("\x1b[2Jgone", "\\x1b[2Jgone"), ("a\nb\r", "a\\nb\\r"),
    ("\u202eevil", "\\u202eevil"), ("\udcff.png", "\\udcff.png"), ("\x9b31m", "\\x9b31m"), (7, "7"),
])
def test_controls_are_shown(text, shown):
    assert escape_controls(text) == shown
    shown.encode("utf-8")


def test_no_control_of_unicode_passes():
    for number in range(0x3000):
        shown = escape_controls(chr(number))
        assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in shown}


def test_markdown_is_shown():
    assert escape_markdown("a|b\n<img src=x> [x](y) `c` *d* grad_cam") == (
        "a\\|b\\\\n\\<img src=x\\> \\[x\\](y) \\`c\\` \\*d\\* grad_cam")


def test_explanations_print_no_controls():
    from keras_explain.lime import LimeTextExplainer

    explainer = LimeTextExplainer(
        lambda texts: [[0.5 + 0.1 * ("bad" in t)] * 2 for t in texts],
        class_names=["\x1b[31mred", "b"])
    assert "\x1b" not in str(explainer.explain("a bad film \x1b[2J here", samples=32, target=0))
