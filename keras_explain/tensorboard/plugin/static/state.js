// What the user has chosen. A permalink holds what differs from the defaults.

const DEFAULTS = {
  run: null,
  compare: "",
  step: null, // null follows the newest step
  opacity: 0.5,
  sequential: "inferno",
  diverging: "RdBu_r",
  scale: "step",
  size: 160,
  speed: 5,
};

const NUMBERS = { opacity: [0, 1], size: [64, 480], speed: [1, 30], step: [-1e9, 1e12] };

export class State {
  constructor() {
    Object.assign(this, DEFAULTS);
    this.playing = false;
    this.listeners = [];
  }

  /** Change values and tell the listeners which. */
  set(changes) {
    const changed = Object.keys(changes).filter((name) => this[name] !== changes[name]);
    if (!changed.length) return;
    Object.assign(this, changes);
    for (const listener of this.listeners) listener(new Set(changed));
  }

  /** A text for a permalink. */
  encode(step) {
    const values = { ...DEFAULTS, ...this, step };
    const chosen = Object.keys(DEFAULTS).filter((name) => values[name] !== DEFAULTS[name]);
    return new URLSearchParams(chosen.map((name) => [name, values[name]])).toString();
  }

  /** Take over a permalink's text; what it says wrongly is left out. */
  decode(text) {
    for (const [name, value] of new URLSearchParams(text ?? "")) {
      if (!(name in DEFAULTS)) continue;
      if (!(name in NUMBERS)) this[name] = value;
      else if (value !== "" && isWithin(Number(value), NUMBERS[name])) this[name] = Number(value);
    }
  }
}

function isWithin(value, [low, high]) {
  return value >= low && value <= high;
}
