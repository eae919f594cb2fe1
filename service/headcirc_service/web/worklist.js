// The images of this visit and what became of them: a queue that measures two at a time.
// This file draws nothing; it tells of every change by an event.

import { analyse, Problem } from "./api.js";

const AT_ONCE = 2;
const MOST_TRIES = 20;

export class Worklist extends EventTarget {
  items = [];
  selected = null;
  #running = 0;
  #named = new Map(); // how often each file's name was given

  /** Add files to measure; the first one is shown if nothing is. */
  add(files, pixelSize, truthMm = null) {
    const added = files.map((file) => ({
      name: this.#toName(file), file, pixelSize, truthMm,
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
    this.#named.clear();
    this.select(null);
  }

  /** Files of different folders may share a name: two numbers under one could be mixed up. */
  #toName({ name }) {
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
        return await analyse(item.file, item.pixelSize);
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
