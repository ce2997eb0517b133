"""Explanations as HTML, see `keras_explain.markup`."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from keras_explain import markup

if TYPE_CHECKING:
    from keras_explain.lime.explanation import Explanation


def to_html(explanation: "Explanation", k: int) -> str:
    """The text of `Explanation.to_html`."""
    blocks = [_describe_class(explanation, row, k) for row in range(len(explanation.classes))]
    return markup.page(*blocks)


def _describe_class(explanation, row, k):
    target = explanation.classes[row]
    numbers = (
        f"score {explanation.prediction[row]:.3g}, "
        f"surrogate {explanation.local_prediction[row]:.3g}, "
        f"fidelity {explanation.fidelity[row]:.2f}, stability {explanation.stability[row]:.2f}, "
        f"{explanation.samples} samples"
    )
    subject = explanation.subject
    body = ""
    if subject.kind == "image":
        body = _draw_pictures(explanation, target, k)
    elif subject.kind == "series":
        body = _draw_figure(explanation, target)
    elif subject.kind == "text":
        body = _mark_text(subject, explanation.heatmap(target))
    top, rules = explanation.top(k, target), explanation.rules[row]
    largest = max((abs(f.weight) for f in top), default=1.0)
    rows = [(markup.escape(f.name), markup.bar(f.weight, largest), f"{f.weight:+.3g}") for f in top]
    return (
        f'<h4 style="margin:12px 0 2px">{markup.escape(explanation.class_names[row])}</h4>'
        f'<div style="color:#666;font-size:12px">{numbers}</div>{body}'
        + markup.table(rows)
        + (f"<pre>{markup.escape(rules)}</pre>" if rules else "")
    )


def _mark_text(subject, weights):
    largest = float(np.abs(weights).max(initial=0)) or 1.0
    parts, position = [], 0
    for (start, end, _), weight in zip(subject.spans, weights, strict=True):
        parts.append(markup.escape(subject.text[position:start]))
        parts.append(markup.mark(subject.text[start:end], weight, largest))
        position = end
    parts.append(markup.escape(subject.text[position:]))
    return f'<p style="white-space:pre-wrap">{"".join(parts)}</p>'


def _draw_figure(explanation, target):
    from keras_explain.lime._figure import draw_figure

    written = io.BytesIO()
    draw_figure(explanation, 0, target).savefig(written, format="png", dpi=80)
    data = base64.b64encode(written.getvalue()).decode("ascii")
    return (f'<img alt="red for, blue against" src="data:image/png;base64,{data}"'
            ' style="max-width:100%">')


def _draw_pictures(explanation, target, k):
    from keras_explain.images import encode_png
    from keras_explain.lime._figure import cut_out, overlay_weights

    parts = []
    for title, image in (
        ("top superpixel", cut_out(explanation, 1, target, "positive")),
        (f"top {k} superpixels", cut_out(explanation, k, target, "positive")),
        ("red for, blue against", overlay_weights(explanation, target)),
    ):
        data = base64.b64encode(encode_png(image)).decode("ascii")
        parts.append(
            f'<figure style="display:inline-block;margin:4px"><img alt="{title}" '
            f'src="data:image/png;base64,{data}" style="max-width:224px"><figcaption '
            f'style="font-size:12px">{title}</figcaption></figure>'
        )
    return f"<div>{''.join(parts)}</div>"
