"""The names of the classes, as an asset of the SavedModel."""

import os
import pathlib

import tensorflow as tf


class Labels:
    """Class numbers to names. Without names, the numbers as text.

    The names are written to `labels.txt` in `folder`, from where the SavedModel takes them into
    its assets when it is saved; whoever edits them there changes the served names.

    Args:
        names: a list, a text file with one name per line, or None.
        classes: how many there must be.
        folder: an existing folder, which must be there until the SavedModel is written.
    """

    def __init__(self, names, classes, folder):
        self.names, self.table = names, None
        if names is None:
            return
        if isinstance(names, (str, os.PathLike)):
            names = pathlib.Path(names).read_text(encoding="utf-8").splitlines()
        self.names = [str(name) for name in names]
        _check(self.names, classes)
        file = pathlib.Path(folder) / "labels.txt"
        file.write_text("\n".join(self.names) + "\n", encoding="utf-8")
        lines = tf.lookup.TextFileInitializer(
            str(file), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
            tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        self.table = tf.lookup.StaticHashTable(lines, default_value="")

    @property
    def tables(self):
        """What the SavedModel must hold."""
        return [] if self.table is None else [self.table]

    def lookup(self, classes):
        """Strings of the shape of the integer tensor `classes`."""
        if self.table is None:
            return tf.strings.as_string(classes)
        return self.table.lookup(tf.cast(classes, tf.int64))


def _check(names, classes):
    if len(names) != classes:
        raise ValueError(
            f"Expected `class_names` to name the {classes} classes of the explained output,"
            f" received {len(names)} names. Name every class, in the order of the scores."
        )
    broken = next((name for name in names if len(name.splitlines()) > 1), None)
    if broken is not None:
        raise ValueError(f"Expected `class_names` of one line each, received {broken!r}. Take the"
                         " line break out.")
