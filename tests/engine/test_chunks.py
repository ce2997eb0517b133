"""Chunks: of at most so many, and whole units where they fit."""

from keras_explain.engine.chunks import even


def test_chunks_of_whole_units():
    assert even(676, 256, 26) == 234
    assert even(676, 256) == 226
    assert even(676, 20, 26) == even(676, 20)  # no unit fits
    assert even(675, 256, 26) == even(675, 256)
