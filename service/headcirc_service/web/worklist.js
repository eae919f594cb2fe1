// The images of this visit and what became of them: a queue that measures two at a time.
// This file draws nothing; it tells of every change by an event.

import { analyse, Problem } from "./api.js";
import { toPath } from "./dicom_files.js";

const AT_ONCE = 2;
const MOST_TRIES = 20;

export class Worklist extends EventTarget {
  items = [];
  selected = null;
  #running = 0;
  #named = new Map(); // how often each file's name was given

  /**
   * Add files and show the first of them; several wait (`held`) until their pixel size is stated, but for `calibrated`
   * ones, which state it themselves.
   */
  add(files, { pixelSize = null, truthMm = null, calibrated = new Set() } = {}) {
    const added = files.map((file) => ({
      name: this.#toName(file), file, truthMm, ageDays: null,
      pixelSize, sizeOrigin: pixelSize && "stated",
      draft: null, // a pixel size that is typed and not used yet
      turn: 0,
      state: files.length > 1 && !calibrated.has(file) ? "held" : "waiting", analysis: null, problem: null,
    }));
    this.items.push(...added);
    if (added.length) this.select(added[0]);
    this.#work();
  }

  /** The images that wait for their pixel size. */
  get held() {
    return this.items.filter((item) => item.state === "held");
  }

  /** Give pixel sizes, as [item, size or null, origin], and measure with them. */
  setSizes(sizes) {
    for (const [item, pixelSize, origin] of sizes) {
      Object.assign(item, { pixelSize, sizeOrigin: pixelSize && origin, draft: null });
    }
    this.measureAgain(sizes.map(([item]) => item));
  }

  /** Give a gestational age, or null, and measure with it; what waits for its pixel size goes on waiting. */
  setAge(items, ageDays) {
    for (const item of items) item.ageDays = ageDays;
    this.measureAgain(items.filter((item) => item.state !== "held"));
  }

  setDraft(item, draft) {
    item.draft = draft;
    this.#tell();
  }

  /** Measure again: after an error, or with another pixel size. */
  measureAgain(items) {
    for (const item of items) {
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

  clear() {
    this.items = [];
    this.#named.clear();
    this.select(null);
  }

  /** Files of different folders may share a name: two numbers under one could be mixed up. */
  #toName(file) {
    const name = toPath(file);
    const count = (this.#named.get(name) ?? 0) + 1;
    this.#named.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
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
      outcome = { state: "failed", problem };
    }
    if (!isWanted()) return;
    this.#set(item, outcome);
    this.dispatchEvent(new CustomEvent("finished", { detail: item }));
  }

  async #ask(item, isWanted) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await analyse(item.file, item.pixelSize, item.ageDays);
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
