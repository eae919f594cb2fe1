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

test("a corrected number is the one that is copied, and both stand in the report", () => {
  const item = toItem(HEAD);
  const head = { ...HEAD, head_circumference_mm: 190.2, head_circumference_interval_mm: null };
  item.analysis.correction = { by: "RT", at: "2026-01-02T03:04:05Z", note: "caput", exceeds_half_width: true, head };
  assert.equal(toNumberText(item), "190.2 mm (corrected by a person)");
  assert.match(toHeadline(item), /^190\.2 mm, corrected by RT, .*\. Automatic: 183\.4 mm \(90 % interval: 180\.1 to 186\.8 mm\)$/);
  assert.match(toTextBlock(item), /Note: caput\nDifference: .*half the width/);
});

test("an interval stands with a reliable number alone", () => {
  assert.equal(toHeadline(toItem(HEAD)), "183.4 mm (90 % interval: 180.1 to 186.8 mm)");
  assert.equal(toHeadline(toItem(HEAD, { acceptable: false })), "183.4 mm, unreliable: do not rely on this number.");
  assert.equal(toHeadline(toItem({ ...HEAD, head_circumference_mm: null })), "1436.4 px; the pixel size is unknown.");
  assert.equal(toHeadline(toItem(null)), "No head was found.");
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
