// The tool that shapes an ellipse on the picture: pointers, fingers and keys in, an ellipse out.

import { dragEnd, keepInside, move, stretch, turn, turnTowards } from "./ellipse_geometry.js";
import { findPart, makeHandles } from "./ellipse_handles.js";
import { History } from "./history.js";
import { Loupe } from "./loupe.js";
import { Tool, toDirection } from "./tool.js";

const STEPS = { coarse: 10, usual: 1, fine: 0.1 };

export class EllipseEditor extends Tool {
  #history = null;
  #shape = null; // while something is dragged it runs ahead of the history
  #grab = null; // {part, from, start}
  #loupe = new Loupe();
  #onChange;
  #onClosed;

  /** `onChange(isDone)`: the ellipse is another one; `isDone` is false while a pointer still drags. */
  constructor(viewer, { onChange, onClosed }) {
    super(viewer);
    this.#onChange = onChange;
    this.#onClosed = onClosed;
  }

  get ellipse() {
    return this.#shape;
  }

  get history() {
    return this.#history;
  }

  /** Begin with an ellipse, or go on with the steps of an earlier time. */
  begin(ellipse, history = null) {
    this.#history = history ?? new History(ellipse);
    this.#shape = this.#history.current;
    this.open();
  }

  /** Another ellipse as one step, which can be undone. */
  set(ellipse) {
    this.#history.push(keepInside(ellipse, this.viewer.size));
    this.#show();
  }

  undo() {
    this.#history.undo();
    this.#show();
  }

  redo() {
    this.#history.redo();
    this.#show();
  }

  draw() {
    if (!this.#shape) return;
    this.viewer.layers.tool.replaceChildren(...makeHandles(this.#shape, { ...this.#view, grabbed: this.#grab?.part }));
  }

  get #view() {
    return { scale: this.viewer.scale, size: this.viewer.size };
  }

  closed() {
    this.#loupe.hide();
    this.#grab = null;
    this.#onClosed();
  }

  grab(point, event) {
    const part = findPart(this.#shape, point, { ...this.#view, reach: this.reach });
    if (!part) return false;
    this.#grab = { part, from: point, start: this.#shape };
    this.#follow(point, event);
    return true;
  }

  drag(point, event) {
    const { part, from, start } = this.#grab;
    const dragged = part === "move" ? move(start, point.x - from.x, point.y - from.y)
      : part === "turn" ? turnTowards(start, point) : dragEnd(start, part, point);
    this.#shape = keepInside(dragged, this.viewer.size);
    this.draw();
    this.#follow(point, event);
    this.#onChange(false);
  }

  drop() {
    const isMoved = this.#shape !== this.#grab.start;
    this.#grab = null;
    this.#loupe.hide();
    if (isMoved) this.set(this.#shape);
    else this.draw();
  }

  key(event) {
    const direction = toDirection(event);
    const isCommand = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (event.key === "Escape") this.close();
    else if (isCommand && letter === "z") (event.shiftKey ? this.redo() : this.undo());
    else if (isCommand && letter === "y") this.redo();
    else if (direction) this.set(isCommand ? this.#shapeBy(direction, event) : this.#moveBy(direction, event));
    else return false;
    return true;
  }

  #moveBy([dx, dy], event) {
    const step = STEPS[event.shiftKey ? "coarse" : event.altKey ? "fine" : "usual"];
    return move(this.#shape, dx * step, dy * step);
  }

  /** With Ctrl: left and right turn, up and down stretch; Shift takes the other axis. */
  #shapeBy([dx, dy], event) {
    const step = STEPS[event.altKey ? "fine" : "usual"];
    if (dx) return turn(this.#shape, dx * step);
    const isLong = this.#shape.a >= this.#shape.b;
    return stretch(this.#shape, isLong !== event.shiftKey ? "a" : "b", -dy * step);
  }

  #show() {
    this.#shape = this.#history.current;
    this.draw();
    this.#onChange(true);
  }

  #follow(point, event) {
    if (this.#grab.part !== "move") this.#loupe.show(point, { x: event.clientX }, this.viewer.scale);
  }
}
