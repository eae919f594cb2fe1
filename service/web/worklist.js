// The images of this visit and what became of them: a queue that measures two at a time.
// This file draws nothing; it tells of every change by an event.

import { analyse, Problem } from "./api.js";

const AT_ONCE = 2;
const MOST_TRIES = 20;

export class Worklist extends EventTarget {
  items = [];
  selected = null;
  #running = 0;
  #next = 1;

  /** Add files to measure; the first one is shown if nothing is. */
  add(files, pixelSize, truthMm = null) {
    const added = files.map((file) => ({
      number: this.#next++, name: file.name, file, pixelSize, truthMm,
      turn: 0,
      state: "waiting", analysis: null, problem: null,
    }));
    this.items.push(...added);
    if (added.length) this.select(this.selected ?? added[0]);
    this.#work();
    return added;
  }

  /** Measure again, with another pixel size or after an error. */
  measureAgain(items, pixelSize) {
    for (const item of items) {
      const turn = item.turn + 1;
      Object.assign(item, { pixelSize, turn, state: "waiting", analysis: null, problem: null });
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
    this.select(null);
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
    this.#set(item, { state: "measuring" });
    let outcome;
    try {
      outcome = { state: "measured", analysis: await this.#ask(item) };
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      outcome = { state: "failed", problem };
    }
    // Asked again or cleared meanwhile: this answer is to a question that nobody has any more.
    if (item.turn !== turn || !this.items.includes(item)) return;
    this.#set(item, outcome);
    this.dispatchEvent(new CustomEvent("finished", { detail: item }));
  }

  async #ask(item) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await analyse(item.file, item.pixelSize);
      } catch (problem) {
        if (problem.code !== "overloaded" || tries === MOST_TRIES) throw problem;
        if (this.items.includes(item)) this.#set(item, { state: "busy" });
        await new Promise((resolve) => setTimeout(resolve, problem.retryAfterS * 1000));
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
