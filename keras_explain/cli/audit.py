"""`keras-explain audit`: a saved model and a folder of pictures; one report."""

import pathlib
import sys

import keras
import numpy as np

from keras_explain.auditing.auditor import audit
from keras_explain.cli.compare import PICTURES
from keras_explain.cli.inputs import PIXELS, load_model, read_labels, read_picture
from keras_explain.cli.methods import find_methods
from keras_explain.terminal import escape_controls


def run(options):
    """Audit, print the groups, write the report; returns the exit code."""
    model, names = load_model(options.model), read_labels(options.labels, options.model)
    method = "auto"
    if options.method:
        (method,) = find_methods([options.method]).values()
    pictures = Pictures(options.data, model, names, options.pixels, options.size, options.crop,
                        options.batch_size)
    found = audit(model, pictures, method=method, class_names=names, seed=options.seed,
                  batch_size=options.batch_size)
    found = found.add_notes([f"{path} could not be read and is left out: {error}"
                             for path, error in sorted(pictures.unread.items())])
    print(escape_controls(str(found)))
    print(escape_controls(f"Written: {found.report(options.out)}"))
    return 1 if pictures.unread else 0


class Pictures(keras.utils.PyDataset):
    """The pictures of a folder, read batch by batch; those in folders of classes with their class.

    Attributes:
        unread: what was wrong with pictures that are left out, by path.
    """

    def __init__(self, folder, model, names, pixels, size, crop, batch_size):
        super().__init__()
        self._files, self._classes = _list(pathlib.Path(folder), names)
        self._read = lambda path: read_picture(path, model, size, crop)
        self._scale, self._batch_size, self.unread = PIXELS[pixels], batch_size, {}

    def __len__(self):
        return -(-len(self._files) // self._batch_size)

    def __getitem__(self, index):
        read, classes = [], []
        for i in range(index * self._batch_size,
                       min((index + 1) * self._batch_size, len(self._files))):
            try:
                read.append(self._read(self._files[i]))
                classes.append(self._classes[i] if self._classes else -1)
            except TypeError:  # the model takes no pictures
                raise
            except Exception as error:  # decoders have errors of their own
                self.unread[str(self._files[i])] = str(error) or type(error).__name__
        factor, shift = self._scale
        x = (np.stack(read) * factor + shift).astype("float32") if read else np.zeros((0, 1))
        return (x, np.array(classes, int)) if self._classes else (x,)


def _list(folder, names):
    """The picture files, and their classes where the folders inside are named after classes."""
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures, received {str(folder)!r}, which is"
                                " none. Check the path.")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in PICTURES)
    if not files:
        raise FileNotFoundError(f"Expected pictures ({', '.join(PICTURES)}), received the folder"
                                f" {str(folder)!r}, where none is. Check the path.")
    above = [f.relative_to(folder).parts[0] for f in files]
    if names and all(name in names for name in above):
        return files, [names.index(name) for name in above]
    if any(len(f.relative_to(folder).parts) > 1 for f in files):
        print("The folders inside are not named after --labels: the report knows no true classes.",
              file=sys.stderr, flush=True)
    return files, None
