"""What the Images tab shows: inputs, overlays and a filmstrip of the epochs so far."""

from keras_explain import images
from keras_explain.tensorboard.records import encode_picture

_MOST_FRAMES = 24
_STRIP_BYTES = 150_000


class ImagesTab:
    """Draws the maps of one series for people without our dashboard.

    TensorBoard keeps a sample of the steps of each tag, but always the last: a filmstrip of all
    epochs, written again as it grows, shows them all.

    Args:
        writer: an `EventWriter`.
        name: prefix of the tags.
        signed: one palette for all epochs.
    """

    def __init__(self, writer, name, signed):
        self.writer, self.name, self.signed = writer, name, signed
        self.strips = {}
        self._inputs, self._stored = None, 0

    def keep_inputs(self, pictures, step):
        """Write the examples themselves, with the next overlays."""
        self._inputs = pictures, step

    def _store_inputs(self):
        """Write the examples into the file that is open now, if they are not there."""
        begun = self.writer.count_files()
        if self._inputs is None or self._stored == begun:
            return
        for i, picture in enumerate(self._inputs[0]):
            self._write(f"{self.name}/{i}/input", legible(picture), self._inputs[1])
        self._stored = begun

    def add(self, pictures, maps, captions, label, step, draw=True):
        """Write overlays, and a filmstrip when enough has been added to it."""
        self._store_inputs()
        overlays = images.overlay(pictures, maps, signed=self.signed)
        for i, overlay in enumerate(overlays):
            strip = self.strips.setdefault(i, Filmstrip())
            strip.add(overlay, label)
            if draw:
                captioned = images.caption(overlay, f"{captions[i]} {label}".strip())
                self._write(f"{self.name}/{i}/overlay", captioned, step)
                if strip.is_due():
                    self._strip(i, strip, step)

    def finish(self, step):
        """Write the filmstrips that have grown since they were last written."""
        for i, strip in self.strips.items():
            if strip.seen != strip.drawn:
                self._strip(i, strip, step)

    def _strip(self, i, strip, step):
        strip.drawn = strip.seen
        self._write(f"{self.name}/{i}/filmstrip", strip.picture(), step, _STRIP_BYTES)

    def _write(self, tag, picture, step, most_bytes=30_000):
        data = encode_picture(picture, 4096, most_bytes)
        height, width = picture.shape[:2]
        blobs = [str(width).encode(), str(height).encode(), data]
        self.writer.blobs(tag, blobs, step, plugin_name="images")


class Filmstrip:
    """Small frames of many epochs, at most `_MOST_FRAMES`: then every second one goes."""

    def __init__(self):
        self.frames, self.every, self.seen, self.drawn = [], 1, 0, 0
        self.last = None

    def add(self, picture, label):
        """Append a frame."""
        small = images.filmstrip([picture], max_side=128, min_side=1, gap=0)
        self.last = (small, label)
        if self.seen % self.every == 0:
            self.frames.append(self.last)
        self.seen += 1
        if len(self.frames) > _MOST_FRAMES:
            self.frames, self.every = self.frames[::2], self.every * 2

    def is_due(self):
        """Whether it has grown by a fifth: writing it each time would be most of the log."""
        return self.seen <= 3 or self.seen >= self.drawn * 6 / 5

    def picture(self):
        """All frames with their labels, the newest included."""
        frames = self.frames if self.frames[-1] is self.last else [*self.frames, self.last]
        return images.filmstrip([f for f, _ in frames], [label for _, label in frames])


def legible(picture):
    """Small pictures enlarged, so that they can be seen in the browser."""
    return images.filmstrip([picture], max_side=None, gap=0)
