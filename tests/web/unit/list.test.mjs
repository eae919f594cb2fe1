import assert from "node:assert/strict";
import test from "node:test";

import { arrange, needsReview } from "../../../service/headcirc_service/web/list/order.js";
import { toTopOf, toWindow } from "../../../service/headcirc_service/web/list/window.js";

const measured = (name, mm, { warnings = [], acceptable = true } = {}) => ({
  name, state: "measured",
  analysis: { head: mm === undefined ? null : { head_circumference_mm: mm }, quality: { acceptable, warnings } },
});
const ITEMS = [
  measured("scan10.png", 180), measured("Scan9.png", 90.5, { warnings: ["low-contrast"] }),
  measured("dark.png"), measured("odd.png", 300, { acceptable: false }), measured("pixels.png", null),
  { name: "notes.txt", state: "failed", problem: {} }, { name: "new.png", state: "measuring" },
];
const names = (wish) => arrange(ITEMS, wish).map(({ name }) => name);

test("what needs review is everything but a clean number and what is under way", () => {
  assert.deepEqual(ITEMS.filter(needsReview).map(({ name }) => name), ["Scan9.png", "dark.png", "odd.png", "pixels.png", "notes.txt"]);
  assert.deepEqual(names({ onlyReview: true, text: "PNG" }), ["Scan9.png", "dark.png", "odd.png", "pixels.png"]);
});

test("names are sorted as people count, and found in any case", () => {
  assert.deepEqual(names({ text: "SCAN", order: "name" }), ["Scan9.png", "scan10.png"]);
  assert.deepEqual(names({ order: "added" }), ITEMS.map(({ name }) => name));
  assert.deepEqual(names({ text: "nothing" }), []);
});

test("images without a number come last, in the order in which they were added", () => {
  assert.deepEqual(names({ order: "circumference" }),
    ["Scan9.png", "scan10.png", "odd.png", "dark.png", "pixels.png", "notes.txt", "new.png"]);
  assert.deepEqual(names({ order: "review" }).slice(-2), ["scan10.png", "new.png"]);
});

const HEIGHTS = Array.from({ length: 500 }, (_, i) => (i % 10 ? 50 : 90)); // 27 000 px
const TOTAL = 27_000;
const sum = (values) => values.reduce((a, b) => a + b, 0);

test("of a long list a few rows are drawn, and the rest keeps its place", () => {
  for (const top of [0, 1, 5000, 13_333, 26_700, 99_999]) {
    const { first, last, before, after } = toWindow(HEIGHTS, { top, height: 300 });
    assert.equal(before + sum(HEIGHTS.slice(first, last)) + after, TOTAL);
    const seen = Math.min(top, TOTAL - 300);
    assert.ok(before <= seen && before + sum(HEIGHTS.slice(first, last)) >= seen + 300, `at ${top}`);
    assert.ok(last - first <= 26, `${last - first} rows at ${top}`);
  }
});

test("a short list is drawn whole", () => {
  assert.deepEqual(toWindow(HEIGHTS.slice(0, 40), { top: 900, height: 300 }), { first: 0, last: 40, before: 0, after: 0 });
  assert.deepEqual(toWindow([], { top: 0, height: 0 }), { first: 0, last: 0, before: 0, after: 0 });
});

test("the list moves no further than to show a row", () => {
  const seen = { top: 540, height: 300 }; // rows 10 to 14
  assert.equal(toTopOf(HEIGHTS, 11, seen), 540);
  assert.equal(toTopOf(HEIGHTS, 9, seen), 490);
  assert.equal(toTopOf(HEIGHTS, 20, seen), 540 * 2 + 90 - 300);
});
