// Scores of one example over the steps, as lines: the true class's where it is known.

import { svg } from "./dom.js";

/**
 * @param histories for each run a list of points {step, score, truthScore, right}.
 * @param steps all steps of the scrubber; the current one is marked.
 */
export function chart(histories, steps, current, [width, height], name) {
  const edge = 4;
  const first = steps[0];
  const span = Math.max(1, steps[steps.length - 1] - first);
  const values = histories.flat().map(scoreOf);
  const low = Math.min(0, ...values);
  const high = Math.max(1, ...values);
  const x = (step) => edge + ((step - first) / span) * (width - 2 * edge);
  const y = (value) => height - edge - ((value - low) / (high - low)) * (height - 2 * edge);
  const lines = histories.map((points, run) => {
    const path = points.map((p) => `${x(p.step).toFixed(1)},${y(scoreOf(p)).toFixed(1)}`);
    return svg("polyline", { points: path.join(" "), class: `line run-${run}` });
  });
  const wrong = histories.flatMap((points) =>
    points
      .filter((p) => p.right === false)
      .map((p) => svg("rect", { x: x(p.step) - 1, y: height - 3, width: 2, height: 3, class: "wrong" })),
  );
  const cursor = svg("line", { x1: x(current), x2: x(current), y1: 0, y2: height, class: "cursor" });
  const node = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": name },
    svg("line", { x1: 0, x2: width, y1: y(low), y2: y(low), class: "axis" }),
    svg("line", { x1: 0, x2: width, y1: y(high), y2: y(high), class: "axis" }),
    ...wrong,
    ...lines,
    cursor,
  );
  node.setAttribute("width", width);
  node.setAttribute("height", height);
  return {
    node,
    move(step) {
      cursor.setAttribute("x1", x(step));
      cursor.setAttribute("x2", x(step));
    },
    /** The step nearest to a place on the page. */
    stepAt(clientX) {
      const box = node.getBoundingClientRect();
      const wanted = first + (((clientX - box.left) / box.width) * width - edge) / (width - 2 * edge) * span;
      return steps.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a));
    },
  };
}

function scoreOf(point) {
  return point.truthScore ?? point.score;
}
