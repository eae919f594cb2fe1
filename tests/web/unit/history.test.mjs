import assert from "node:assert/strict";
import test from "node:test";

import { History } from "../../../service/headcirc_service/web/history.js";

test("steps can be undone and done again", () => {
  const history = new History("a");
  history.push("b");
  history.push("c");
  assert.equal(history.undo(), "b");
  assert.equal(history.undo(), "a");
  assert.equal(history.undo(), "a");
  assert.equal(history.canUndo, false);
  assert.equal(history.redo(), "b");
  assert.equal(history.canRedo, true);
});

test("a new step ends what was undone", () => {
  const history = new History(1);
  history.push(2);
  history.undo();
  history.push(3);
  assert.equal(history.redo(), 3);
  assert.equal(history.undo(), 1);
});

test("the oldest of very many steps are forgotten", () => {
  const history = new History(0);
  for (let step = 1; step <= 500; step += 1) history.push(step);
  let steps = 0;
  for (; history.canUndo; steps += 1) history.undo();
  assert.equal(steps, 199);
  assert.equal(history.current, 301);
});
