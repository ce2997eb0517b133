"""Files that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def place(path, overwrite=False):
    """Give a scratch path; what is written there stands at `path` once the block ends well.

    Where it fails, nothing is left, and what was at `path` before is still there.

    Raises:
        FileExistsError: there is something at `path`, and `overwrite` is False.
    """
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(_describe_taken(path))
    new_parents = [p for p in path.parents if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as scratch:
            written = pathlib.Path(scratch) / path.name
            yield written
            _exchange(written, path, pathlib.Path(scratch) / "replaced", overwrite)
    except BaseException:
        for parent in new_parents:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def next_version(path):
    """The folder of the next version below `path`: 1, 2, ..."""
    path = pathlib.Path(path)
    there = path.iterdir() if path.exists() else []
    numbers = [int(p.name) for p in there if p.name.isdecimal()]
    return path / str(max(numbers, default=0) + 1)


def _exchange(new, path, old, overwrite):
    if new.is_dir():
        os.chmod(new, 0o755)
    if overwrite and path.exists():
        shutil.move(path, old)
    try:
        if path.exists():  # somebody was faster
            raise FileExistsError(_describe_taken(path))
        os.replace(new, path)
    except BaseException:
        if old.exists():
            shutil.move(old, path)
        raise


def _describe_taken(path):
    return (
        f"Expected a new place, received {path}, which exists. Choose another name, pass"
        " versioned=True for the next version number, or overwrite=True."
    )
