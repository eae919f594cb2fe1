// Which images the list shows, and in which order.

import { toCounted } from "../versions.js";
import { toVerdict } from "../words.js";

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Whether a person should look at it: not measured, or measured with a warning or without a number. */
export function needsReview({ state, analysis }) {
  if (state === "measured") return toVerdict(analysis).tone !== "good";
  return state === "failed" || state === "missing";
}

const ORDERS = {
  added: null,
  name: (a, b) => byName.compare(a.name, b.name),
  review: (a, b) => needsReview(b) - needsReview(a),
  // Without a number last.
  circumference: (a, b) => toMmOr(a, Infinity) - toMmOr(b, Infinity) || 0,
};

/** The items that fit, in their order: `text` in the name, in any case; `onlyReview` those to look at. */
export function arrange(items, { text = "", onlyReview = false, order = "added" } = {}) {
  const wanted = text.trim().toLowerCase();
  const fitting = items.filter((item) => item.name.toLowerCase().includes(wanted) && (!onlyReview || needsReview(item)));
  return ORDERS[order] ? fitting.sort(ORDERS[order]) : fitting;
}

function toMmOr({ analysis }, other) {
  return (analysis && toCounted(analysis).head?.head_circumference_mm) ?? other;
}
