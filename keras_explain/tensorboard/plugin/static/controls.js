// The tool bar: runs, epoch scrubber and play, opacity, colors, link.

import { COLOR_NAMES, DIVERGING, SEQUENTIAL, gradient } from "./colors.js";
import { el, select, setOptions, setText } from "./dom.js";

const SIZES = [
  ["96", "Small"],
  ["160", "Medium"],
  ["224", "Large"],
  ["320", "Huge"],
];
const SCALES = [
  ["step", "Each epoch's own"],
  ["all", "All epochs alike"],
];
const SPEEDS = [2, 5, 10, 20].map((speed) => [String(speed), `${speed} a second`]);

export class Controls {
  /** @param actions {go(index), play(), link(), help()} */
  constructor(state, actions) {
    this.state = state;
    const numeric = (name) => (value) => state.set({ [name]: Number(value) });
    const chosen = (name) => (value) => state.set({ [name]: value });
    this.run = select("Run", [], "", chosen("run"));
    this.compare = select("Compare with", [], "", chosen("compare"));
    this.size = select("Size", SIZES, String(state.size), numeric("size"));
    this.scale = select("Color range", SCALES, state.scale, chosen("scale"));
    this.speed = select("Speed", SPEEDS, String(state.speed), numeric("speed"));
    this.colors = {
      sequential: this.colorChoice("Colors", "sequential", SEQUENTIAL),
      diverging: this.colorChoice("Signed colors", "diverging", DIVERGING),
    };
    this.play = el("button", { type: "button", className: "play", onclick: actions.play });
    this.scrubber = el("input", {
      type: "range",
      id: "scrubber",
      min: 0,
      step: 1,
      oninput: () => actions.go(Number(this.scrubber.value)),
    });
    this.unit = el("label", { for: "scrubber" }, "Epoch");
    this.where = el("output", { className: "where", for: "scrubber" });
    this.opacity = el("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.05,
      value: state.opacity,
      oninput: () => state.set({ opacity: Number(this.opacity.value) }),
    });
    this.link = el("button", { type: "button", onclick: actions.link }, "Copy link");
    this.linked = el("span", { className: "linked", role: "status" });
    this.node = el(
      "header",
      { className: "controls" },
      el("div", { className: "bar scrub" }, this.play, this.unit, this.scrubber, this.where),
      el(
        "div",
        { className: "bar" },
        this.run.node,
        this.compare.node,
        el("label", { className: "field" }, el("span", {}, "Map opacity"), this.opacity),
        this.colors.sequential.node,
        this.colors.diverging.node,
        this.scale.node,
        this.size.node,
        this.speed.node,
        this.link,
        el("button", { type: "button", onclick: actions.help, title: "Keys (?)" }, "Keys"),
        this.linked,
      ),
    );
  }

  colorChoice(label, name, maps) {
    const options = maps.map((map) => [map, COLOR_NAMES[map]]);
    if (!maps.includes(this.state[name])) this.state[name] = maps[0];
    const choice = select(label, options, this.state[name], (value) =>
      this.state.set({ [name]: value }),
    );
    choice.legend = el("span", { className: "legend" });
    choice.node.append(choice.legend);
    return choice;
  }

  /** Show which runs there are and what the grid needs. */
  setRuns(runs, grid) {
    const { state } = this;
    setOptions(this.run.input, runs.map((run) => [run, run]), state.run);
    const others = runs.filter((run) => run !== state.run).map((run) => [run, run]);
    setOptions(this.compare.input, [["", "nothing"], ...others], state.compare);
    this.compare.node.hidden = runs.length < 2;
    setText(this.run.node.firstChild, state.compare ? "Run A" : "Run");
    setText(this.compare.node.firstChild, state.compare ? "Compare with B" : "Compare with");
    this.colors.sequential.node.hidden = !grid.series.some((s) => !s.signed);
    this.colors.diverging.node.hidden = !grid.series.some((s) => s.signed);
    setText(this.unit, grid.series.some((s) => s.about.unit === "batch") ? "Batch" : "Epoch");
  }

  /** Show that there are no steps. */
  clear() {
    this.scrubber.max = this.scrubber.value = 0;
    this.scrubber.disabled = this.play.disabled = true;
    setText(this.play, "▶");
    setText(this.where, "");
  }

  /** Show the state. */
  show(grid, index) {
    const { state } = this;
    const label = grid.steps.length ? grid.label(grid.steps[index]) : "";
    this.scrubber.max = Math.max(0, grid.steps.length - 1);
    this.scrubber.value = index;
    this.scrubber.disabled = this.play.disabled = grid.steps.length < 2;
    this.scrubber.setAttribute("aria-valuetext", label);
    setText(this.where, label);
    setText(this.play, state.playing ? "❚❚" : "▶");
    this.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    this.opacity.value = state.opacity;
    this.opacity.setAttribute("aria-valuetext", `${Math.round(100 * state.opacity)} %`);
    for (const [name, choice] of Object.entries(this.colors)) {
      choice.input.value = state[name];
      choice.legend.style.background = gradient(state[name]);
    }
    this.scale.input.value = state.scale;
    this.size.input.value = String(state.size);
    this.speed.input.value = String(state.speed);
  }
}
