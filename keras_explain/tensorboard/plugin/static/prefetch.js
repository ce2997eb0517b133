// Small maps are loaded ahead, so that scrubbing never waits; large ones only near the epoch shown.

import { levels } from "./api.js";

const ALL = 60e6; // decoded bytes of all maps up to which everything is loaded
const NEAR = 12; // else so many epochs ahead
const AT_ONCE = 3;

export class Prefetch {
  /** Load maps of a grid in the order in which they may be needed. `index()` is the place now. */
  async start(grid, index) {
    this.grid = grid;
    const series = grid.series.filter((s) => s.kind === "image" && s.steps.length);
    const sizes = await Promise.all(series.map((s) => size(s.steps[s.steps.length - 1])));
    const total = sizes.reduce((sum, bytes, i) => sum + bytes * series[i].steps.length, 0);
    const wanted = this.order(grid, index(), total < ALL ? grid.steps.length : NEAR);
    const records = wanted.flatMap((step) => series.map((s) => s.at(step)));
    const queue = records.filter((record) => record?.blobs[0]);
    const work = async () => {
      while (queue.length && this.grid === grid) {
        const { blobs, time } = queue.shift();
        await levels(blobs[0], time).promise.catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /** Steps nearest to the shown one first; from the beginning where the newest is shown. */
  order({ steps }, place, count) {
    const start = place === steps.length - 1 ? 0 : place;
    return [...steps.slice(start), ...steps.slice(0, start).reverse()].slice(0, count);
  }
}

async function size(record) {
  if (!record.blobs[0]) return 0;
  const atlas = await levels(record.blobs[0], record.time).promise.catch(() => null);
  return atlas ? 2 * atlas.red.length : 0;
}
