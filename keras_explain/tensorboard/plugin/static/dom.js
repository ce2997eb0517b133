// Elements without innerHTML: every text of a log arrives as a text node, so none can be markup.

/** Make an element: properties, `on…` listeners, `aria-…`/`data-…` attributes, children. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** Make an SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set a text only where it has changed: an unchanged node costs no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A labeled <select>; `options` are [value, text] pairs. */
export function select(label, options, value, onchange) {
  const input = el("select", { "aria-label": label, onchange: () => onchange(input.value) });
  setOptions(input, options, value);
  return { input, node: el("label", { className: "field" }, el("span", {}, label), input) };
}

export function setOptions(input, options, value) {
  input.replaceChildren(...options.map(([key, text]) => el("option", { value: key }, text)));
  input.value = value;
}
