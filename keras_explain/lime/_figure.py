"""Explanations as pictures: superpixels cut out, matplotlib figures."""

import numpy as np

_FOR, _AGAINST = "#b2182b", "#2166ac"  # the ends of the diverging color map of `images`


def picture(explanation, k, label, sign):
    """uint8 `(H, W, 3)`: the k superpixels in color, the rest gray and faint."""
    from keras_explain.images import to_uint8

    _check_image(explanation)
    rgb = to_uint8(explanation.subject.picture)
    gray = np.uint8(rgb.mean(axis=-1, keepdims=True) * 0.25 + 140)
    return np.where(explanation.mask(k, label, sign)[..., None], rgb, gray)


def heat_picture(explanation, label, alpha=0.6):
    """uint8 `(H, W, 3)`: the image under its weights, red for and blue against the class."""
    from keras_explain.images import overlay

    heatmap = explanation.heatmap(label)
    return overlay(explanation.subject.picture, heatmap, alpha=alpha, signed=True)


def figure(explanation, k, label):
    """The figure of `Explanation.show`."""
    from matplotlib.figure import Figure

    labels = explanation.classes if label is None else [explanation.classes[explanation.row(label)]]
    if explanation.subject.kind == "image":
        panels = Figure(figsize=(12, 3.4 * len(labels)), layout="constrained")
        axes = panels.subplots(len(labels), 4, squeeze=False)
        for number, row in zip(labels, axes, strict=True):
            _draw_pictures(explanation, number, k, row)
        return panels
    height = 0.32 * min(k, max(len(explanation.features), 1)) + 1.4
    panels = Figure(figsize=(6, height * len(labels)), layout="constrained")
    for number, row in zip(labels, panels.subplots(len(labels), 1, squeeze=False), strict=True):
        _draw_bars(explanation, number, k, row[0])
    return panels


def _draw_pictures(explanation, label, k, axes):
    from keras_explain.images import to_uint8

    row = explanation.row(label)
    panels = (
        (f"{explanation.class_names[row]}: {explanation.prediction[row]:.3g}",
         to_uint8(explanation.subject.picture)),
        ("top superpixel", picture(explanation, 1, label, "positive")),
        (f"top {k} superpixels", picture(explanation, k, label, "positive")),
        (f"weights (R2 {explanation.fidelity[row]:.2f})", heat_picture(explanation, label)),
    )
    for axis, (title, image) in zip(axes, panels, strict=True):
        axis.imshow(image)
        axis.set_title(_plain(title), fontsize=10)
        axis.set_axis_off()


def _draw_bars(explanation, label, k, axis):
    row = explanation.row(label)
    top = explanation.top(k, label)[::-1]
    weights = [feature.weight for feature in top]
    axis.barh(range(len(top)), weights, color=[_FOR if w > 0 else _AGAINST for w in weights])
    axis.set_yticks(range(len(top)), [_plain(feature.name) for feature in top])
    axis.axvline(0, color="0.4", linewidth=0.8)
    axis.set_xlabel("weight")
    name, score = explanation.class_names[row], explanation.prediction[row]
    axis.set_title(_plain(f"{name}: {score:.3g} (R2 {explanation.fidelity[row]:.2f})"), fontsize=10)


def _plain(text):
    """`text` without matplotlib's mathematics."""
    return str(text).replace("$", r"\$")


def _check_image(explanation):
    if explanation.subject.kind != "image":
        raise TypeError(
            f"Expected the explanation of an image, received one of a {explanation.subject.kind}. "
            "Use top(k), show() or to_html()."
        )
