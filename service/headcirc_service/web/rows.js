// The worklist on the page: a button for each image, its state in words beside it.

import { toSizeText, toStatus, toVerdict } from "./words.js";

const byId = (id) => document.getElementById(id);
const ENDED = ["measured", "failed"];

export class Rows {
  #worklist;
  #buttons = new Map();

  constructor(worklist) {
    this.#worklist = worklist;
    byId("worklist-rows").addEventListener("keydown", (event) => this.#move(event));
  }

  show() {
    const { items, selected } = this.#worklist;
    byId("worklist").hidden = !items.length;
    const ended = items.filter((item) => ENDED.includes(item.state)).length;
    byId("worklist-count").textContent = `${ended} of ${items.length} done`;
    for (const [item, button] of this.#buttons) {
      if (items.includes(item)) continue;
      button.parentElement.remove();
      this.#buttons.delete(item);
    }
    for (const item of items) this.#update(item, item === selected);
  }

  #update(item, isSelected) {
    const button = this.#buttons.get(item) ?? this.#make(item);
    button.setAttribute("aria-pressed", isSelected);
    const texts = { state: toStatus(item), size: toSizeText(item) + (item.draft ? "; another typed, not used yet" : "") };
    for (const [name, text] of Object.entries(texts)) {
      const part = button.querySelector(`.${name}`);
      if (part.textContent !== text) part.textContent = text;
    }
    button.dataset.tone = toTone(item);
    button.classList.toggle("pending", Boolean(item.draft));
  }

  #make(item) {
    const button = document.createElement("button");
    button.type = "button";
    const parts = ["file", "state", "size"].map((className) => Object.assign(document.createElement("span"), { className }));
    parts[0].textContent = item.name;
    button.append(...parts);
    button.addEventListener("click", () => this.#worklist.select(item));
    const row = document.createElement("li");
    row.append(button);
    byId("worklist-rows").append(row);
    this.#buttons.set(item, button);
    return button;
  }

  #move(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (!(event.key in steps)) return;
    const buttons = [...byId("worklist-rows").querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.click();
  }
}

function toTone(item) {
  if (item.state === "failed") return "bad";
  if (item.state === "measured") return toVerdict(item.analysis).tone;
  return "wait";
}
