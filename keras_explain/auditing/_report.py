"""The audit as one HTML file: no scripts, no other files, readable by a person and a screen reader.
"""

import base64
import re

import numpy as np

from keras_explain.auditing._pooling import spread
from keras_explain.images import encode_png, overlay, to_uint8
from keras_explain.markup import escape

STYLE = """
:root{color-scheme:light dark;--line:#999;--warn:#a11212}
@media(prefers-color-scheme:dark){:root{--warn:#ff9c9c}}
body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}
th,td{border-bottom:1px solid var(--line);padding:.3em .8em;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:bold;padding:.3em 0}
.warn{color:var(--warn);font-weight:bold}
.pictures{display:grid;grid-template-columns:repeat(6,1fr);gap:.5em;list-style:none;padding:0}
.pictures img{width:100%;max-width:8em;image-rendering:pixelated;border:1px solid var(--line)}
code{overflow-wrap:anywhere}
section{break-inside:avoid}
.wide{overflow-x:auto}
"""
LIMITS = (
    "A group shows where evidence lies, not why the model takes it for evidence. Whether a place"
    " is a wrong reason is for a person to say who knows the data.",
    "A cause that lies where the class also has its right evidence, or everywhere, may be ranked"
    " low; so may one that only a few examples carry, or that the model has learnt in part.",
    "Only causes that these examples carry can be found. No group that is called suspicious does"
    " not prove that there is no shortcut.",
    "Pasted pictures are unlike those that the model was trained on; the comparison with the"
    " content of the class's other members is there for that.",
)


def write(audit):
    """The whole page."""
    facts = audit.facts
    title = f"Audit of {facts['model']['name']}"
    blocks = [
        f"<h1>{escape(title)}</h1>", _summary(audit), _facts(facts), _classes(audit),
        _groups(audit), "<h2>What this report cannot show</h2><ul>",
        *(f"<li>{escape(text)}</li>" for text in (*audit.notes, *LIMITS)), "</ul>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n"
        + "\n".join(blocks) + "\n</main></body></html>\n"
    )


def summarize(audit):
    """What notebooks show."""
    return f"<div>{_summary(audit)}{_ranking(audit)}</div>"


def _summary(audit):
    right = "" if audit.accuracy is None else f" It answers {audit.accuracy:.1%} of them right."
    count = len(audit.suspicious)
    if count:
        said = (f'<p class="warn">{count} of {len(audit.groups)} groups of explanations should be'
                " looked at by a person: the model recognizes these examples by something that"
                " the rest of their class does not show.</p>")
    elif audit.groups:
        said = (f"<p>None of {len(audit.groups)} groups of explanations is suspicious by the"
                " measure of this report.</p>")
    else:
        said = "<p>No groups of explanations were found.</p>"
    return (f"<p>The model was asked about {len(audit.predicted)} examples.{right}</p>{said}")


def _facts(facts):
    rows = [(f"{part}: {name}", value) for part, values in facts.items()
            for name, value in (values.items() if isinstance(values, dict) else [("", values)])]
    return _table("What was audited, and how", ("Fact", "Value"), [
        (escape(name.strip(": ").replace("_", " ")), f"<code>{escape(value)}</code>")
        for name, value in rows])


def _classes(audit):
    answered = np.bincount(audit.predicted, minlength=len(audit.class_names))
    rows, head = [], ["Class", "Answered", "Groups", "Suspicious"]
    for i, name in enumerate(audit.class_names):
        own = [g for g in audit.groups if g.target == i]
        row = [escape(name), int(answered[i]), len(own), sum(g.suspicious for g in own)]
        if audit.y is not None:
            there = audit.y == i
            right = (audit.predicted[there] == i).mean() if there.any() else np.nan
            row += [int(there.sum()), _percent(right)]
        rows.append(row)
    if audit.y is not None:
        head += ["Truly there", "Of these found"]
    return "<h2>Classes</h2>" + _table("Each class", head, rows)


