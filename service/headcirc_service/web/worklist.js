// The images of this visit and what became of them: a queue that measures two at a time.
// This file draws nothing; it tells of every change by an event.

import { analyse, Problem } from "./api.js";
import { toPath } from "./dicom_files.js";
import { isSameFile } from "./keep/records.js";

const AT_ONCE = 2;
const MOST_TRIES = 20;
const MOST_UNDO = 20;
const UNDER_WAY = ["waiting", "measuring", "busy"];
const CONTRADICTED = ["invalid-pixel-size", "pixel-size-conflict"]; // an image so refused waits for another size

export class Worklist extends EventTarget {
  items = [];
  selected = null;
  #running = 0;
  #removed = []; // what was removed: [item, position] of each, the latest last

  /**
   * Add files and show the first of them; several wait (`held`) until their pixel size is stated, but for `calibrated`
   * ones, which state it themselves. `frame` is that of a cine, counted from 0.
   */
  add(files, { pixelSize = null, truthMm = null, calibrated = new Set(), ageDays = null, frame = null } = {}) {
    const fresh = files.filter((file) => !this.#giveBack(file, files.length, frame));
    const added = fresh.map((file) => ({
      key: toKey(), name: toPath(file) + (frame === null ? "" : `, frame ${frame}`), file, frame, truthMm, ageDays,
      pixelSize, sizeOrigin: pixelSize && "stated",
      draft: null, // a pixel size that is typed and not used yet
      turn: 0,
      state: files.length > 1 && !calibrated.has(file) ? "held" : "waiting", analysis: null, problem: null,
    }));
    for (const item of added) this.items.push(Object.assign(item, { name: this.#toFreeName(item.name) }));
    if (added.length) this.select(added[0]);
    else this.#tell();
    this.#work();
    return added;
  }

  /** The images that wait for their pixel size. */
  get held() {
    return this.items.filter((item) => item.state === "held");
  }

  /** Give pixel sizes, as [item, size or null, origin], and measure with them. */
  setSizes(sizes) {
    for (const [item, pixelSize, origin] of sizes) {
      if (!item.file && item.analysis) continue; // its figures are those of its size
      Object.assign(item, { pixelSize, sizeOrigin: pixelSize && origin, draft: null });
    }
    this.measureAgain(sizes.map(([item]) => item));
  }

  /** Give a gestational age, or null, and measure with it; what waits for its pixel size goes on waiting. */
  setAge(items, ageDays) {
    for (const item of items) if (item.file || !item.analysis) item.ageDays = ageDays;
    this.measureAgain(items.filter((item) => item.state !== "held"));
  }

  setDraft(item, draft) {
    item.draft = draft;
    this.#tell();
  }

  /** Measure again: after an error, or with another pixel size. A result whose image was not kept stays. */
  measureAgain(items) {
    for (const item of items.filter(({ file }) => file)) {
      const turn = item.turn + 1;
      Object.assign(item, { turn, state: "waiting", analysis: null, problem: null });
    }
    this.#tell();
    this.#work();
  }

  select(item) {
    this.selected = item;
    this.#tell();
  }

  /** Take up what an earlier visit kept. */
  restore(items) {
    this.items.unshift(...items);
    if (!this.selected) this.select(items[0] ?? null);
    this.#work();
  }

  /** What was removed last, and `undo` brings back; null where there is nothing. */
  get removed() {
    return this.#removed.at(-1)?.map(([item]) => item) ?? null;
  }

  /** Remove items and, where the selected one is among them, select another. */
  remove(items, next = null) {
    this.#removed = [...this.#removed, items.map((item) => [item, this.items.indexOf(item)])].slice(-MOST_UNDO);
    this.items = this.items.filter((item) => !items.includes(item));
    this.select(items.includes(this.selected) ? next ?? this.items[0] ?? null : this.selected);
  }

  /** Bring back what was removed last, where it was. */
  undo() {
    const back = this.#removed.pop() ?? [];
    for (const [item, position] of back.toSorted(([, a], [, b]) => a - b)) {
      item.name = this.#toFreeName(item.name);
      this.items.splice(position, 0, item);
      // Its answer came, or comes, while nobody wanted it.
      if (UNDER_WAY.includes(item.state)) Object.assign(item, { turn: item.turn + 1, state: "waiting" });
    }
    if (back.length) this.select(back[0][0]);
    this.#work();
  }

  /** Drop everything, with what could be undone. */
  forget() {
    [this.items, this.#removed] = [[], []];
    this.select(null);
  }

  /** Whether a file is one that this page did not keep: then it goes back to its item. */
  #giveBack(file, count, frame) {
    const isOf = (each) => (each.frame ?? null) === frame && isSameFile(each, file);
    const item = this.items.find((each) => !each.file && isOf(each));
    if (!item) return false;
    const next = item.pixelSize || count === 1 ? "waiting" : "held";
    const analysis = item.analysis && { ...item.analysis }; // another one: it is to be drawn again
    Object.assign(item, { file, analysis, state: item.state === "missing" ? next : item.state });
    this.selected = item;
    return true;
  }

  /** Files of different folders may share a name: two numbers under one could be mixed up. */
  #toFreeName(name) {
    const taken = new Set(this.items.map((item) => item.name));
    for (let count = 1; ; count += 1) {
      const free = count === 1 ? name : `${name} (${count})`;
      if (!taken.has(free)) return free;
    }
  }

  #work() {
    while (this.#running < AT_ONCE) {
      const item = this.items.find((each) => each.state === "waiting");
      if (!item) return;
      this.#running += 1;
      this.#measure(item).finally(() => {
        this.#running -= 1;
        this.#work();
      });
    }
  }

  async #measure(item) {
    const { turn } = item;
    // Asked again or cleared meanwhile: an answer is to a question that nobody has any more.
    const isWanted = () => item.turn === turn && this.items.includes(item);
    this.#set(item, { state: "measuring" });
    let outcome;
    try {
      outcome = { state: "measured", analysis: await this.#ask(item, isWanted) };
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      outcome = { state: CONTRADICTED.includes(problem.code) ? "held" : "failed", problem };
    }
    if (!isWanted()) return;
    this.#set(item, outcome);
    this.dispatchEvent(new CustomEvent("finished", { detail: item }));
  }

  async #ask(item, isWanted) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await analyse(item.file, item.pixelSize, item.ageDays, item.frame ?? null);
      } catch (problem) {
        if (problem.code !== "overloaded" || tries === MOST_TRIES || !isWanted()) throw problem;
        this.#set(item, { state: "busy" });
        await new Promise((resolve) => setTimeout(resolve, problem.retryAfterS * 1000));
        if (!isWanted()) throw problem;
      }
    }
  }

  #set(item, change) {
    Object.assign(item, change);
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A name that no other item has, in this tab or another; `randomUUID` needs HTTPS. */
function toKey() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("-");
}
