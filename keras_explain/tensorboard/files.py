"""Files to which records are appended, on the local disk and on TensorBoard's file systems.

A record on a local disk is there, or has raised, when the call returns.
"""

import contextlib
import os


def open_file(directory, name):
    """Make a file in a directory, which is made where it is missing.

    Addresses such as `gs://...` go through TensorBoard's file systems.
    """
    kind = RemoteFile if "://" in directory else LocalFile
    return kind(directory, name)


class LocalFile:
    """A file to which a record is appended wholly or not at all."""

    def __init__(self, directory, name):
        os.makedirs(directory, exist_ok=True)
        self._file = open(os.path.join(directory, name), "xb", buffering=0)
        self._end = 0

    def append(self, record):
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end += len(record)

    def is_deleted(self):
        """Whether the file has gone under our hands: what is written then goes nowhere."""
        return not self._file.closed and os.fstat(self._file.fileno()).st_nlink == 0

    def flush(self):
        self._file.flush()

    def close(self):
        self._file.close()


class RemoteFile:
    """A file on one of TensorBoard's file systems, with its errors as OSError."""

    def __init__(self, directory, name):
        from tensorboard.compat import tf

        with _as_os_error(directory):
            tf.io.gfile.makedirs(directory)
            self._file = tf.io.gfile.GFile(f"{directory.rstrip('/')}/{name}", "wb")

    def append(self, record):
        if self._file is None:
            raise ValueError("Expected an open EventWriter, received a closed one. Make another.")
        with _as_os_error(self._file.name):
            self._file.write(record)

    def is_deleted(self):
        return False  # what a remote file system lets be deleted, it keeps no handle to

    def flush(self):
        if self._file is not None:
            with _as_os_error(self._file.name):
                self._file.flush()

    def close(self):
        file, self._file = self._file, None
        if file is not None:
            with _as_os_error(file.name):
                file.close()


@contextlib.contextmanager
def _as_os_error(path):
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # TensorFlow's own classes, not to be imported for this
        raise OSError(f"Could not write the TensorBoard log {path}: {error}") from error
