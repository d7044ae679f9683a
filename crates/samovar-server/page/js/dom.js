// The few helpers over the DOM that every part uses.

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/**
 * A new element: `el("td", { class: "num", "data-x": 1 }, "text", child)`.
 * Text is always text, never markup, so names from the data cannot inject any.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A new SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Words for screen readers alone. */
export const hidden = (text) => el("span", { class: "sr" }, text);

/** A function that runs `action` once calls have stopped for `ms`; `.flush()` runs it now. */
export function debounce(action, ms) {
  let timer = 0;
  const debounced = () => {
    clearTimeout(timer);
    timer = setTimeout(debounced.flush, ms);
  };
  debounced.flush = () => {
    if (timer === 0) return;
    debounced.cancel();
    action();
  };
  debounced.cancel = () => {
    clearTimeout(timer);
    timer = 0;
  };
  return debounced;
}
