"""What the figures with rows of small pictures share."""

import numpy as np

from keras_explain import markup
from keras_explain.plots._figure import NotebookFigure

INK, QUIET, FAINT = "#1f1f1f", "#5f6368", "#9aa0a6"
FOR, AGAINST = ("#" + bytes(color).hex() for color in (markup.FOR, markup.AGAINST))


def figure(width, height, title=None):
    """A figure without pyplot, laid out by matplotlib."""
    made = NotebookFigure(figsize=(width, height), dpi=120, facecolor="white",
                          layout="constrained")
    if title:
        made.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK,
                      parse_math=False)
    return made


def picture(axes, pixels, **options):
    """Show pixels without ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes.imshow(pixels, **options)


def bars(axes, names, weights, title):
    """Weights as bars from the bottom up: red for, blue against."""
    axes.barh(range(len(names)), weights, color=[FOR if w > 0 else AGAINST for w in weights])
    axes.set_yticks(range(len(names)), [escape_dollars(name) for name in names])
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_title(escape_dollars(title), fontsize=10)


def escape_dollars(words):
    """Words without matplotlib's mathematics."""
    return str(words).replace("$", r"\$")


def text(axes, words, where="title", size=8.5, color=INK):
    """Write a title, or a row's name at the left; no formulas, class names may hold "$"."""
    if where == "title":
        axes.set_title(words, fontsize=size, color=color, parse_math=False)
    else:
        axes.set_ylabel(words, fontsize=size + 1, color=color, parse_math=False)


def class_names_of(names, count):
    """Names for `count` classes; numbers where there are none."""
    if names is None:
        return [str(i) for i in range(count)]
    if len(names) != count:
        raise ValueError(f"Expected {count} class names, received {len(names)}. Name each class.")
    return [str(name) for name in names]


def short_number(value):
    """Three digits, "4e-9" for "4e-09"."""
    mantissa, mark, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else mantissa


def gray(images):
    """Images (N, H, W), (N, H, W, 1 or 3) as uint8 RGB; one range for all."""
    from keras_explain.images import to_uint8

    images = np.asarray(images)
    return to_uint8(images[..., None] if images.ndim == 3 else images)
