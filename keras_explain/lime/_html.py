"""Explanations as HTML: no scripts, no links, every text escaped."""

import base64
import html

import numpy as np

_FOR, _AGAINST = "178,24,43", "33,102,172"


def to_html(explanation, k):
    """The text of `Explanation.to_html`."""
    blocks = [_class_block(explanation, row, k) for row in range(len(explanation.classes))]
    return (
        '<div style="font-family:sans-serif;font-size:14px;line-height:1.5">'
        + "".join(blocks)
        + "</div>"
    )


def _class_block(explanation, row, k):
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
        body = _pictures(explanation, target, k)
    elif subject.kind == "text":
        body = _marked_text(subject, explanation.heatmap(target))
    rules = explanation.rules[row]
    return (
        f'<h4 style="margin:12px 0 2px">{_escape(explanation.class_names[row])}</h4>'
        f'<div style="color:#666;font-size:12px">{numbers}</div>{body}'
        + _bars(explanation.top(k, target))
        + (f"<pre>{_escape(rules)}</pre>" if rules else "")
    )


def _bars(features):
    largest = max((abs(f.weight) for f in features), default=1.0)
    rows = [
        f'<tr><td style="text-align:right;padding:0 8px">{_escape(f.name)}</td>'
        f'<td style="width:160px"><div style="background:rgb({_color(f.weight)});height:10px;'
        f'width:{100 * abs(f.weight) / largest:.0f}%"></div></td>'
        f'<td style="padding:0 8px">{f.weight:+.3g}</td></tr>'
        for f in features
    ]
    return f'<table style="border-collapse:collapse;margin:6px 0">{"".join(rows)}</table>'


def _marked_text(subject, weights):
    largest = float(np.abs(weights).max(initial=0)) or 1.0
    parts, position = [], 0
    for (start, end, _), weight in zip(subject.spans, weights, strict=True):
        parts.append(_escape(subject.text[position:start]))
        word = _escape(subject.text[start:end])
        if weight:
            style = f"background:rgba({_color(weight)},{0.65 * abs(weight) / largest:.2f})"
            word = f'<span style="{style}" title="{weight:+.3g}">{word}</span>'
        parts.append(word)
        position = end
    parts.append(_escape(subject.text[position:]))
    return f'<p style="white-space:pre-wrap;max-width:46em">{"".join(parts)}</p>'


def _pictures(explanation, target, k):
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


def _color(weight):
    return _FOR if weight > 0 else _AGAINST


def _escape(text):
    return html.escape(str(text), quote=True)
