import assert from "node:assert/strict";
import test from "node:test";

import { toHeadline, toNumberText, toTextBlock } from "../../../service/headcirc_service/web/report/text.js";

const HEAD = {
  head_circumference_mm: 183.44, head_circumference_px: 1436.4, biparietal_diameter_mm: 50.1,
  occipitofrontal_diameter_mm: 65.26, cephalic_index: 0.768,
  head_circumference_interval_mm: { level: 0.9, low: 180.06, high: 186.8 },
};
const toItem = (head, { acceptable = true, warnings = [] } = {}) => ({
  name: "scan.png", pixelSize: { xMm: 0.1277, yMm: 0.1277 }, sizeOrigin: "stated",
  analysis: {
    id: "abc", head, quality: { acceptable, warnings }, image: { pixel_size_source: "request" },
    model: { name: "net", version: "2.0", backend: "openvino", precision: "int8" },
  },
});

test("the number is copied with its unit, and says when it is unreliable", () => {
  assert.equal(toNumberText(toItem(HEAD)), "183.4 mm");
  assert.equal(toNumberText(toItem(HEAD, { acceptable: false })), "183.4 mm (unreliable)");
  assert.equal(toNumberText(toItem({ ...HEAD, head_circumference_mm: null })), "");
  assert.equal(toNumberText(toItem(null)), "");
  assert.equal(toNumberText({ analysis: null }), "");
});

test("an interval stands with a reliable number alone", () => {
  assert.equal(toHeadline(toItem(HEAD)), "183.4 mm (90 % interval: 180.1 to 186.8 mm)");
  assert.equal(toHeadline(toItem(HEAD, { acceptable: false })), "183.4 mm, unreliable: do not rely on this number.");
  assert.equal(toHeadline(toItem({ ...HEAD, head_circumference_mm: null })), "1436.4 px; the pixel size is unknown.");
  assert.equal(toHeadline(toItem(null)), "No head was found.");
});

test("a corrected number says so, and the automatic one stands beside it", () => {
  const item = toItem(HEAD);
  item.analysis.correction = {
    by: "AB", at: "2026-01-02T03:04:05Z", note: "skull in shadow", head: { ...HEAD, head_circumference_mm: 180.02, head_circumference_interval_mm: null },
  };
  assert.equal(toNumberText(item), "180.0 mm (corrected by a person)");
  const text = toTextBlock(item);
  assert.match(text, /Corrected by: AB.*\nNote: skull in shadow\nAutomatic: 183\.4 mm \(90 % interval: 180\.1 to 186\.8 mm\)\n/);
});

test("the text has a line for each figure that is known", () => {
  const text = toTextBlock(toItem(HEAD, { warnings: ["low-contrast"] }));
  assert.deepEqual(text.split("\n"), [
    "scan.png",
    "Head circumference (HC): 183.4 mm (90 % interval: 180.1 to 186.8 mm)",
    "Biparietal diameter (BPD): 50.1 mm",
    "Occipitofrontal diameter (OFD): 65.3 mm",
    "Cephalic index (BPD / OFD): 0.768",
    "Circumference in pixels: 1436.4 px",
    "Pixel size: 0.1277 mm, stated",
    "Quality: Measured, with a warning",
    "Warning: The skull hardly stands out from what is beside it.",
    "Model: net 2.0, openvino int8",
    "Result id: abc",
    "Research use only. Not a medical device.",
    "",
  ]);
});
