// The table of examples x methods.

import { picture } from "./api.js";
import { Cell, runTag } from "./cell.js";
import { chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { answer, history, scoreText } from "./model.js";

const CHART = [150, 44];

export class GridView {
  /** @param actions {ready(), open(rowId, method), go(step)} */
  constructor(grid, state, actions) {
    Object.assign(this, { grid, state, actions });
    this.visible = new Set();
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "100px" });
    this.rows = grid.rows.map((rowId) => this.makeRow(rowId));
    const heads = grid.methods.map((method) => el("th", { scope: "col" }, method));
    this.node = el(
      "table",
      { className: "grid" },
      el("caption", { className: "unseen" }, "What the model looks at, by example and method"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Example"), ...heads)),
      el("tbody", {}, ...this.rows.map((row) => row.node)),
    );
    for (const row of this.rows) this.observer.observe(row.node);
  }

  /** Draw what is on screen. */
  draw(step) {
    this.step = step;
    for (const row of this.rows) if (this.visible.has(row.node)) this.drawRow(row);
  }

  /** Whether all maps on screen are there for a step; those that are not are asked for. */
  has(step) {
    const shown = this.rows.filter((row) => this.visible.has(row.node));
    return shown.flatMap((row) => row.cells).map((cell) => cell.has(step)).every(Boolean);
  }

  close() {
    this.observer.disconnect();
  }

  makeRow(rowId) {
    const { grid, state, actions } = this;
    const cells = [];
    const columns = grid.methods.map((method) => {
      const made = grid.column(method).map((series, i) => {
        const run = grid.compare ? i : null;
        if (!series) return el("span", { className: "cell missing" }, runTag(run), "not in this run");
        const cell = new Cell(series, rowId, state, actions.ready, run);
        cells.push(cell);
        return cell.node;
      });
      const open = el("button", {
        type: "button",
        className: "open",
        onclick: () => actions.open(rowId, method),
      }, ...made);
      cells.filter((cell) => cell.series.method === method).forEach((cell) => (cell.open = open));
      return el("td", {}, open);
    });
    const row = { rowId, cells, columns };
    row.head = this.makeHead(rowId);
    row.node = el("tr", {}, row.head.node, ...columns);
    return row;
  }

  makeHead(rowId) {
    const { grid } = this;
    const told = [grid.run, grid.compare].map((run) => (run ? grid.teller(run, rowId) : null));
    const runs = [0, 1].filter((run) => told[run]);
    const tellers = runs.map((run) => told[run]);
    const head = { tellers, runs, title: el("span", { className: "truth" }) };
    head.answers = runs.map((run) => el("span", { className: `answer run-${run}` }));
    const histories = told.map((series) => (series ? history(series, rowId) : []));
    if (histories.some((points) => points.length > 1)) {
      const name = "Score of the true class (else of the predicted one) by epoch";
      head.chart = chart(histories, grid.steps, grid.steps[0], CHART, name);
      head.chart.node.addEventListener("click", (event) =>
        this.actions.go(head.chart.stepAt(event.clientX)),
      );
    }
    if (tellers.some((series) => series.kind !== "words")) {
      head.canvas = el("canvas", { width: 1, height: 1, className: "thumb" });
      head.canvas.setAttribute("role", "img");
    }
    head.node = el("th", { scope: "row" }, head.canvas, head.title, ...head.answers, head.chart?.node);
    return head;
  }

  drawRow(row) {
    const { step } = this;
    this.drawHead(row.head, row.rowId);
    for (const cell of row.cells) {
      cell.draw(step, this.state.size);
      const name = `Enlarge. ${cell.description(step)}`;
      if (cell.open.getAttribute("aria-label") !== name) cell.open.setAttribute("aria-label", name);
    }
  }

  drawHead(head, rowId) {
    const [series] = head.tellers;
    if (!series) return;
    const index = series.rows().find((row) => row.id === rowId).index;
    const record = series.at(this.step);
    const { truth } = answer(series, record, index);
    const place = rowId.startsWith("worst") ? rowId : `Example ${index + 1}`;
    setText(head.title, truth === null ? place : `${place}: ${truth}`);
    head.tellers.forEach((teller, i) => {
      const at = teller.rows().find((row) => row.id === rowId).index;
      const said = answer(teller, teller.at(this.step), at);
      const mark = said.right === null ? "" : said.right ? "✓ " : "✗ ";
      const who = this.grid.compare ? `${"AB"[head.runs[i]]} ` : "";
      setText(head.answers[i], `${who}${mark}${said.predicted ?? ""} ${scoreText(said)}`);
      head.answers[i].classList.toggle("wrong", said.right === false);
    });
    head.chart?.move(this.step);
    if (head.canvas) this.drawThumb(head, series.pictureOf(record, index), truth ?? place);
  }

  drawThumb(head, { key, time }, name) {
    if (!key || head.drawn === key) return;
    head.canvas.setAttribute("aria-label", `The example: ${name}`);
    const entry = picture(key, time);
    entry.promise.then((bitmap) => {
      if (head.drawn === key) return;
      head.drawn = key;
      const factor = 72 / Math.max(bitmap.width, bitmap.height);
      head.canvas.width = Math.max(1, Math.round(bitmap.width * factor));
      head.canvas.height = Math.max(1, Math.round(bitmap.height * factor));
      const context = head.canvas.getContext("2d");
      context.imageSmoothingEnabled = factor < 1;
      context.imageSmoothingQuality = "high";  // else thin lines become dots
      context.drawImage(bitmap, 0, 0, head.canvas.width, head.canvas.height);
    }, () => {});
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.visible.add(target);
      else this.visible.delete(target);
    }
    this.actions.ready();
  }
}
