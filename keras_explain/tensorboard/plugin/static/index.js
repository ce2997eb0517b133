// The Explanations dashboard: TensorBoard calls `render()` in an empty page.

import { fetchSeries } from "./api.js";
import { Controls } from "./controls.js";
import { Detail } from "./detail.js";
import { el } from "./dom.js";
import { GridView } from "./grid.js";
import { connect, linkedView, onReload, onTheme, permalink } from "./host.js";
import { handleKeys, KEYS } from "./keys.js";
import { Grid, runOf, Series } from "./model.js";
import { Prefetch } from "./prefetch.js";
import { State } from "./state.js";

const REFRESH = 30_000; // ms; TensorBoard itself reloads its data that often

class App {
  constructor() {
    this.state = new State();
    this.all = new Map();
    this.prefetch = new Prefetch();
    this.main = el("main", { tabIndex: -1 });
    this.message = el("div", { className: "message", role: "status" });
    this.help = makeHelp();
    const actions = {
      go: (index) => this.goTo(index),
      play: () => this.togglePlay(),
      link: () => this.copyLink(),
      help: () => this.help.showModal(),
    };
    this.actions = actions;
    const ready = () => this.schedule();
    const go = (step) => this.goTo(this.grid.steps.indexOf(step));
    this.cellActions = { ready, go, open: (row, method) => this.open(row, method) };
    this.detail = new Detail(this.state, { ready, go });
  }

  async start() {
    document.documentElement.lang = "en";
    document.title = "Explanations";
    document.head.append(el("link", { rel: "stylesheet", href: "./style.css" }));
    onTheme((dark) => (document.documentElement.dataset.theme = dark ? "dark" : "light"));
    connect();
    this.state.decode(await linkedView());
    this.controls = new Controls(this.state, this.actions);
    this.controls.node.hidden = true;
    document.body.replaceChildren(
      this.controls.node, this.message, this.main, this.detail.node, this.help);
    this.say("Loading explanations …");
    this.state.listeners.push((changed) => this.changed(changed));
    handleKeys(this);
    onReload(() => this.refresh());
    setInterval(() => document.hidden || this.refresh(), REFRESH);
    await this.refresh();
  }

  // Data ----------------------------------------------------------------------------------------

  async refresh() {
    if (this.refreshing) return;
    this.refreshing = true;
    try {
      const { series, unreadable } = await fetchSeries();
      this.unreadable = unreadable;
      this.adopt(series);
      if (series.length) await this.loadRuns();
      else this.sayEmpty();
    } catch (error) {
      this.sayError(error.message);
    } finally {
      this.refreshing = false;
    }
  }

  adopt(infos) {
    const known = this.all;
    this.all = new Map(infos.map((info) => {
      const key = JSON.stringify([info.run, info.series]);
      const before = known.get(key);
      return [key, before && before.time === info.time ? before : new Series(info)];
    }));
    this.runs = [...new Set(infos.map(runOf))].sort();
    const { state } = this;
    if (!this.runs.includes(state.run)) {
      state.run = this.runs[0] ?? null;
      this.guessed = true; // nobody has chosen it
    }
    if (!this.runs.includes(state.compare) || state.compare === state.run) state.compare = "";
  }

  /** Load the steps of the runs that are shown; draw as soon as all are there. */
  async loadRuns() {
    const { state } = this;
    const grid = new Grid([...this.all.values()], state.run, state.compare);
    await Promise.all(grid.series.map((series) => series.load()));
    if (state.run !== grid.run || state.compare !== (grid.compare ?? "")) return;
    const next = this.runs[this.runs.indexOf(state.run) + 1];
    if (grid.series.some((series) => series.steps.length)) this.guessed = false;
    if (this.guessed) state.run = next ?? this.runs[0]; // a run that has not begun hides no other
    if (this.guessed && next) return this.loadRuns();
    this.show(new Grid([...this.all.values()], state.run, state.compare));
  }

  show(grid) {
    const failed = grid.series.filter((series) => series.error);
    this.controls.node.hidden = false;
    this.controls.setRuns(this.runs, grid);
    if (!grid.steps.length || !grid.rows.length) {
      this.clear();
      if (failed.length) return this.sayError(failed[0].error);
      return this.say(grid.rows.length
        ? "Training has begun; the first epoch has not been explained yet."
        : "This run was given no examples to explain.");
    }
    this.grid = grid;
    this.say([...failed.map((series) => `${series.method}: ${series.error}`), this.damage()]
      .filter(Boolean).join(" "));
    const shape = JSON.stringify([grid.run, grid.compare, grid.methods, grid.rows, grid.steps.length,
      grid.series.map((series) => series.time)]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.view?.close();
      this.view = new GridView(grid, this.state, this.cellActions);
      const scroll = this.main.scrollTop;
      this.main.replaceChildren(this.view.node);
      this.main.scrollTop = scroll;
      this.detail.refresh(grid);
    }
    this.schedule();
    this.prefetch.start(grid, () => this.index());
  }

