// One example under one method of one run: a canvas with a map, or a text with colored words.

import { levels, picture } from "./api.js";
import { colorTable } from "./colors.js";
import { el, setText } from "./dom.js";
import { answer, limitOf, scoreText } from "./model.js";
import { blend, cellLabels, mapShares, outline, scaled, segmentShares } from "./paint.js";

export class Cell {
  /**
   * @param series the Series that is shown.
   * @param rowId the example.
   * @param state the State.
   * @param ready called when something has arrived, to draw again.
   * @param run 0 or 1 where two runs are compared, else null.
   */
  constructor(series, rowId, state, ready, run = null) {
    Object.assign(this, { series, rowId, state, ready, run });
    this.index = series.rows().find((row) => row.id === rowId)?.index ?? null;
    this.hovered = null;
    this.note = el("span", { className: "note" });
    if (series.kind === "words") {
      this.body = el("span", { className: "words" });
    } else {
      this.body = el("canvas", { width: 1, height: 1, className: "map" });
      this.body.addEventListener("pointermove", (event) => this.point(event));
      this.body.addEventListener("pointerleave", () => this.point(null));
    }
    this.node = el("span", { className: "cell" }, runTag(run), this.body, this.note);
  }

  /** Whether all that the cell needs for a step is there; starts to load what is not. */
  has(step) {
    const record = this.series.at(step);
    if (!record || this.index === null || this.series.kind !== "image") return true;
    return !record.blobs[0] || levels(record.blobs[0], record.time).value !== undefined;
  }

  draw(step, side) {
    this.side = side;
    const record = this.series.at(step);
    this.record = record;
    this.body.hidden = this.index === null;
    if (this.index === null) return this.say("not explained here");
    if (this.series.error) return this.say(this.series.error, true);
    if (!record) return this.say(this.series.loaded ? "nothing logged yet" : "loading …");
    const behind = record.step === step ? "" : `${record.label}: no later one logged`;
    if (!this.hasNumbers(record)) return this.say("the values are missing from the log", true);
    if (this.series.kind === "words") this.drawWords(record);
    else if (!this.drawMap(record)) return;
    this.say(this.readout ?? this.remark(record) ?? behind);
  }

  hasNumbers(record) {
    const values = this.series.kind === "image" ? record.limits : record.weights;
    return values?.[this.index] !== undefined;
  }

  /** A sentence for screen readers and tool tips. */
  description(step) {
    const said = answer(this.series, this.series.at(step), this.index);
    const truth = said.truth === null ? "" : `, truly ${said.truth}`;
    return `${this.series.method}: ${said.predicted ?? "score"} ${scoreText(said)}${truth}`;
  }

  remark(record) {
    const limit = record.limits ? record.limits[this.index] : limitOf(record, this.index);
    if (limit === null) return "not a number: training diverged?";
    if (limit === 0) return "blank: the score does not react";
    return null;
  }

  drawMap(record) {
    const { series, index, state } = this;
    const image = this.take(picture, series.pictureOf(record, index));
    if (!image) return false;
    const base = this.base(image);
    const size = [base.width, base.height];
    const limit = limitOf(record, index);
    const top = state.scale === "all" ? series.maxima[index] : limit;
    let shares;
    if (series.kind === "superpixels") {
      const segments = this.take(levels, series.pictureOf(record, index, 1));
      if (!segments) return false;
      this.labels = this.keep("labels", segments, () => cellLabels(segments, size));
      shares = segmentShares(this.labels, record.weights[index], top);
    } else {
      const atlas = this.take(levels, { key: record.blobs[0], time: record.time });
      if (!atlas) return false;
      const gain = top > 0 ? limit / top : 0;
      shares = mapShares(atlas, index, series.about.ids.length, size, series.signed, gain);
    }
    this.shares = shares;
    this.top = top;
    const colors = series.signed ? state.diverging : state.sequential;
    const drawn = blend(base, shares, colors, state.opacity, series.signed);
    if (this.hovered !== null && this.labels) outline(drawn, this.labels, this.hovered);
    if (this.body.width !== base.width || this.body.height !== base.height) {
      [this.body.width, this.body.height] = size;
    }
    this.body.getContext("2d").putImageData(drawn, 0, 0);
    return true;
  }

  drawWords(record) {
    const { series, index, state } = this;
    const words = series.wordsOf(record, index).slice(0, 400);
    const limit = state.scale === "all" ? series.maxima[index] : limitOf(record, index);
    const table = colorTable(series.signed ? state.diverging : state.sequential);
    const last = table.length / 3 - 1;
    if (this.body.childElementCount !== words.length) {
      this.body.replaceChildren(...words.flatMap((word) => [el("mark", {}, String(word)), " "]));
    }
    [...this.body.children].forEach((mark, i) => {
      setText(mark, String(words[i]));
      const weight = record.weights[index][i] ?? 0;
      const part = limit > 0 ? weight / limit : 0;
      const share = Math.min(1, Math.max(0, series.signed ? 0.5 + part / 2 : part));
      const at = 3 * Math.round(share * last);
      const strength = Math.min(1, Math.abs(part) * 2 * state.opacity);
      const [r, g, b] = [0, 1, 2].map((c) => Math.round(255 + (table[at + c] - 255) * strength));
      mark.style.backgroundColor = `rgb(${r} ${g} ${b})`;
      mark.style.color = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
      mark.title = `${words[i]}: ${number(weight)}`;
    });
  }

  /** Show the value under the pointer. */
  point(event) {
    const before = this.hovered;
    this.hovered = this.readout = null;
    if (event && this.shares) {
      const box = this.body.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) / box.width) * this.body.width);
      const y = Math.floor(((event.clientY - box.top) / box.height) * this.body.height);
      const at = y * this.body.width + x;
      if (x >= 0 && y >= 0 && at < this.shares.length) {
        const { signed, kind } = this.series;
        const value = (signed ? 2 * this.shares[at] - 1 : this.shares[at]) * this.top;
        if (kind === "superpixels") this.hovered = this.labels[at];
        const where = this.hovered === null ? "" : `superpixel ${this.hovered}: `;
        this.readout = where + number(value);
      }
    }
    if (before !== this.hovered && this.record) this.drawMap(this.record);
    this.say(this.readout ?? (this.record && this.remark(this.record)) ?? "");
  }

  /** A picture if it is there; else it is loaded, and the cell says so if that fails. */
  take(load, { key, time }) {
    if (!key) {
      this.say("the picture is missing from the log", true);
      return null;
    }
    const entry = load(key, time);
    if (entry.value !== undefined) return entry.value;
    entry.promise.then(
      () => this.ready(),
      (error) => this.say(error.message, true),
    );
    return null;
  }

  base(image) {
    return this.keep("pixels", image, () => scaled(image, this.side));
  }

  /** A value made of `source` for this size, made again only when one of them changes. */
  keep(name, source, make) {
    const kept = this[`kept ${name}`];
    if (kept?.source === source && kept.side === this.side) return kept.value;
    const value = make();
    this[`kept ${name}`] = { source, side: this.side, value };
    return value;
  }

  say(text, isError = false) {
    setText(this.note, text);
    this.node.classList.toggle("failed", isError);
    if (isError && this.body.getContext) {
      this.body.getContext("2d").clearRect(0, 0, this.body.width, this.body.height);
    }
  }
}

/** The letter of a compared run. */
export function runTag(run) {
  return run === null ? null : el("span", { className: `tag run-${run}` }, "AB"[run]);
}

function number(value) {
  return String(Number(value.toPrecision(3))).replace("-", "\u2212");
}
