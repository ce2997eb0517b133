// The TensorBoard page around us. Its messages are experimental: without answers we still work.

let port = null;
let nextId = 0;
const waiting = new Map();
const listeners = new Map();

/** Connect to the page around the dashboard. */
export function connect() {
  if (window.parent === window) return;
  const channel = new MessageChannel();
  port = channel.port1;
  port.onmessage = ({ data }) => receive(JSON.parse(data));
  window.parent.postMessage("experimental.bootstrap", window.location.origin, [channel.port2]);
}

/** Call `listener` when TensorBoard reloads its data. */
export function onReload(listener) {
  listeners.set("experimental.DataReloaded", listener);
}

/** The `view` of a permalink that the page was opened with, or null. */
export async function linkedView() {
  const asked = ask("experimental.GetURLPluginData", { pluginName: "keras_explain" });
  const patience = new Promise((resolve) => setTimeout(resolve, 400, null));
  const data = await Promise.race([asked, patience]).catch(() => null);
  return data?.view ?? viewIn(outer().location.hash);
}

/** The address that opens this view. */
export function permalink(view) {
  const { origin, pathname, search } = outer().location;
  return `${origin}${pathname}${search}#keras_explain&p.keras_explain.view=${encodeURIComponent(view)}`;
}

/** Call `listener(isDark)` now and at each change of TensorBoard's theme. */
export function onTheme(listener) {
  const body = outer().document.body;
  const preferred = window.matchMedia("(prefers-color-scheme: dark)");
  const tell = () =>
    listener(window.parent === window ? preferred.matches : body.classList.contains("dark-mode"));
  new MutationObserver(tell).observe(body, { attributes: true, attributeFilter: ["class"] });
  preferred.addEventListener("change", tell);
  tell();
}

function outer() {
  try {
    return window.parent.document ? window.parent : window;
  } catch {
    return window; // embedded by a page of another origin
  }
}

function viewIn(hash) {
  return new URLSearchParams(hash.replace(/^#/, "")).get("p.keras_explain.view");
}

function ask(type, payload) {
  if (!port) return Promise.resolve(null);
  const id = nextId++;
  port.postMessage(JSON.stringify({ type, id, payload, error: null, isReply: false }));
  return new Promise((resolve) => waiting.set(id, resolve));
}

function receive({ type, id, payload, isReply }) {
  if (isReply) {
    waiting.get(id)?.(payload);
    waiting.delete(id);
    return;
  }
  listeners.get(type)?.();
  port.postMessage(JSON.stringify({ type, id, payload: null, error: null, isReply: true }));
}
