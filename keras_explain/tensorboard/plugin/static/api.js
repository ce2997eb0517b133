// What the server sends, decoded and cached.

const CACHE_BYTES = 150e6;

/** All series of the log, and how many cannot be read: {series, unreadable}. */
export function fetchSeries() {
  return getJson("./series");
}

/** All steps of a series: answers, limits, keys of the maps. */
export async function fetchSteps({ run, series }) {
  const query = new URLSearchParams({ run, series });
  return (await getJson(`./steps?${query}`)).steps;
}

/** A picture to draw. The time is in the address because keys are reused by later trainings. */
export function picture(key, time) {
  return cached(`picture ${key} ${time}`, async () => {
    const blob = await getBlob(key, time);
    const bitmap = await createImageBitmap(blob);
    return { value: bitmap, bytes: bitmap.width * bitmap.height * 4 };
  });
}

/** The exact bytes of an image's first two channels: {width, height, red, green}. */
export function levels(key, time) {
  return cached(`levels ${key} ${time}`, async () => {
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(await getBlob(key, time), options);
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const { data } = context.getImageData(0, 0, width, height);
    const red = Uint8Array.from({ length: width * height }, (_, i) => data[4 * i]);
    const green = Uint8Array.from({ length: width * height }, (_, i) => data[4 * i + 1]);
    return { value: { width, height, red, green }, bytes: 2 * red.length };
  });
}

async function getBlob(key, time) {
  const query = new URLSearchParams({ key, t: time });
  return (await get(`./picture?${query}`)).blob();
}

async function getJson(address) {
  return (await get(address)).json();
}

async function get(address) {
  let response;
  try {
    response = await fetch(address);
  } catch {
    throw new Error("TensorBoard does not answer. Is it still running?");
  }
  if (!response.ok) throw new Error(`${await response.text()} (HTTP ${response.status})`);
  return response;
}

// The cache: entries are {value} once loaded, {promise} before; least recently used ones go first.

const entries = new Map();
let held = 0;

function cached(key, load) {
  const entry = entries.get(key);
  if (entry) {
    entries.delete(key);
    entries.set(key, entry); // now the most recent
    return entry;
  }
  const fresh = { bytes: 0 };
  fresh.promise = load().then(
    ({ value, bytes }) => {
      Object.assign(fresh, { value, bytes });
      held += bytes;
      evict();
      return value;
    },
    (error) => {
      entries.delete(key); // so that the next look tries again
      throw error;
    },
  );
  fresh.promise.catch(() => {}); // whoever waits for it is told
  entries.set(key, fresh);
  return fresh;
}

function evict() {
  for (const [key, entry] of entries) {
    if (held <= CACHE_BYTES) return;
    if (entry.value === undefined) continue;
    entries.delete(key);
    held -= entry.bytes;
  }
}
