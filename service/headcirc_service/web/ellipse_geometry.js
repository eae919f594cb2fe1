// An ellipse that a person shapes: its figures, and how it moves, turns and stretches. Pure; it draws nothing.
// {x, y, a, b, deg}: centre and half axes in the frame's pixels; `a` lies at `deg` from +x towards +y, `b` across.
// While a handle is dragged, `b` may become the longer one, so that no handle jumps; `toService` puts them in order.

export const LEAST_HALF_PX = 5; // as headcirc/corrections.py
const LEAST_RATIO = 0.25;
export const HANDLES = ["a+", "a-", "b+", "b-"]; // the ends of both axes

export function fromService({ center_x_px, center_y_px, semi_major_px, semi_minor_px, angle_deg }) {
  return { x: center_x_px, y: center_y_px, a: semi_major_px, b: semi_minor_px, deg: angle_deg };
}

export function toService({ x, y, a, b, deg }) {
  const [major, minor, turn] = a >= b ? [a, b, deg] : [b, a, deg + 90];
  return {
    center_x_px: x, center_y_px: y, semi_major_px: major, semi_minor_px: minor, angle_deg: toHalfTurn(turn),
  };
}

/** An ellipse to begin with where none was found: in the middle, with the proportions of a head. */
export function toFirst({ width, height }) {
  const a = Math.min(width, height) / 3;
  return { x: width / 2 - 0.5, y: height / 2 - 0.5, a, b: 0.78 * a, deg: 0 };
}

/** The unit vectors along both axes. */
function toDirections({ deg }) {
  const angle = (deg * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return { a: [cos, sin], b: [-sin, cos] };
}

/**
 * Circumference and diameters as headcirc/measurement.py computes them: the ellipse is mapped to millimetres as a
 * whole, and its perimeter is Ramanujan's second approximation. `pixel` is {xMm, yMm}; {xMm: 1, yMm: 1} gives pixels.
 */
export function measure(ellipse, { xMm, yMm }) {
  const { a: [cos, sin] } = toDirections(ellipse);
  const { a, b } = ellipse;
  // The columns of the map from the unit circle; its singular values are the half axes.
  const [p, q, r, s] = [xMm * cos * a, -xMm * sin * b, yMm * sin * a, yMm * cos * b];
  const sum = p * p + q * q + r * r + s * s;
  const difference = Math.hypot(p * p + q * q - r * r - s * s, 2 * (p * r + q * s));
  const major = Math.sqrt((sum + difference) / 2);
  const minor = Math.abs(p * s - q * r) / major;
  return { hc: toPerimeter(major, minor), bpd: 2 * minor, ofd: 2 * major };
}

export function toPerimeter(major, minor) {
  const total = major + minor;
  const h = ((major - minor) / total) ** 2;
  return Math.PI * total * (1 + (3 * h) / (10 + Math.sqrt(4 - 3 * h)));
}

/** Where a handle is: the end of an axis, or the one that turns, `beyond` pixels outside the end of `a`. */
export function toHandle(ellipse, name, beyond = 0) {
  const axis = name === "turn" ? "a" : name[0];
  const [dx, dy] = toDirections(ellipse)[axis];
  const length = name.endsWith("-") ? -ellipse[axis] : ellipse[axis] + (name === "turn" ? beyond : 0);
  return { x: ellipse.x + length * dx, y: ellipse.y + length * dy };
}

export function isInside(ellipse, { x, y }) {
  const { a, b } = toDirections(ellipse);
  const [dx, dy] = [x - ellipse.x, y - ellipse.y];
  const along = (dx * a[0] + dy * a[1]) / ellipse.a;
  const across = (dx * b[0] + dy * b[1]) / ellipse.b;
  return along * along + across * across <= 1;
}

export function move(ellipse, dx, dy) {
  return { ...ellipse, x: ellipse.x + dx, y: ellipse.y + dy };
}

export function turn(ellipse, deg) {
  return { ...ellipse, deg: toHalfTurn(ellipse.deg + deg) };
}

/** Turn so that the handle that turns points towards a point. */
export function turnTowards(ellipse, { x, y }) {
  if (x === ellipse.x && y === ellipse.y) return ellipse;
  // Not brought into half a turn: the handle would jump to the other side.
  return { ...ellipse, deg: (Math.atan2(y - ellipse.y, x - ellipse.x) * 180) / Math.PI };
}

/** Make an axis longer by some pixels, from both ends alike. */
export function stretch(ellipse, axis, px) {
  return { ...ellipse, [axis]: toHalf(ellipse, axis, ellipse[axis] + px / 2) };
}

/** Drag the end of an axis to a point; the other end stays where it is. */
export function dragEnd(ellipse, name, { x, y }) {
  const axis = name[0];
  const sign = name[1] === "+" ? 1 : -1;
  const [dx, dy] = toDirections(ellipse)[axis];
  const along = sign * ((x - ellipse.x) * dx + (y - ellipse.y) * dy);
  const half = toHalf(ellipse, axis, (along + ellipse[axis]) / 2);
  const shift = sign * (half - ellipse[axis]);
  return { ...ellipse, [axis]: half, x: ellipse.x + shift * dx, y: ellipse.y + shift * dy };
}

/** A half axis within what the service accepts, given the other one. */
function toHalf(ellipse, axis, wanted) {
  const other = ellipse[axis === "a" ? "b" : "a"];
  return Math.min(other / LEAST_RATIO, Math.max(LEAST_HALF_PX, LEAST_RATIO * other, wanted));
}

/** The same ellipse with its centre in the picture, and no axis longer than its diagonal. */
export function keepInside(ellipse, { width, height }) {
  const keep = (value, size) => Math.min(size - 0.5, Math.max(-0.5, value));
  const most = Math.hypot(width, height);
  return {
    ...ellipse,
    x: keep(ellipse.x, width), y: keep(ellipse.y, height), a: Math.min(ellipse.a, most), b: Math.min(ellipse.b, most),
  };
}

export function isSame(one, other) {
  const near = (name) => Math.abs(one[name] - other[name]) < 1e-6;
  return ["center_x_px", "center_y_px", "semi_major_px", "semi_minor_px", "angle_deg"].every(near);
}

function toHalfTurn(deg) {
  return ((deg % 180) + 180) % 180 % 180;
}
