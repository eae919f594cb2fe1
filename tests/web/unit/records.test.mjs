import assert from "node:assert/strict";
import test from "node:test";

import { isSameFile, toItem, toRecord } from "../../../service/headcirc_service/web/keep/records.js";

const FILE = Object.assign(new File(["abc"], "a.png", { lastModified: 5 }), { webkitRelativePath: "left/a.png" });
const ITEM = {
  key: "k", name: "a.png (2)", file: FILE, turn: 7, state: "measured", analysis: { id: "x" }, problem: null,
  pixelSize: { xMm: 0.1, yMm: 0.1 }, sizeOrigin: "stated", draft: null, depthScale: {}, ageDays: 140,
};

test("an item comes back as it was, with what other parts put into it", () => {
  const record = toRecord(ITEM, 3);
  assert.equal("file" in record, false);
  const { fileFacts, ...item } = toItem(structuredClone(record), new File(["abc"], "a.png", { lastModified: 5 }));
  assert.equal(item.file.webkitRelativePath, "left/a.png");
  const { depthScale: _, ...expected } = ITEM;
  assert.deepEqual({ ...item, file: FILE }, { ...expected, turn: 0 });
  assert.deepEqual(fileFacts, { name: "a.png", path: "left/a.png", bytes: 3, modified: 5 });
});

for (const [before, withImage, without] of [
  ["measured", "measured", "measured"], ["failed", "failed", "failed"], ["held", "held", "missing"],
  ["waiting", "waiting", "missing"], ["measuring", "waiting", "missing"], ["busy", "waiting", "missing"],
  ["missing", "waiting", "missing"],
]) {
  test(`an item that was ${before} goes on`, () => {
    const record = toRecord({ ...ITEM, state: before }, 0);
    assert.equal(toItem(record, FILE).state, withImage);
    assert.equal(toItem(record).state, without);
  });
}

test("a refusal is kept in words, not as an object of the program", () => {
  const problem = Object.assign(new Error("Full."), { code: "overloaded", detail: "Full.", status: 429 });
  assert.deepEqual(toRecord({ ...ITEM, problem }, 0).problem, { code: "overloaded", detail: "Full.", status: 429 });
});

test("only the very same file goes back to its item", () => {
  const kept = toItem(toRecord(ITEM, 0));
  assert.ok(isSameFile(kept, FILE));
  const file = (name, content, lastModified, webkitRelativePath) =>
    Object.assign(new File([content], name, { lastModified }), { webkitRelativePath });
  for (const other of [
    file("b.png", "abc", 5, "left/a.png"), file("a.png", "abcd", 5, "left/a.png"),
    file("a.png", "abc", 6, "left/a.png"), file("a.png", "abc", 5, "right/a.png"),
  ]) assert.equal(isSameFile(kept, other), false);
  assert.equal(isSameFile({ ...kept, fileFacts: null }, FILE), false);
});
