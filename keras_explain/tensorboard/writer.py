"""Write TensorBoard event files without TensorFlow.

The messages are TensorBoard's own; the file is ours. `tensorboard`'s `EventFileWriter` was tried
and left: it imports TensorFlow wherever that is installed (10 s and a claim on the GPU in a JAX or
PyTorch program), its thread reports a full disk one call late, as an error that is not an OSError,
and `close()` hides it; and its checksum takes a second for every 3 MB.
"""

import itertools
import operator
import os
import re
import socket
import struct
import time
import warnings

from keras_explain import images
from keras_explain.tensorboard.files import open_file
from keras_explain.tensorboard.tfrecord import frame_record

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_file_numbers = itertools.count()


class EventWriter:
    """An event file in a directory that TensorBoard watches.

    Use one for a run, in a directory where nothing else writes: TensorBoard's older loader never
    looks at an event file again once it has seen a newer one beside it. It is a context manager,
    and not safe for use by several threads at once.

    Args:
        log_dir: The run's directory, made where it is missing. Addresses such as `gs://...` go
            through TensorBoard's file systems (TensorFlow's, where it is installed).

    Raises:
        ImportError: If TensorBoard is not installed.
        OSError: If the directory or the file cannot be made; by every method, if the disk is full
            or fails. On a local disk a record that failed leaves no trace: the file stays
            readable, and a later call may succeed.
        ValueError: By every method, after `close()`.

    Example:
        >>> import tempfile
        >>> with EventWriter(tempfile.mkdtemp()) as writer:
        ...     writer.scalar("faithfulness/deletion", 0.25, step=3)
        ...     writer.image("grad_cam/0", np.zeros((7, 7), "uint8"), step=3)
    """

    def __init__(self, log_dir):
        """Make the directory and the file."""
        _check_tensorboard()
        self._directory, self._begun = os.fspath(log_dir), 0
        self._begin_file()

    def count_files(self):
        """How many files were begun: one, and another each time that the last one was deleted.

        Whoever writes a header once writes it again when this number has grown.
        """
        if self._file.is_deleted():
            warnings.warn(
                f"The TensorBoard log in {self._directory} was deleted while it was written: what"
                " it held is lost. It goes on in a new file.", stacklevel=3)
            self._file.close()
            self._begin_file()
        return self._begun

    def image(self, tag, image, step, description=""):
        """Write an image for the Images tab.

        Args:
            tag: The name of the series, see `safe_tag`.
            image: The bytes of a PNG file, or a uint8 array as for `keras_explain.images
                .encode_png`: `(H, W)`, `(H, W, 3)` or `(H, W, 4)`.
            step: The epoch or batch number.
            description: Markdown, shown beside the series.
        """
        png = bytes(image) if isinstance(image, (bytes, bytearray)) else images.encode_png(image)
        if not png.startswith(_PNG_MAGIC):
            raise ValueError(
                f"Expected the bytes of a PNG file, received bytes that begin with {png[:8]!r}. "
                "Pass a uint8 array to have it encoded."
            )
        size = struct.unpack(">II", png[16:24])
        blobs = [*(str(side).encode() for side in size), png]
        self.blobs(tag, blobs, step, plugin_name="images", description=description)

    def blobs(self, tag, blobs, step, plugin_name, description=""):
        """Write a sequence of byte strings for a TensorBoard plugin.

        Args:
            tag: The name of the series, see `safe_tag`.
            blobs: A list of `bytes`, as the plugin expects them.
            step: The epoch or batch number.
            plugin_name: The plugin that the series belongs to.
            description: Markdown, for the plugin to show.
        """
        from tensorboard.compat.proto import summary_pb2

        tensor = _string_tensor(blobs, shape=[len(blobs)])
        blob_sequence = summary_pb2.DATA_CLASS_BLOB_SEQUENCE
        self._write_value(tag, tensor, step, plugin_name, blob_sequence, description)

    def scalar(self, tag, value, step, description=""):
        """Write a number for the Scalars tab.

        Args:
            tag: The name of the series, see `safe_tag`.
            value: A number, kept as float32; NaN and infinity are shown as such.
            step: The epoch or batch number.
            description: Markdown, shown beside the series.
        """
        from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2

        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[float(value)])
        tensor.tensor_shape.SetInParent()
        self._write_value(tag, tensor, step, "scalars", summary_pb2.DATA_CLASS_SCALAR, description)

    def text(self, tag, markdown, step, description="", plugin_name="text"):
        """Write Markdown for the Text tab.

        Args:
            tag: The name of the series, see `safe_tag`.
            markdown: The text; tables and emphasis are rendered, scripts are removed by
                TensorBoard.
            step: The epoch or batch number.
            description: Markdown, shown beside the series.
            plugin_name: The plugin that the series belongs to, if not the Text tab.
        """
        from tensorboard.compat.proto import summary_pb2

        tensor = _string_tensor([str(markdown).encode()], shape=[])
        tensor_class = summary_pb2.DATA_CLASS_TENSOR
        self._write_value(tag, tensor, step, plugin_name, tensor_class, description)

    def flush(self):
        """Hand everything written to the file system; only remote directories hold any back."""
        self._file.flush()

    def close(self):
        """Close the file. More calls of `close` do nothing."""
        self._file.close()

    def __enter__(self):
        """Return the writer itself."""
        return self

    def __exit__(self, *exception):
        """Close the file."""
        self.close()

    def _write_value(self, tag, tensor, step, plugin_name, data_class, description):
        from tensorboard.compat.proto import event_pb2, summary_pb2

        safe = safe_tag(tag)
        plugin_data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin_name)
        metadata = summary_pb2.SummaryMetadata(
            display_name="" if safe == tag else str(tag),
            summary_description=description or "",
            plugin_data=plugin_data,
            data_class=data_class,  # without it the data provider hides the series
        )
        value = summary_pb2.Summary.Value(tag=safe, metadata=metadata, tensor=tensor)
        summary = summary_pb2.Summary(value=[value])
        self.count_files()
        self._append(event_pb2.Event(step=_check_step(step), summary=summary))

    def _begin_file(self):
        from tensorboard.compat.proto import event_pb2

        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}"
        name += f".{os.getpid()}.{next(_file_numbers)}.kx"
        self._file = open_file(self._directory, name)
        self._begun += 1
        self._append(event_pb2.Event(file_version="brain.Event:2"))

    def _append(self, event):
        event.wall_time = time.time()
        self._file.append(frame_record(event.SerializeToString()))