  // Steps ---------------------------------------------------------------------------------------

  /** The scrubber's place: the chosen step, or the nearest before it; the newest by default. */
  index() {
    const { steps } = this.grid;
    if (this.state.step === null) return steps.length - 1;
    const later = steps.findIndex((step) => step > this.state.step);
    return later === -1 ? steps.length - 1 : Math.max(0, later - 1);
  }

  goTo(index) {
    if (!this.grid) return;
    const { steps } = this.grid;
    const place = Math.min(Math.max(0, index), steps.length - 1);
    const follow = place === steps.length - 1 && !this.state.playing;
    this.state.set({ step: follow ? null : steps[place] });
  }

  togglePlay() {
    const { state, grid } = this;
    if (!grid) return;
    if (state.playing) return state.set({ playing: false });
    const atEnd = this.index() === grid.steps.length - 1;
    state.set({ playing: true, step: atEnd ? grid.steps[0] : grid.steps[this.index()] });
    this.tick(performance.now());
  }

  /** Go on to the next epoch when its time has come and its maps are there. */
  tick(due) {
    if (!this.state.playing) return;
    const now = performance.now();
    const next = this.index() + 1;
    if (next >= this.grid.steps.length) return this.state.set({ playing: false, step: null });
    const patience = 2000;
    if (now >= due && (this.view.has(this.grid.steps[next]) || now > due + patience)) {
      this.goTo(next);
      due = Math.max(due + 1000 / this.state.speed, now);
    }
    requestAnimationFrame(() => this.tick(due));
  }

  // Drawing -------------------------------------------------------------------------------------

  changed(names) {
    if (names.has("run") || names.has("compare")) {
      if (this.state.compare === this.state.run) this.state.compare = "";
      this.loadRuns().catch((error) => this.sayError(error.message));
      return;
    }
    this.schedule();
  }

  schedule() {
    if (this.scheduled || !this.grid) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      if (!this.grid) return;
      const index = this.index();
      this.controls.show(this.grid, index);
      this.view.draw(this.grid.steps[index]);
      this.detail.draw(this.grid.steps[index]);
    });
  }

  open(rowId, method) {
    this.detail.open(this.grid, rowId, method);
    this.schedule();
  }

  async copyLink() {
    const address = permalink(this.state.encode(this.grid?.steps[this.index()] ?? null));
    try {
      await navigator.clipboard.writeText(address);
      this.controls.linked.replaceChildren("Link copied");
    } catch {
      const shown = el("input", { value: address, readOnly: true, "aria-label": "Link to this view" });
      this.controls.linked.replaceChildren(shown);
      shown.select();
    }
  }

  // Messages ------------------------------------------------------------------------------------

  say(...content) {
    this.message.className = "message";
    this.message.replaceChildren(...content);
    this.message.hidden = content.every((part) => part === "");
  }

  /** Take the grid away. */
  clear() {
    this.grid = null;
    this.state.playing = false;
    this.view?.close();
    this.main.replaceChildren();
    this.shape = null;
    this.controls.clear();
  }

  /** What of the log cannot be shown, in words. */
  damage() {
    const count = this.unreadable;
    if (!count) return "";
    const what = count === 1 ? "One series of this log is" : `${count} series of this log are`;
    return `${what} damaged, or written by another version, and not shown.`;
  }

  sayEmpty() {
    this.clear();
    this.controls.node.hidden = true;
    if (this.unreadable) return this.say(this.damage());
    const code = "kx.callbacks.GradCAMCallback(x_val[:8], y_val[:8], log_dir=\"logs\")";
    this.say(
      el("h2", {}, "No explanations in this log yet"),
      el("p", {}, "Give a callback to ", el("code", {}, "model.fit"), " and train:"),
      el("pre", {}, `import keras_explain as kx\n\nmodel.fit(x, y, callbacks=[\n    ${code},\n])`),
      el("p", {}, "Then start TensorBoard with the same directory. This page looks again by itself."),
    );
  }

  sayError(text) {
    const retry = el("button", { type: "button", onclick: () => this.refresh() }, "Try again");
    this.say(el("p", {}, text), retry);
    this.message.classList.add("error");
  }
}

function makeHelp() {
  const rows = KEYS.map(([keys, what]) =>
    el("tr", {}, el("th", { scope: "row" }, el("kbd", {}, keys)), el("td", {}, what)));
  const dialog = el("dialog", { "aria-label": "Keys" });
  dialog.append(
    el("table", { className: "keys" }, el("tbody", {}, ...rows)),
    el("button", { type: "button", onclick: () => dialog.close() }, "Close"),
  );
  return dialog;
}

/** TensorBoard's entry. */
export function render() {
  const app = new App();
  app.start().catch((error) => app.sayError(`The dashboard failed: ${error.message}`));
}
