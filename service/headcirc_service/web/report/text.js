// A result as text: for the clipboard, and the words of a report.

import { toFigures } from "../result.js";
import { toAuthor, toCounted } from "../versions.js";
import { toMm, toOriginText, toVerdict, toWarning } from "../words.js";

const MUCH = "The corrected circumference differs by more than half the width of the automatic interval.";
export const USE = "Research use only. Not a medical device.";

/** The circumference alone, as it is pasted into a form; "" where there is none. */
export function toNumberText({ analysis }) {
  const mm = (analysis && toCounted(analysis).head?.head_circumference_mm) ?? null;
  if (mm === null) return "";
  if (analysis.correction) return `${toMm(mm)} (corrected by a person)`;
  return toMm(mm) + (analysis.quality.acceptable ? "" : " (unreliable)");
}

/** The circumference that counts, with the automatic interval, or why there is none. */
export function toHeadline({ analysis }) {
  const { correction } = analysis;
  if (!correction) return toAutomaticHeadline(analysis);
  const { head_circumference_mm: mm, head_circumference_px: px } = correction.head;
  const number = mm === null ? `${px.toFixed(1)} px; the pixel size is unknown` : toMm(mm);
  return `${number}, corrected by ${toAuthor(correction)}. Automatic: ${toAutomaticHeadline(analysis)}`;
}

function toAutomaticHeadline({ head, quality }) {
  if (!head) return "No head was found.";
  if (head.head_circumference_mm === null) return `${head.head_circumference_px.toFixed(1)} px; the pixel size is unknown.`;
  const number = toMm(head.head_circumference_mm);
  if (!quality.acceptable) return `${number}, unreliable: do not rely on this number.`;
  const interval = head.head_circumference_interval_mm;
  if (!interval) return number;
  return `${number} (${Math.round(interval.level * 100)} % interval: ${interval.low.toFixed(1)} to ${toMm(interval.high)})`;
}

/** What a report says of a measured item, as [name, value]. */
export function toLines(item) {
  const { analysis } = item;
  return [
    ["Head circumference (HC)", toHeadline(item)],
    ...toFigures(item).filter(([, value]) => value !== undefined && value !== null),
    ["Quality", toVerdict(analysis).text],
    ...(analysis.correction?.note ? [["Note", analysis.correction.note]] : []),
    ...(analysis.correction?.exceeds_half_width ? [["Difference", MUCH]] : []),
    ...analysis.quality.warnings.map((code) => ["Warning", toWarning(code)]),
    ["Model", toOriginText(analysis)],
    ["Result id", analysis.id],
  ];
}

/** A result as a block of text. */
export function toTextBlock(item) {
  return [item.name, ...toLines(item).map(([name, value]) => `${name}: ${value}`), USE, ""].join("\n");
}
