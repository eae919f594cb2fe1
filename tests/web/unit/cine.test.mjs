import assert from "node:assert/strict";
import { test } from "node:test";

import { toFrameText, toKind, toSummaryText, toUnit } from "../../../service/headcirc_service/web/cine/track.js";

function toFrame(mm, { acceptable = true, half = 3, frame = 0 } = {}) {
  const interval = mm === null || half === null ? null : { level: 0.9, low: mm - half, high: mm + half };
  return {
    frame, error: null, quality: { acceptable, warnings: [] },
    head: { head_circumference_mm: mm, head_circumference_px: 500, head_circumference_interval_mm: interval },
  };
}

const SUMMARY = {
  head_circumference_mm: 180, head_circumference_interval_mm: { level: 0.9, low: 176.5, high: 183.5 }, code: null, warnings: [],
  frames: 9, frames_with_head: 7, frames_measured: 6, frames_agreeing: 5, best: { frame: 4, detail: "The narrowest." },
};

test("a frame agrees if its own interval holds the summary", () => {
  assert.equal(toKind(toFrame(182), SUMMARY), "agrees");
  assert.equal(toKind(toFrame(184), SUMMARY), "acceptable");
  assert.equal(toKind(toFrame(184, { half: null }), SUMMARY), "agrees"); // within three per cent
  assert.equal(toKind(toFrame(180, { acceptable: false }), SUMMARY), "unreliable");
  assert.equal(toKind({ ...toFrame(180), head: null }, SUMMARY), "none");
  assert.equal(toKind(toFrame(180), null), "acceptable"); // before the summary
});

test("without a pixel size the track is in pixels", () => {
  assert.equal(toUnit([toFrame(null), toFrame(180)]), "mm");
  assert.equal(toUnit([toFrame(null), { ...toFrame(null), head: null }]), "px");
});

test("frames are said in words", () => {
  assert.equal(toFrameText(toFrame(180.24, { frame: 3 }), "mm"), "Frame 3: 180.2 mm");
  assert.equal(toFrameText(toFrame(180, { acceptable: false }), "mm"), "Frame 0: 180.0 mm, not acceptable");
  assert.equal(toFrameText(toFrame(null), "px"), "Frame 0: 500.0 px");
  assert.equal(toFrameText({ ...toFrame(1), head: null }, "mm"), "Frame 0: no head");
  assert.equal(toFrameText({ frame: 2, error: { code: "unreadable-image" }, head: null }, "mm"), "Frame 2: cannot be read");
});

test("the summary says how many frames agree, or why there is no number", () => {
  const [headline, details] = toSummaryText(SUMMARY);
  assert.equal(headline, "HC 180.0 mm (90 % interval: 176.5 to 183.5 mm)");
  assert.match(details, /5 of 6 acceptable frames agree; 9 were read, 7 show a head\. Best frame: 4\. The narrowest\./);
  const none = { ...SUMMARY, head_circumference_mm: null, head_circumference_interval_mm: null, best: null };
  const [without, more] = toSummaryText({ ...none, code: "frames-disagree", warnings: ["cine-cut-off"] });
  assert.equal(without, "No common circumference. Too few frames agree for a common circumference.");
  assert.match(more, /cut off/);
  assert.match(toSummaryText({ ...none, code: "new-code" })[0], /new-code/);
});
