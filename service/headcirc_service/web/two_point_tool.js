// A tool with two points on the picture: pointers, fingers and keys place them, a loupe shows where.

import { Loupe } from "./loupe.js";
import { makeShape } from "./marks.js";
import { Tool, toDirection } from "./tool.js";

const HANDLE_PX = 9;

export class TwoPointTool extends Tool {
  points = null; // a TwoPoints
  #loupe = new Loupe();
  #dragged = null;

  // What a tool does with its points; `completed`: the second of them was set.
  moved() {}
  completed() {}

  closed() {
    this.#loupe.hide();
  }

  grab(point, event) {
    const { index, distance } = this.points.nearest(point);
    if (!this.points.isComplete || distance > this.reach) return false;
    this.points.active = index;
    this.#dragged = { dx: this.points.points[index].x - point.x, dy: this.points.points[index].y - point.y };
    this.#showLoupe(event);
    return true;
  }

  drag(point, event) {
    this.points.place({ x: point.x + this.#dragged.dx, y: point.y + this.#dragged.dy });
    this.changed(event);
  }

  click(point, event) {
    this.points.click(point);
    this.changed(event);
    if (this.points.isComplete) this.completed();
  }

  key(event) {
    const direction = toDirection(event);
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter") this.#confirm();
    else if (event.key === "1" || event.key === "2") this.points.active = Number(event.key) - 1;
    else if (direction) {
      this.points.nudge(...direction, event.shiftKey ? "coarse" : event.altKey ? "fine" : "usual");
    } else return false;
    if (this.isOpen) this.changed();
    return true;
  }

  /** The pointer moves over the stage without a button: the loupe shows what is below it. */
  hover(point, event) {
    if (!this.points.isComplete) this.#loupe.show(point, { x: event.clientX }, this.viewer.scale);
  }

  draw() {
    if (this.points) this.viewer.layers.tool.replaceChildren(...makeRuler(this.points, HANDLE_PX / this.viewer.scale));
  }

  /** The points are others, or other ones: draw them, and the loupe where the current one is. */
  changed(event) {
    this.draw();
    this.moved();
    this.#showLoupe(event);
  }

  #confirm() {
    const wasSecond = this.points.active === 1;
    this.points.confirm();
    if (wasSecond && this.points.isComplete) this.completed();
  }

  #showLoupe(event) {
    const point = this.points.current;
    const at = event ? { x: event.clientX } : this.viewer.toScreen(point);
    this.#loupe.show(point, at, this.viewer.scale);
  }
}

/** Two points and the line between them; where the next one is not set, a cross stands in its place. */
export function makeRuler({ points, active, isComplete, current }, size, { isActive = true } = {}) {
  const shapes = [];
  if (isComplete) {
    const [a, b] = points;
    shapes.push(makeShape("line", { class: "ruler", x1: a.x, y1: a.y, x2: b.x, y2: b.y }));
  }
  points.forEach((point, i) => {
    if (point) shapes.push(makeCross(point, size, isActive && i === active));
  });
  if (isActive && !points[active]) shapes.push(makeCross(current, size, true));
  return shapes;
}

function makeCross({ x, y }, size, isActive) {
  const arm = `M${x - size} ${y}H${x - size / 4}M${x + size / 4} ${y}H${x + size}`
    + `M${x} ${y - size}V${y - size / 4}M${x} ${y + size / 4}V${y + size}`;
  return makeShape("path", { class: isActive ? "cross active" : "cross", d: arm });
}
