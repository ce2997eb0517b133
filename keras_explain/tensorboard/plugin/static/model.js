// The log as the dashboard sees it: runs, methods, examples and steps. No DOM here.

import { fetchSteps } from "./api.js";

/** The run that a person thinks of: `log/explanations/grad_cam` belongs to `log`. */
export function runOf(series) {
  return series.run.replace(/(^|\/)explanations\/[^/]+$/, "") || ".";
}

/** One series with its steps; `at(step)` is what it knows at that step. */
export class Series {
  constructor(info) {
    Object.assign(this, info);
    this.method = String(info.about.method);
    this.kind = info.about.kind;
    this.signed = Boolean(info.about.signed);
    this.steps = [];
    this.maxima = [];
    this.error = null;
    this.loaded = false;
  }

  async load() {
    try {
      const found = await fetchSteps(this);
      this.steps = found.filter((step) => step.set === this.about.set || step.ids);
      this.error = null;
    } catch (error) {
      this.error = error.message;
    }
    this.loaded = true;
    this.maxima = this.rows().map((_, i) => Math.max(0, ...this.steps.map((s) => limitOf(s, i))));
  }

  /** Rows of the grid: {id, index, words}. Examples that change have the place as id. */
  rows() {
    const { about } = this;
    if (about.pick === "worst") {
      return about.ids.map((_, index) => ({ id: `worst ${index + 1}`, index, changing: true }));
    }
    return about.ids.map((id, index) => ({ id, index }));
  }

  /** The step, or the nearest one before it; null before the first. */
  at(step) {
    let found = null;
    for (const candidate of this.steps) {
      if (candidate.step > step) break;
      found = candidate;
    }
    return found;
  }

  /** Key and time of an example's picture, or of its superpixels. */
  pictureOf(record, index, part = 0) {
    const count = this.about.ids.length;
    const place = part * count + index;
    if (this.about.pick !== "worst") return { key: this.pictures[place], time: this.time };
    const maps = this.kind === "image" ? 1 : 0;
    return { key: record?.blobs[maps + place], time: record?.time };
  }

  truthOf(record, index) {
    const truth = this.about.pick === "worst" ? record?.truth : this.about.truth;
    return truth?.[index] ?? null;
  }

  wordsOf(record, index) {
    const words = this.about.pick === "worst" ? record?.words : this.about.words;
    return words?.[index] ?? [];
  }
}

/** The largest magnitude of an example's map or weights at a step. */
export function limitOf(record, index) {
  if (record.limits) return record.limits[index] ?? 0;
  const weights = record.weights?.[index] ?? [];
  return Math.max(0, ...weights.map((w) => Math.abs(w ?? 0)));
}

/** The series of some runs as a grid: methods, rows, and the steps of the scrubber. */
export class Grid {
  constructor(all, run, compare) {
    this.run = run;
    this.compare = compare;
    this.series = all.filter((s) => runOf(s) === run || (compare && runOf(s) === compare));
    this.methods = unique(this.series.map((s) => s.method));
    this.rows = unique(this.series.flatMap((s) => s.rows().map((row) => row.id)));
    this.steps = unique(this.series.flatMap((s) => s.steps.map((step) => step.step))).sort(
      (a, b) => a - b,
    );
  }

  /** The series in a column: of the run itself, then of the compared one. */
  column(method) {
    return [this.run, this.compare]
      .filter(Boolean)
      .map((run) => this.series.find((s) => s.method === method && runOf(s) === run) ?? null);
  }

  /** A series of a run that knows an example, for its picture and answers. */
  teller(run, rowId) {
    const knows = (s) => runOf(s) === run && s.rows().some((row) => row.id === rowId);
    return this.series.find(knows) ?? null;
  }

  label(step) {
    for (const series of this.series) {
      const record = series.steps.find((s) => s.step === step);
      if (record) return String(record.label);
    }
    return `step ${step}`;
  }
}

/** Answers of an example over all steps: [{step, label, predicted, score, truth}]. */
export function history(series, rowId) {
  const index = series.rows().find((row) => row.id === rowId)?.index;
  return series.steps
    .map((record) => ({ step: record.step, label: record.label, ...answer(series, record, index) }))
    .filter((point) => point.score !== null);
}

/** What the model says of an example at a step. */
export function answer(series, record, index) {
  const truth = series.truthOf(record, index);
  const predicted = record?.predicted?.[index] ?? null;
  return {
    truth,
    predicted,
    score: record?.score?.[index] ?? null,
    truthScore: record?.truth_score?.[index] ?? null,
    probable: record?.probable?.[index] ?? false,
    right: truth === null || predicted === null ? null : truth === predicted,
  };
}

/** "87 %" or "3.2". */
export function scoreText({ score, probable }) {
  if (score === null) return "";
  return probable ? `${Math.round(100 * score)} %` : String(Number(score.toPrecision(3)));
}

function unique(values) {
  return [...new Set(values)];
}
