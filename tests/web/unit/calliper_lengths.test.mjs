import assert from "node:assert/strict";
import test from "node:test";

import { toCells, toLengths, toRows } from "../../../service/headcirc_service/web/calliper_lengths.js";

const POINTS = [{ x: 10, y: 20 }, { x: 40, y: 60 }];

function makeItem(xMm, yMm) {
  const analysis = { image: { pixel_size_x_mm: xMm, pixel_size_y_mm: yMm } };
  return { analysis, callipers: { bpd_outer_inner: POINTS } };
}

test("a length is in millimetres, also where pixels are not square", () => {
  assert.deepEqual(toLengths(makeItem(1, 1)), { bpd_outer_inner: 50 });
  assert.deepEqual(toLengths(makeItem(0.2, 0.1)), { bpd_outer_inner: Math.hypot(6, 4) });
});

test("without a pixel size it is in pixels and says so", () => {
  assert.deepEqual(toRows(makeItem(null, null)), [["Callipers BPD, outer to inner", "50.0 px"]]);
  assert.deepEqual(toCells(makeItem(null, null)), { callipers_bpd_outer_inner_px: 50 });
});

test("another pixel size gives another length of the same points", () => {
  const item = makeItem(1, 1);
  item.analysis = makeItem(0.1, 0.1).analysis;
  assert.deepEqual(toRows(item), [["Callipers BPD, outer to inner", "5.0 mm"]]);
  assert.deepEqual(toRows({ analysis: item.analysis }), []);
});
