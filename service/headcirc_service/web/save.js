// What can be kept: pictures and JSON of one result, CSV of all.

import { readKept } from "./api.js";
import { toCells } from "./calliper_lengths.js";

const COLUMNS = [
  "image", "head_circumference_mm", "head_circumference_low_mm", "head_circumference_high_mm",
  "head_circumference_raw_mm",
  "biparietal_diameter_mm", "occipitofrontal_diameter_mm", "cephalic_index", "head_circumference_px",
  "gestational_age_hadlock_1984_days", "gestational_age_intergrowth21_2016_days",
  "gestational_age_days", "gestational_age_source", "head_circumference_z_score", "head_circumference_centile",
  "pixel_size_x_mm", "pixel_size_y_mm", "pixel_size_source", "head_plane_probability",
  "method", "corrected_head_circumference_mm",
  "corrected_biparietal_diameter_mm", "corrected_occipitofrontal_diameter_mm", "correction_difference_mm",
  "correction_exceeds_half_width", "corrected_by", "corrected_at", "correction_note",
  "callipers_bpd_outer_outer_mm", "callipers_bpd_outer_inner_mm", "callipers_ofd_mm", "acceptable", "warnings", "error",
];

const WAITS = { held: "its pixel size is asked for" };

/** An item's name without folder and ending: the second a.png is a (2). */
export function toStem({ name }) {
  return name.split("/").at(-1).replace(/\.[^.]+?( \(\d+\))?$/, "$1");
}

export async function saveResult(item, kind) {
  const stem = toStem(item);
  if (kind === "json") {
    const facts = { ...item.analysis, ...(item.callipers ? { callipers: toCells(item) } : {}) };
    save(new Blob([`${JSON.stringify(facts, null, 2)}\n`], { type: "application/json" }), `${stem}.json`);
  } else {
    const [link, ending] = kind === "growth" ? ["growth_svg", "growth.svg"] : [kind, `${kind}.png`];
    save(await readKept(item, item.analysis.links[link]), `${stem}_${ending}`);
  }
}

export function saveTable(items) {
  save(new Blob([toTable(items)], { type: "text/csv" }), "headcirc.csv");
}

export function toTable(items) {
  const lines = [COLUMNS, ...items.map((item) => COLUMNS.map((name) => toRow(item)[name]))];
  return lines.map((line) => `${line.map(toCell).join(",")}\r\n`).join("");
}

function toRow(item) {
  const { name, analysis, problem, state } = item;
  if (!analysis) return { image: name, error: problem?.detail ?? `not measured yet (${WAITS[state] ?? state})` };
  const { head, image, quality, correction } = analysis;
  const interval = head?.head_circumference_interval_mm;
  const { gestational_age: dated, growth } = analysis;
  return {
    image: name, ...head, ...image,
    head_circumference_low_mm: interval?.low, head_circumference_high_mm: interval?.high,
    gestational_age_hadlock_1984_days: dated?.hadlock_1984?.days,
    gestational_age_intergrowth21_2016_days: dated?.intergrowth21_2016?.days,
    gestational_age_days: growth?.gestational_age_days, gestational_age_source: growth?.gestational_age_source,
    head_circumference_z_score: growth?.head_circumference?.z_score,
    head_circumference_centile: growth?.head_circumference?.centile,
    method: analysis.method, ...(correction ? toCorrectionCells(correction) : {}), ...toCells(item),
    head_plane_probability: analysis.head_plane_probability, acceptable: quality.acceptable, warnings: quality.warnings.join(" "),
    error: !head ? "no head was found" : head.head_circumference_mm === null ? "no pixel size is known" : "",
  };
}

function toCorrectionCells({ head, by, at, note, difference_mm, exceeds_half_width }) {
  return {
    corrected_head_circumference_mm: head.head_circumference_mm,
    corrected_biparietal_diameter_mm: head.biparietal_diameter_mm,
    corrected_occipitofrontal_diameter_mm: head.occipitofrontal_diameter_mm,
    correction_difference_mm: difference_mm, correction_exceeds_half_width: exceeds_half_width,
    corrected_by: by, corrected_at: at, correction_note: note,
  };
}

// Where a formula begins: at the text's start, or behind what ends a cell in a spreadsheet that separates by semicolons
// or tabs. As headcirc/batch/safe_text.py has it.
const CELL_WITH_FORMULA = /^(?=[\t\r\n])|(?:^|(?<=[;\t\r\n]))(?=[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20])/g;

/** A cell that no spreadsheet takes for a formula: a file's name is anybody's to choose. */
function toCell(value) {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value.replace(CELL_WITH_FORMULA, "'") : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
