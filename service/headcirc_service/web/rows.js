// The worklist on the page: a button for each image, its state in words beside it. Of a long list only what is in
// sight is drawn.

import { arrange, needsReview } from "./list/order.js";
import { toTopOf, toWindow } from "./list/window.js";
import { byId, make, say } from "./page.js";
import { toSizeText, toStatus, toVerdict } from "./words.js";

const ENDED = ["measured", "failed"];
const ROW_PX = 56; // until one was seen
const LEAST_TO_ARRANGE = 2; // fewer need no search

export class Rows {
  #worklist;
  #visible = [];
  #drawn = new Map(); // item: its button
  #heights = new Map(); // item: its row's height
  #seen = []; // what was selected and wished when the selected one was brought into sight

  constructor(worklist) {
    this.#worklist = worklist;
    byId("worklist-scroller").addEventListener("keydown", (event) => this.#move(event));
    byId("worklist-scroller").addEventListener("scroll", () => this.#draw(), { passive: true });
    for (const id of ["list-search", "list-sort", "list-review"]) byId(id).addEventListener("input", () => this.show());
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width !== width) this.#heights.clear(); // names wrap elsewhere
      width = contentRect.width;
      this.#draw();
    }).observe(byId("worklist-scroller"));
  }

  /** The images that are shown, in their order. */
  get visible() {
    return this.#visible;
  }

  show() {
    const { items, selected } = this.#worklist;
    byId("worklist").hidden = !items.length;
    const ended = items.filter((item) => ENDED.includes(item.state)).length;
    byId("worklist-count").textContent = `${ended} of ${items.length} done`;
    byId("list-tools").hidden = items.length < LEAST_TO_ARRANGE;
    byId("review-count").textContent = items.filter(needsReview).length;
    this.#visible = arrange(items, this.#wish);
    say("list-empty", items.length && !this.#visible.length ? "No image fits the search or the filter." : "");
    if (this.#heights.size > items.length) this.#heights.clear(); // some are gone
    this.#draw();
    const seen = [selected, ...Object.values(this.#wish)];
    if (seen.some((each, i) => each !== this.#seen[i])) this.#bringIntoSight(selected);
    this.#seen = seen;
  }

  focusSelected() {
    this.#bringIntoSight(this.#worklist.selected);
    this.#drawn.get(this.#worklist.selected)?.focus({ preventScroll: true });
  }

  get #wish() {
    if (byId("list-tools").hidden) return { text: "", onlyReview: false, order: "added" };
    return {
      text: byId("list-search").value, onlyReview: byId("list-review").checked, order: byId("list-sort").value,
    };
  }

  get #sight() {
    const { scrollTop, clientHeight } = byId("worklist-scroller");
    return { top: scrollTop, height: clientHeight };
  }

  #toHeights() {
    const known = [...this.#heights.values()];
    const usual = known.length ? known.reduce((a, b) => a + b) / known.length : ROW_PX;
    return this.#visible.map((item) => this.#heights.get(item) ?? usual);
  }

  #draw() {
    const { first, last, before, after } = toWindow(this.#toHeights(), this.#sight);
    const wanted = this.#visible.slice(first, last);
    const list = byId("worklist-rows");
    this.#drop(new Set(wanted));
    wanted.forEach((item, i) => {
      const button = this.#update(item);
      const row = button.parentElement;
      row.ariaSetSize = this.#visible.length;
      row.ariaPosInSet = first + i + 1;
      if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null);
    });
    list.style.paddingBlock = `${before}px ${after}px`;
    for (const item of wanted) {
      const { offsetHeight } = this.#drawn.get(item).parentElement;
      if (offsetHeight) this.#heights.set(item, offsetHeight);
    }
    this.#chooseTabStop(wanted);
  }

  #drop(wanted) {
    for (const [item, button] of this.#drawn) {
      if (wanted.has(item)) continue;
      // Who scrolled the focus away goes on from the list by the arrow keys.
      if (button === document.activeElement) byId("worklist-scroller").focus({ preventScroll: true });
      button.parentElement.remove();
      this.#drawn.delete(item);
    }
  }

  /** The list is one stop of the Tab key: the selected image, or the first that is drawn. */
  #chooseTabStop(wanted) {
    const { selected } = this.#worklist;
    const stop = wanted.includes(selected) ? selected : wanted[0];
    for (const [item, button] of this.#drawn) button.tabIndex = item === stop ? 0 : -1;
  }

  #bringIntoSight(item) {
    const index = this.#visible.indexOf(item);
    if (index < 0) return;
    const scroller = byId("worklist-scroller");
    for (let passes = 0; passes < 2; passes += 1) { // the second with the heights that the first has seen
      scroller.scrollTop = toTopOf(this.#toHeights(), index, this.#sight);
      this.#draw();
    }
  }

  #update(item) {
    const button = this.#drawn.get(item) ?? this.#make(item);
    button.setAttribute("aria-pressed", item === this.#worklist.selected);
    const size = toSizeText(item) + (item.draft ? "; another typed, not used yet" : "");
    for (const [name, text] of Object.entries({ file: item.name, state: toStatus(item), size })) {
      const part = button.querySelector(`.${name}`);
      if (part.textContent !== text) part.textContent = text;
    }
    button.dataset.tone = toTone(item);
    button.classList.toggle("pending", Boolean(item.draft));
    return button;
  }

  #make(item) {
    const parts = ["file", "state", "size"].map((className) => make("span", { className }));
    const button = make("button", { type: "button" }, ...parts);
    button.addEventListener("click", () => this.#worklist.select(item));
    make("li", {}, button);
    this.#drawn.set(item, button);
    return button;
  }

  #move(event) {
    const last = this.#visible.length - 1;
    const at = this.#visible.indexOf(this.#worklist.selected);
    const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last };
    const next = this.#visible[places[event.key]];
    if (event.altKey || event.ctrlKey || event.metaKey || !next) return;
    event.preventDefault();
    this.#worklist.select(next);
    this.focusSelected();
  }
}

function toTone(item) {
  if (item.state === "failed") return "bad";
  if (item.state === "missing") return "mind";
  if (item.state === "measured") return toVerdict(item.analysis).tone;
  return "wait";
}
