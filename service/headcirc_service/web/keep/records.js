// An item of the worklist as it is kept, and back. What an item gains later is kept, too, without a line here.

import { toPath } from "../dicom_files.js";

const OWN = ["file", "turn", "depthScale"]; // of this visit alone
const ENDED = ["measured", "failed"];

/** What is kept of an item, without its image. */
export function toRecord(item, position) {
  const kept = Object.entries(item).filter(([name]) => !OWN.includes(name));
  return { ...Object.fromEntries(kept), problem: toPlainProblem(item.problem), fileFacts: toFileFacts(item), position };
}

/** An item from what was kept; without its image, one that has no answer yet is `missing`. */
export function toItem(record, image = null) {
  const { position: _, ...item } = record;
  const file = image && withPath(image, record.fileFacts);
  return { ...item, file, turn: 0, state: toState(record, file) };
}

function toState({ state }, file) {
  if (ENDED.includes(state) || (state === "held" && file)) return state;
  return file ? "waiting" : "missing";
}

/** Whether a file is the one that an item was made from. */
export function isSameFile({ fileFacts }, file) {
  const facts = toFileFacts({ file });
  return Boolean(fileFacts) && Object.entries(facts).every(([name, value]) => fileFacts[name] === value);
}

function toFileFacts({ file, fileFacts = null }) {
  if (!file) return fileFacts;
  return { name: file.name, path: toPath(file), bytes: file.size, modified: file.lastModified };
}

/** A stored file loses where it lay in its folder, which tables name. */
function withPath(file, facts) {
  if (facts && facts.path !== facts.name) Object.defineProperty(file, "webkitRelativePath", { value: facts.path });
  return file;
}

function toPlainProblem(problem) {
  if (!problem) return null;
  const { code, detail, status } = problem;
  return { code, detail, status };
}
