// Small things that every part of the page does to its document.

export function byId(id) {
  return document.getElementById(id);
}

/** Put a sentence into an element, which is hidden while it has none. */
export function say(id, text) {
  const element = byId(id);
  element.textContent = text;
  element.hidden = !text;
}

/** A new element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
