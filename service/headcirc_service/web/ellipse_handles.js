// The ellipse under a person's hands as shapes on the picture, and which part of it a pointer takes.

import { HANDLES, isInside, toHandle } from "./ellipse_geometry.js";
import { makeShape } from "./marks.js";

const HANDLE_PX = 7; // on the screen
const BEYOND_PX = 30;

/**
 * Shapes for the tool's layer. `scale` is how many screen pixels one of the picture's takes, `size` the picture's own
 * {width, height}.
 */
export function makeHandles(ellipse, { scale, size: frame, grabbed }) {
  const size = HANDLE_PX / scale;
  const { x, y, a, b, deg } = ellipse;
  const turning = toTurning(ellipse, { scale, size: frame });
  const shapes = [
    makeShape("ellipse", { class: "drawn", cx: x, cy: y, rx: a, ry: b, transform: `rotate(${deg} ${x} ${y})` }),
    ...[["a-", "a+"], ["b-", "b+"]].map((ends) => makeLine(...ends.map((name) => toHandle(ellipse, name)))),
    makeLine(toHandle(ellipse, "a+"), turning),
    ...HANDLES.map((name) => makeKnob("rect", toHandle(ellipse, name), size, name === grabbed)),
    makeKnob("circle", turning, size, grabbed === "turn"),
  ];
  return shapes;
}

/** The part that a pointer at `point` takes: a handle within `reach`, "move" inside the ellipse, or null. */
export function findPart(ellipse, point, { scale, size, reach }) {
  const places = [["turn", toTurning(ellipse, { scale, size })], ...HANDLES.map((name) => [name, toHandle(ellipse, name)])];
  const found = places
    .map(([name, place]) => ({ name, distance: Math.hypot(place.x - point.x, place.y - point.y) }))
    .sort((one, other) => one.distance - other.distance)[0];
  if (found.distance <= reach) return found.name;
  return isInside(ellipse, point) ? "move" : null;
}

/** Where the handle that turns is: outside the end of an axis, or inside it where outside is no picture. */
export function toTurning(ellipse, { scale, size }) {
  const beyond = BEYOND_PX / scale;
  const { x, y } = toHandle(ellipse, "turn", beyond);
  const isSeen = x >= 0 && y >= 0 && x < size.width && y < size.height;
  return isSeen ? { x, y } : toHandle(ellipse, "turn", -1.5 * beyond);
}

function makeLine(from, to) {
  return makeShape("line", { class: "drawn-axis", x1: from.x, y1: from.y, x2: to.x, y2: to.y });
}

function makeKnob(kind, { x, y }, size, isGrabbed) {
  const box = kind === "rect"
    ? { x: x - size, y: y - size, width: 2 * size, height: 2 * size }
    : { cx: x, cy: y, r: size };
  return makeShape(kind, { class: isGrabbed ? "knob active" : "knob", ...box });
}
