// What a person does on the picture with one tool at a time: measuring a length, correcting the ellipse.
// A tool takes the stage's pointers and keys while it is open, and gives them back when it closes.

const GRAB_PX = 18; // on the screen, as wide as a finger needs

const KEYS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};

export class Tool {
  #viewer;
  #whenDrawn = () => this.draw();

  constructor(viewer) {
    this.#viewer = viewer;
  }

  get viewer() {
    return this.#viewer;
  }

  get isOpen() {
    return this.#viewer.tool === this;
  }

  open() {
    this.#viewer.use(this);
    this.#viewer.addEventListener("draw", this.#whenDrawn);
    this.draw();
  }

  close() {
    if (!this.isOpen) return;
    this.#viewer.use(null);
    this.#viewer.removeEventListener("draw", this.#whenDrawn);
    this.#viewer.layers.tool.replaceChildren();
    this.closed();
  }

  /** The frame's pixels that a finger covers now. */
  get reach() {
    return GRAB_PX / this.#viewer.scale;
  }

  // What a tool may say; by default it takes nothing.
  draw() {}
  closed() {}
  grab() { return false; }
  drag() {}
  drop() {}
  click() {}
  hover() {}
  key() { return false; }
}

/** The direction of an arrow key, or null. */
export function toDirection(event) {
  return KEYS[event.key] ?? null;
}
