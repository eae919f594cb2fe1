import assert from "node:assert/strict";
import test from "node:test";

import { readRequest, RequestError, toAnswer } from "../../../service/headcirc_service/web/embed/messages.js";

const IMAGE = new Blob(["abc"], { type: "image/png" });

test("a request has a file, its pixel size and the age", () => {
  const asked = readRequest({
    action: "measure", request: 7, image: IMAGE, name: "a.png", pixel_size_x_mm: 0.1, pixel_size_y_mm: 0.2,
    gestational_age_days: 143,
  });
  assert.equal(asked.file.name, "a.png");
  assert.deepEqual([asked.request, asked.pixelSize, asked.ageDays], [7, { xMm: 0.1, yMm: 0.2 }, 143]);
  assert.deepEqual(readRequest({ action: "measure", image: new ArrayBuffer(3), pixel_size_mm: 0.1 }).pixelSize, { xMm: 0.1, yMm: 0.1 });
  assert.equal(readRequest({ action: "measure", image: IMAGE }).pixelSize, null);
  assert.deepEqual(readRequest({ action: "hello" }), { action: "hello", request: null });
});

for (const [name, change] of Object.entries({
  "another action": { action: "delete" },
  "no action": { action: undefined },
  "an address in place of an image": { image: "https://elsewhere.example/a.png" },
  "an object in place of an image": { image: { size: 3 } },
  "a name that is no text": { name: {} },
  "a name that is too long": { name: "a".repeat(201) },
  "a pixel size of another magnitude": { pixel_size_mm: 100 },
  "a pixel size as text": { pixel_size_mm: "0.1" },
  "one side alone": { pixel_size_x_mm: 0.1 },
  "an age that is not whole": { gestational_age_days: 143.5 },
})) {
  test(`${name} is refused`, () => {
    assert.throws(() => readRequest({ action: "measure", image: IMAGE, ...change }), RequestError);
  });
}

test("an answer is the analysis, or the problem in plain words", () => {
  assert.deepEqual(toAnswer({ analysis: { id: "x" }, problem: null }), { event: "result", analysis: { id: "x" } });
  const problem = Object.assign(new Error("Full."), { code: "overloaded", detail: "Full.", retryAfterS: 3 });
  assert.deepEqual(toAnswer({ analysis: null, problem }),
    { event: "failed", problem: { code: "overloaded", detail: "Full.", status: 0 } });
});
