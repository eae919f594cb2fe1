import assert from "node:assert/strict";
import test from "node:test";

import { toPixelSizeMm, TwoPoints } from "../../../service/headcirc_service/web/two_points.js";

const SIZE = { width: 800, height: 540 };

test("two clicks make a line, further clicks move its nearer end", () => {
  const line = new TwoPoints(SIZE);
  assert.equal(line.distancePx, null);
  line.click({ x: 100, y: 50 });
  assert.equal(line.isComplete, false);
  line.click({ x: 100, y: 450 });
  assert.equal(line.distancePx, 400);
  line.click({ x: 100, y: 440 });
  assert.deepEqual(line.points, [{ x: 100, y: 50 }, { x: 100, y: 440 }]);
  line.click({ x: 130, y: 50 });
  assert.deepEqual(line.points[0], { x: 130, y: 50 });
});

test("keys place both points, to a tenth of a pixel", () => {
  const line = new TwoPoints(SIZE);
  assert.deepEqual(line.current, { x: 399.5, y: 269.5 });
  line.confirm();
  line.nudge(0, 1, "coarse");
  line.nudge(0, 1, "usual");
  line.nudge(0, -1, "fine");
  line.confirm();
  assert.equal(line.distancePx.toFixed(3), "10.900");
  assert.equal(line.active, 0);
});

test("no point leaves the picture", () => {
  const line = new TwoPoints(SIZE);
  line.click({ x: -40, y: 900 });
  assert.deepEqual(line.points[0], { x: -0.5, y: 539.5 });
});

test("the size of a pixel is the length over the distance, or nothing", () => {
  assert.equal(toPixelSizeMm(50, 400), 0.125);
  assert.equal(toPixelSizeMm(10, 87.52), 0.1143);
  for (const [lengthMm, distancePx] of [[0, 400], [-5, 400], [Number.NaN, 400], [50, 0], [50, null]]) {
    assert.equal(toPixelSizeMm(lengthMm, distancePx), null);
  }
});
