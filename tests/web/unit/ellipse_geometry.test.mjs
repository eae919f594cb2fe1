import assert from "node:assert/strict";
import test from "node:test";

import {
  dragEnd, fromService, isInside, isSame, keepInside, measure, move, stretch, toFirst, toHandle, toService, turn, turnTowards,
} from "../../../service/headcirc_service/web/ellipse_geometry.js";

const ELLIPSE = { x: 400, y: 270, a: 200, b: 150, deg: 30 };
const SQUARE = { xMm: 0.1, yMm: 0.1 };

function assertNear(found, expected, tolerance = 1e-9) {
  for (const [name, value] of Object.entries(expected)) {
    assert.ok(Math.abs(found[name] - value) <= tolerance, `${name} is ${found[name]}, not ${value}`);
  }
}

test("a circle measures two pi r", () => {
  const circle = { ...ELLIPSE, a: 100, b: 100 };
  assertNear(measure(circle, SQUARE), { hc: 20 * Math.PI, bpd: 20, ofd: 20 });
});

test("pixels that are not square change what a turn measures", () => {
  const flat = measure({ ...ELLIPSE, deg: 0 }, { xMm: 0.1, yMm: 0.2 });
  assertNear(flat, { ofd: 60, bpd: 40 });
  const upright = measure({ ...ELLIPSE, deg: 90 }, { xMm: 0.1, yMm: 0.2 });
  assertNear(upright, { ofd: 80, bpd: 30 });
});

test("the end that is dragged goes to the pointer and the other end stays", () => {
  const before = toHandle(ELLIPSE, "a-");
  const target = toHandle(ELLIPSE, "a+", 0);
  const dragged = dragEnd(ELLIPSE, "a+", { x: target.x + 20 * Math.cos(Math.PI / 6), y: target.y + 10 });
  assertNear(dragged, { a: 210, b: 150, deg: 30 });
  assertNear(toHandle(dragged, "a-"), before, 1e-9);
  const other = dragEnd(ELLIPSE, "b-", toHandle({ ...ELLIPSE, b: 130 }, "b-"));
  assertNear(other, { b: 140 });
  assertNear(toHandle(other, "b+"), toHandle(ELLIPSE, "b+"), 1e-9);
});

test("no axis becomes shorter than the service accepts", () => {
  const squeezed = dragEnd(ELLIPSE, "b+", { x: ELLIPSE.x, y: -1000 });
  assert.equal(squeezed.b, 50);
  assert.equal(stretch({ ...ELLIPSE, a: 6, b: 6 }, "a", -100).a, 5);
});

test("an axis that outgrows the other is the long one for the service", () => {
  const sent = toService(stretch(ELLIPSE, "b", 200));
  assertNear(sent, { semi_major_px: 250, semi_minor_px: 200, angle_deg: 120 });
  assertNear(measure(fromService(sent), SQUARE), measure(stretch(ELLIPSE, "b", 200), SQUARE));
});

test("angles stay within half a turn", () => {
  assertNear(turn(ELLIPSE, -40), { deg: 170 });
  assertNear(turn({ ...ELLIPSE, deg: 0 }, -1e-16), { deg: 0 });
  assertNear(toService(turnTowards(ELLIPSE, { x: 400, y: 0 })), { angle_deg: 90 });
  assert.equal(turnTowards(ELLIPSE, { x: 400, y: 270 }), ELLIPSE);
});

test("the centre stays in the picture", () => {
  const size = { width: 800, height: 540 };
  assertNear(keepInside(move(ELLIPSE, 1000, -1000), size), { x: 799.5, y: -0.5 });
  assertNear(keepInside({ ...ELLIPSE, a: 5000 }, size), { a: Math.hypot(800, 540) });
});

test("a point is inside by the turned outline, not by its box", () => {
  assert.equal(isInside(ELLIPSE, toHandle({ ...ELLIPSE, a: 199 }, "a+")), true);
  assert.equal(isInside(ELLIPSE, toHandle({ ...ELLIPSE, a: 201 }, "a+")), false);
  assert.equal(isInside(ELLIPSE, { x: 400 + 195, y: 270 }), false);
});

test("what the service sent comes back the same", () => {
  const sent = { center_x_px: 1, center_y_px: 2, semi_major_px: 30, semi_minor_px: 20, angle_deg: 179.5 };
  assert.deepEqual(toService(fromService(sent)), sent);
  assert.equal(isSame(sent, { ...sent, angle_deg: 179.6 }), false);
  assert.equal(isSame(sent, { ...sent }), true);
});

test("where no head was found the first ellipse lies in the middle", () => {
  assertNear(toFirst({ width: 800, height: 600 }), { x: 399.5, y: 299.5, a: 200, b: 156, deg: 0 });
});
