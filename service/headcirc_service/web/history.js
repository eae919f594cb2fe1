// The steps of one piece of work, to go back and forth. It knows nothing of what the steps are.

const MOST_STEPS = 200;

export class History {
  #steps;
  #at = 0;

  constructor(first) {
    this.#steps = [first];
  }

  get current() {
    return this.#steps[this.#at];
  }

  get canUndo() {
    return this.#at > 0;
  }

  get canRedo() {
    return this.#at < this.#steps.length - 1;
  }

  /** A new step; what was undone before it is gone. */
  push(step) {
    this.#steps = [...this.#steps.slice(0, this.#at + 1), step].slice(-MOST_STEPS);
    this.#at = this.#steps.length - 1;
  }

  undo() {
    if (this.canUndo) this.#at -= 1;
    return this.current;
  }

  redo() {
    if (this.canRedo) this.#at += 1;
    return this.current;
  }
}