def safe_tag(tag):
    """Turn any text into a tag that both of TensorBoard's loaders can read.

    A quote or a backslash in a tag makes the default loader refuse the images of the series.
    Letters, digits, blanks and `_ . / -` stay; a letter of another alphabet becomes its code
    point, so that class names stay apart; all else becomes `_`. The original is kept as the
    series' display name.

    Args:
        tag: A text that is not empty.

    Returns:
        The tag, of `A-Z a-z 0-9 _ . / -` and blanks.

    Raises:
        ValueError: If the text is empty.

    Example:
        >>> safe_tag('grad_cam/"tabby": 猫')
        'grad_cam/_tabby__ u732b'
    """
    tag = str(tag)
    if not tag.strip():
        raise ValueError(
            f"Expected a tag, such as 'grad_cam/0', received {tag!r}. Name the series."
        )
    return re.sub(r"[^A-Za-z0-9_./ -]", _replace, tag)


def _replace(match):
    character = match[0]
    return f"u{ord(character):04x}" if character.isalnum() else "_"


def _check_tensorboard():
    try:
        import tensorboard.compat.proto.event_pb2  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Expected the package tensorboard, to write its logs, received an error as it was"
            f" imported: {error}. Run: pip install 'tensorboard>=2.21'."
        ) from error


def _check_step(step):
    try:
        return operator.index(step)
    except TypeError as error:
        raise TypeError(
            f"Expected an integer step, received {step!r}. Pass the epoch or batch number."
        ) from error


def _string_tensor(values, shape):
    from tensorboard.compat.proto import tensor_pb2, types_pb2

    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor
