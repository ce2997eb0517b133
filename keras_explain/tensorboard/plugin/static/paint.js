// Pixels of a cell: the picture under the colored map, as keras_explain.images.overlay draws it.

import { colorTable } from "./colors.js";

const CRISP = 64; // pictures below this size are shown with square pixels

/** The size at which a picture fits a square of `side`. */
export function fit(width, height, side) {
  const factor = side / Math.max(width, height);
  return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
}

/** A picture's pixels at the size of a cell. */
export function scaled(bitmap, side) {
  const [width, height] = fit(bitmap.width, bitmap.height, side);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = Math.max(bitmap.width, bitmap.height) >= CRISP;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * The shares (0 to 1 of the colors) of every pixel of a cell, from one map of an atlas.
 * Enlarged bilinearly with pixel centers at half coordinates. `gain` is the map's own limit over
 * the limit of the colors.
 */
export function mapShares(atlas, index, count, [width, height], signed, gain) {
  const rows = atlas.height / count;
  const across = weights(atlas.width, width);
  const down = weights(rows, height);
  const [zero, unit] = signed ? [128, 254] : [0, 255];
  const center = signed ? 0.5 : 0;
  const lines = new Float32Array(rows * width);
  for (let y = 0; y < rows; y++) {
    const start = (index * rows + y) * atlas.width;
    for (let x = 0; x < width; x++) {
      const left = atlas.red[start + across.low[x]];
      const right = atlas.red[start + across.high[x]];
      const level = left + (right - left) * across.share[x];
      lines[y * width + x] = ((level - zero) / unit) * gain + center;
    }
  }
  const shares = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const above = down.low[y] * width;
    const below = down.high[y] * width;
    const share = down.share[y];
    for (let x = 0; x < width; x++) {
      shares[y * width + x] = lines[above + x] + (lines[below + x] - lines[above + x]) * share;
    }
  }
  return shares;
}

/** The shares of every pixel of a cell from superpixels' weights; 0.5 is no weight. */
export function segmentShares(labels, segmentWeights, limit) {
  const shares = new Float32Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    const weight = segmentWeights[labels[i]] ?? 0;
    shares[i] = 0.5 + (limit > 0 ? weight / limit / 2 : 0);
  }
  return shares;
}

/** The superpixel of every pixel of a cell. */
export function cellLabels(segments, [width, height]) {
  const labels = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * segments.height) / height) * segments.width;
    for (let x = 0; x < width; x++) {
      const at = row + Math.floor(((x + 0.5) * segments.width) / width);
      labels[y * width + x] = segments.red[at] + 256 * segments.green[at];
    }
  }
  return labels;
}

/** Lay colors over a picture; under signed maps it turns gray, as red could be evidence. */
export function blend(base, shares, colors, opacity, signed) {
  const out = new ImageData(base.width, base.height);
  const [from, to] = [base.data, out.data];
  const table = colorTable(colors);
  const last = table.length / 3 - 1;
  const gray = signed ? Math.min(1, 2 * opacity) : 0;
  const rest = 1 - opacity;
  for (let i = 0, p = 0; i < shares.length; i++, p += 4) {
    const level = 3 * Math.round(Math.min(1, Math.max(0, shares[i])) * last);
    let [r, g, b] = [from[p], from[p + 1], from[p + 2]];
    if (gray) {
      const luma = 0.299 * r + 0.587 * g + 0.114 * b;
      r += (luma - r) * gray;
      g += (luma - g) * gray;
      b += (luma - b) * gray;
    }
    to[p] = r * rest + table[level] * opacity;
    to[p + 1] = g * rest + table[level + 1] * opacity;
    to[p + 2] = b * rest + table[level + 2] * opacity;
    to[p + 3] = 255;
  }
  return out;
}

/** Draw a line round the pixels of one superpixel, in black and white so that it shows on any. */
export function outline(image, labels, chosen) {
  const { width, height, data } = image;
  const inside = (x, y) =>
    x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === chosen;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!inside(x, y)) continue;
      const edge = !inside(x - 1, y) || !inside(x + 1, y) || !inside(x, y - 1) || !inside(x, y + 1);
      if (edge) data.fill((x + y) % 8 < 4 ? 255 : 0, 4 * (y * width + x), 4 * (y * width + x) + 3);
    }
  }
}

const known = new Map();

/** For each of `size` places: the two neighbors among `count`, and the share of the second. */
function weights(count, size) {
  const key = `${count} ${size}`;
  if (!known.has(key)) {
    const found = {
      low: new Uint16Array(size),
      high: new Uint16Array(size),
      share: new Float32Array(size),
    };
    for (let i = 0; i < size; i++) {
      const center = ((i + 0.5) * count) / size - 0.5;
      const place = Math.min(Math.max(center, 0), count - 1);
      found.low[i] = Math.floor(place);
      found.high[i] = Math.min(found.low[i] + 1, count - 1);
      found.share[i] = place - found.low[i];
    }
    known.set(key, found);
  }
  return known.get(key);
}
