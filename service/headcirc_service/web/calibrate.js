// The pixel size from two points of a scale in the picture, and the length between them in millimetres.

import { Loupe } from "./loupe.js";
import { makeShape } from "./marks.js";
import { byId, say } from "./page.js";
import { toNumber } from "./size_fields.js";
import { Tool, toDirection } from "./tool.js";
import { toPixelSizeMm, TwoPoints } from "./two_points.js";

const HANDLE_PX = 9;

export class Calibration extends Tool {
  #points = null;
  #loupe = new Loupe();
  #dragged = null;
  #onSize;
  #opener = null;

  /** `onSize(sizeMm)` when a person takes over what was measured. */
  constructor(viewer, { onSize }) {
    super(viewer);
    this.#onSize = onSize;
    byId("calibrate-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use();
    });
    byId("calibrate-length").addEventListener("input", () => this.#showSize());
    byId("calibrate-cancel").addEventListener("click", () => this.close());
  }

  /** Begin on the picture that is shown; `opener` gets the focus back. */
  begin(opener) {
    this.#opener = opener;
    this.#points = new TwoPoints(this.viewer.size);
    byId("calibrate-form").hidden = false;
    this.#showSize();
    this.open();
    this.viewer.focus();
  }

  closed() {
    byId("calibrate-form").hidden = true;
    this.#loupe.hide();
    this.#points = null;
    if (this.#opener?.isConnected) this.#opener.focus();
  }

  grab(point, event) {
    const { index, distance } = this.#points.nearest(point);
    if (!this.#points.isComplete || distance > this.reach) return false;
    this.#points.active = index;
    this.#dragged = { dx: this.#points.points[index].x - point.x, dy: this.#points.points[index].y - point.y };
    this.#showLoupe(event);
    return true;
  }

  drag(point, event) {
    this.#points.place({ x: point.x + this.#dragged.dx, y: point.y + this.#dragged.dy });
    this.#changed(event);
  }

  click(point, event) {
    this.#points.click(point);
    this.#changed(event);
    if (this.#points.isComplete && !byId("calibrate-length").value) byId("calibrate-length").focus();
  }

  key(event) {
    const direction = toDirection(event);
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter") this.#confirm();
    else if (event.key === "1" || event.key === "2") this.#points.active = Number(event.key) - 1;
    else if (direction) {
      this.#points.nudge(...direction, event.shiftKey ? "coarse" : event.altKey ? "fine" : "usual");
    } else return false;
    if (this.isOpen) this.#changed();
    return true;
  }

  /** The pointer moves over the stage without a button: the loupe shows what is below it. */
  hover(point, event) {
    if (!this.#points.isComplete) this.#loupe.show(point, { x: event.clientX }, this.viewer.scale);
  }

  draw() {
    if (!this.#points) return;
    const { points, active, isComplete } = this.#points;
    const size = HANDLE_PX / this.viewer.scale;
    const shapes = [];
    if (isComplete) {
      const [a, b] = points;
      shapes.push(makeShape("line", { class: "ruler", x1: a.x, y1: a.y, x2: b.x, y2: b.y }));
    }
    points.forEach((point, i) => {
      if (point) shapes.push(makeCross(point, size, i === active));
    });
    if (!points[active]) shapes.push(makeCross(this.#points.current, size, true));
    this.viewer.layers.tool.replaceChildren(...shapes);
  }

  #confirm() {
    const wasSecond = this.#points.active === 1;
    this.#points.confirm();
    if (wasSecond && this.#points.isComplete) byId("calibrate-length").focus();
  }

  #changed(event) {
    this.draw();
    this.#showSize();
    this.#showLoupe(event);
  }

  #showLoupe(event) {
    const point = this.#points.current;
    const at = event ? { x: event.clientX } : this.viewer.toScreen(point);
    this.#loupe.show(point, at, this.viewer.scale);
  }

  get #sizeMm() {
    return toPixelSizeMm(toNumber(byId("calibrate-length").value), this.#points?.distancePx);
  }

  #showSize() {
    const { points, active, isComplete, distancePx } = this.#points;
    const step = isComplete
      ? `Point ${active + 1} is chosen. Drag a point, or use the arrow keys (Shift 10 px, Alt 0.1 px; 1 and 2 choose).`
      : `Click the ${points.some(Boolean) ? "second" : "first"} mark, or use the arrow keys and Enter.`;
    say("calibrate-step", step);
    say("calibrate-distance", isComplete ? `${distancePx.toFixed(1)} px apart` : "");
    say("calibrate-size", this.#sizeMm ? `${this.#sizeMm} mm per pixel` : "");
    byId("calibrate-use").disabled = !this.#sizeMm;
    say("calibrate-fault", "");
  }

  #use() {
    const sizeMm = this.#sizeMm;
    if (sizeMm === null) {
      say("calibrate-fault", this.#points.isComplete ? "State the length in millimetres." : "Set both points first.");
      return;
    }
    this.close();
    this.#onSize(sizeMm);
  }
}

function makeCross({ x, y }, size, isActive) {
  const arm = `M${x - size} ${y}H${x - size / 4}M${x + size / 4} ${y}H${x + size}`
    + `M${x} ${y - size}V${y - size / 4}M${x} ${y + size / 4}V${y + size}`;
  return makeShape("path", { class: isActive ? "cross active" : "cross", d: arm });
}