def _groups(audit):
    parts = ["<h2>Groups of explanations</h2>",
             "<p>Examples that were called the same are grouped by where the evidence lies. What a"
             " group looks at is then pasted into examples of other classes. <em>Pasted</em> is"
             " the share of them that turn into the class, <em>mates pasted</em> the same with"
             " what other members of the class have there: the difference is what the group alone"
             " carries. <em>Hidden</em> is the share of the group that leaves the class when its"
             " place gets the content of others, <em>hidden elsewhere</em> the same at random"
             " places of that shape. <em>Overlap</em> is how much of the evidence the rest of the"
             " class looks at too. The <em>score</em> is (pasted - mates pasted) x (1 - overlap) x"
             " (1 - share of the class).</p>", _ranking(audit)]
    for number, group in enumerate(audit.groups, start=1):
        if number <= 10 or group.suspicious:
            parts.append(_show(audit, number, group))
    return "\n".join(parts)


def _ranking(audit):
    head = ("Rank", "Class", "Members", "Score", "Pasted", "Mates pasted", "Hidden",
            "Hidden elsewhere", "Overlap", "Right")
    return _table("Groups, the most suspicious first", head, [
        (n, escape(audit.class_names[g.target]) + (
            '<br><span class="warn">suspicious</span>' if g.suspicious else ""),
         f"{len(g.members)} of {g.size}", f"{g.score:.2f}", *map(_percent, (
             g.paste, g.paste_mates, g.hide, g.hide_elsewhere, g.overlap,
             np.nan if g.accuracy is None else g.accuracy)))
        for n, g in enumerate(audit.groups, start=1)])


def _show(audit, number, group):
    name = audit.class_names[group.target]
    word = "suspicious" if group.suspicious else "not suspicious"
    shown = _pictures(group, name) if group.examples.ndim == 4 else ""
    return (f"<section><h3>Group {number}: {len(group.members)} of {group.size} that were called"
            f" {escape(name)} ({word}, score {group.score:.2f})</h3>{shown}</section>")


def _pictures(group, name):
    """Typical members without and with the heatmap, as pictures with texts."""
    where = _say_place(group.region)
    plain, colored = [], []
    if group.examples.shape[-1] not in (1, 3, 4):
        return ""
    for i, (picture, cells) in enumerate(
            zip(to_uint8(group.examples), group.example_maps, strict=True), start=1):
        heat = spread(cells, group.region.shape)
        plain.append((picture, f"Typical member {i} of the group called {name}"))
        colored.append((overlay(picture, heat), f"Evidence in member {i}, mostly {where}"))
    return f'<p>They look mostly {where}.</p><ul class="pictures">' + "".join(
        f'<li><img alt="{escape(text)}" src="{_encode(picture)}"></li>'
        for picture, text in plain + colored) + "</ul>"


def _encode(picture):
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()


def _say_place(region):
    """Where most of a region is, in words."""
    rows, columns = np.nonzero(region)
    height, width = region.shape
    down = ("at the top", "in the middle", "at the bottom")[
        min(2, int(3 * np.median(rows) / height))]
    along = ("left", "", "right")[min(2, int(3 * np.median(columns) / width))]
    return f"{down}{' ' if along else ''}{along} ({region.mean():.0%} of the picture)"


def _percent(value):
    return "not measured" if np.isnan(value) else f"{value:.0%}"


def _table(caption, head, rows):
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    lines = []
    for first, *cells in rows:
        line = "".join(f'<td class="n">{c}</td>' if _is_number(c) else f"<td>{c}</td>"
                       for c in cells)
        lines.append(f'<tr><th scope="row">{first}</th>{line}</tr>')
    return (f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
            f"<table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>"
            f"{''.join(lines)}</tbody></table></div>")


def _is_number(cell):
    return not isinstance(cell, str) or re.fullmatch(r"-?[\d.]+%?|\d+ of \d+|not measured", cell)
