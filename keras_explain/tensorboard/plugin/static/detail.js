// One example under one method, large, with its scores over all epochs.

import { Cell } from "./cell.js";
import { chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { answer, history, scoreText } from "./model.js";

const SIDE = 420;

export class Detail {
  /** @param actions {ready(), go(step)} */
  constructor(state, actions) {
    Object.assign(this, { state, actions });
    this.title = el("h2", { id: "detail-title" });
    this.body = el("div", { className: "detail" });
    const close = el("button", { type: "button", onclick: () => this.node.close() }, "Close");
    this.node = el(
      "dialog",
      { "aria-labelledby": "detail-title", onclose: () => (this.cells = []) },
      el("div", { className: "detail-head" }, this.title, close),
      this.body,
    );
    this.cells = [];
  }

  get isOpen() {
    return this.node.open;
  }

  open(grid, rowId, method) {
    Object.assign(this, { grid, rowId, method });
    this.build();
    if (!this.isOpen) this.node.showModal();
  }

  /** Show the same example in newer data. */
  refresh(grid) {
    if (!this.isOpen) return;
    if (!grid.rows.includes(this.rowId) || !grid.methods.includes(this.method)) this.node.close();
    else this.open(grid, this.rowId, this.method);
  }

  build() {
    const { grid, rowId, method, state, actions } = this;
    const runs = [grid.run, grid.compare].filter(Boolean);
    const column = grid.column(method);
    this.cells = column
      .map((series, run) =>
        series && new Cell(series, rowId, state, actions.ready, grid.compare ? run : null))
      .filter((cell) => cell && cell.index !== null);
    this.answers = this.cells.map((cell) => el("p", { className: `answer run-${cell.run ?? 0}` }));
    const figures = this.cells.map((cell, i) =>
      el("figure", {}, cell.node,
        el("figcaption", {}, cell.run === null ? "" : runs[cell.run], this.answers[i])),
    );
    const histories = column.map((series) => (series ? history(series, rowId) : []));
    const known = histories.flat().some((point) => point.truthScore !== null);
    const name = known ? "Score of the true class" : "Score of the predicted class";
    this.chart = histories.some((points) => points.length > 1)
      ? chart(histories, grid.steps, grid.steps[0], [SIDE, 120], `${name}, by epoch`)
      : null;
    this.chart?.node.addEventListener("click", (event) =>
      actions.go(this.chart.stepAt(event.clientX)),
    );
    const caption = this.chart
      ? el("figure", {}, this.chart.node, el("figcaption", {}, `${name}, by epoch; marks below: wrong`))
      : null;
    this.body.replaceChildren(...figures, ...(caption ? [caption] : []));
  }

  draw(step) {
    if (!this.isOpen) return;
    setText(this.title, `${this.method}, ${this.grid.label(step)}`);
    this.cells.forEach((cell, i) => {
      cell.draw(step, SIDE);
      const said = answer(cell.series, cell.series.at(step), cell.index);
      const truth = said.truth === null ? "" : `, truly ${said.truth}`;
      setText(this.answers[i], `${said.predicted ?? "score"} ${scoreText(said)}${truth}`);
    });
    this.chart?.move(step);
  }
}
