// Two points on the picture and the line between them, as a person places them. It draws nothing.
// Coordinates are the frame's own: pixel centres at integers, x right, y down.

export const STEPS_PX = { coarse: 10, usual: 1, fine: 0.1 };

export class TwoPoints {
  points;
  active = 0; // which of the two the keys move and the next click sets
  #limits;

  constructor({ width, height }, points = [null, null]) {
    this.#limits = { width, height };
    this.points = [...points];
  }

  get isComplete() {
    return this.points.every(Boolean);
  }

  /** The point that is moved now, or where the next one would be set. */
  get current() {
    const { width, height } = this.#limits;
    return this.points[this.active] ?? this.points[1 - this.active] ?? { x: width / 2 - 0.5, y: height / 2 - 0.5 };
  }

  get distancePx() {
    const [a, b] = this.points;
    return this.isComplete ? Math.hypot(a.x - b.x, a.y - b.y) : null;
  }

  /** Set the next point; once both are set, the nearer one moves there. */
  click(point) {
    if (this.isComplete) this.active = this.nearest(point).index;
    this.place(point);
    if (!this.isComplete) this.active = 1 - this.active;
  }

  place(point) {
    this.points[this.active] = this.#keepInside(point);
  }

  /** Move the current point by whole, tenfold or tenth pixels. */
  nudge(dx, dy, step = "usual") {
    const { x, y } = this.current;
    this.place({ x: x + dx * STEPS_PX[step], y: y + dy * STEPS_PX[step] });
  }

  /** Keep the current point as it is, and go on to the other one. */
  confirm() {
    this.place(this.current);
    this.active = 1 - this.active;
  }

  nearest(point) {
    const distances = this.points.map((each) => (each ? Math.hypot(each.x - point.x, each.y - point.y) : Infinity));
    const index = distances[1] < distances[0] ? 1 : 0;
    return { index, distance: distances[index] };
  }

  #keepInside({ x, y }) {
    const { width, height } = this.#limits;
    const keep = (value, size) => +Math.min(size - 0.5, Math.max(-0.5, value)).toFixed(2);
    return { x: keep(x, width), y: keep(y, height) };
  }
}

/** The length between two points where a pixel is xMm wide and yMm high. */
export function toLengthMm(a, b, { xMm, yMm }) {
  return Math.hypot((a.x - b.x) * xMm, (a.y - b.y) * yMm);
}

/** The size of a square pixel, or null where it cannot be told. */
export function toPixelSizeMm(lengthMm, distancePx) {
  if (!(lengthMm > 0) || !(distancePx > 0)) return null;
  return +(lengthMm / distancePx).toPrecision(4);
}
