// The selected image's figures, warnings and origin, as text. Nothing here is computed but rounding.

import { toRows } from "./calliper_lengths.js";
import { toGrowthRows } from "./growth.js";
import { say } from "./page.js";
import { compare, toAuthor, toCounted, toDifferenceText, toKeptText } from "./versions.js";
import { mayPass, toMm, toSizeText, toVerdict, toWarning } from "./words.js";

const byId = (id) => document.getElementById(id);
let shown = [];

/** Show an item as far as it is known; what is read or marked stays while others are measured. */
export function showResult(item) {
  const known = [item, item?.state, item?.analysis, item?.problem, item?.callipers];
  if (known.every((each, i) => each === shown[i])) return;
  shown = known;
  byId("result-empty").hidden = Boolean(item);
  byId("result-body").hidden = !item;
  if (!item) return;
  byId("result-name").textContent = item.name;
  const isMeasured = item.state === "measured";
  byId("figures").hidden = !isMeasured;
  byId("downloads").hidden = !isMeasured;
  byId("origin").hidden = !isMeasured;
  showVerdict(item);
  if (isMeasured) showAnalysis(item);
}

function showVerdict(item) {
  byId("failure").hidden = !item.problem;
  byId("failure").textContent = item.problem?.detail ?? "";
  byId("again").hidden = !mayPass(item);
  const { tone, text } = toTone(item);
  byId("verdict").dataset.tone = tone;
  byId("verdict").textContent = text;
}

function toTone(item) {
  if (item.state === "failed") return { tone: "bad", text: "Not measured" };
  if (item.state === "measured") return toVerdict(item.analysis);
  if (item.state === "held") return { tone: "wait", text: "Waiting for its pixel size" };
  if (item.state === "missing") return { tone: "mind", text: "Not measured, and the image was not kept: choose it again" };
  return { tone: "wait", text: item.state === "busy" ? "The service is busy; waiting" : "Measuring" };
}

function showAnalysis(item) {
  const { truthMm } = item;
  const analysis = toCounted(item.analysis);
  const head = analysis.head ?? {};
  const isReliable = analysis.quality.acceptable || Boolean(analysis.correction);
  byId("figures").classList.toggle("unreliable", !isReliable);
  const addition = analysis.correction ? ", corrected" : isReliable || !analysis.head ? "" : ", unreliable";
  byId("hc-label").textContent = `Head circumference (HC)${addition}`;
  showCircumference(head, { truthMm, isReliable });
  showVersions(item);
  fill("rows", toFigures(item));
  fill("origin-rows", toOrigin(analysis));
  byId("warnings").hidden = !analysis.quality.warnings.length;
  byId("warnings").replaceChildren(...analysis.quality.warnings.map((code) => {
    const line = document.createElement("li");
    line.textContent = toWarning(code);
    line.dataset.code = code;
    return line;
  }));
}

/** The figures of the version that counts beside its circumference, as [name, value]; unknown ones have none. */
export function toFigures(item) {
  const analysis = toCounted(item.analysis);
  const head = analysis.head ?? {};
  return [
    ["Biparietal diameter (BPD)", withUnit(head.biparietal_diameter_mm)],
    ["Occipitofrontal diameter (OFD)", withUnit(head.occipitofrontal_diameter_mm)],
    ...toRows(item),
    ["Cephalic index (BPD / OFD)", head.cephalic_index?.toFixed(3)],
    ["Circumference in pixels", head.head_circumference_px && `${head.head_circumference_px.toFixed(1)} px`],
    ["Pixel size", toSizeText(item)],
    ...toGrowthRows(analysis),
  ];
}

/** The automatic number beside the corrected one, and how long both are kept. */
function showVersions({ analysis, lastCorrection }) {
  const { head, correction, expires, quality } = analysis;
  byId("correct-open").textContent = correction ? "Change the correction" : head ? "Correct the ellipse" : "Draw the ellipse";
  const before = lastCorrection ? "It was corrected before it was measured again: the ellipse that was drawn is in the editor, to be saved." : "";
  say("corrected-by", correction ? `Corrected by ${toAuthor(correction)}.${correction.note ? ` “${correction.note}”` : ""}` : before);
  say("automatic", correction ? toAutomaticText(head, quality) : "");
  const found = correction && compare(correction.head.head_circumference_mm, head);
  say("difference", found ? toDifferenceText(found) : "");
  byId("difference").classList.toggle("much", Boolean(found?.isMuch));
  say("kept", toKeptText({ expires }));
}

function toAutomaticText(head, quality) {
  if (!head) return "Automatic: no head found";
  const { head_circumference_mm: mm, head_circumference_interval_mm: interval } = head;
  if (mm === null) return "";
  const doubt = quality.acceptable ? "" : ", unreliable";
  const between = interval && quality.acceptable
    ? `; ${Math.round(interval.level * 100)} % interval: ${interval.low.toFixed(1)} to ${toMm(interval.high)}` : "";
  return `Automatic: ${toMm(mm)}${doubt}${between}`;
}

function showCircumference(head, { truthMm, isReliable }) {
  const value = head.head_circumference_mm ?? null;
  // An interval says how far off a number may be, which nobody knows of one not to rely on.
  const interval = isReliable ? head.head_circumference_interval_mm ?? null : null;
  byId("hc").value = value ?? "";
  byId("hc").textContent = value === null ? "–" : value.toFixed(1);
  byId("hc-unit").hidden = value === null;
  byId("interval").hidden = interval === null;
  if (interval) {
    const level = Math.round(interval.level * 100);
    byId("interval").textContent =
      `${level} % interval: ${interval.low.toFixed(1)} to ${toMm(interval.high)}`;
  }
  byId("truth").hidden = truthMm === null || value === null;
  if (truthMm !== null) byId("truth").textContent = `Phantom drawn with ${toMm(truthMm)}`;
}

function toOrigin({ id, model, image, timing_ms }) {
  return [
    ["Model", `${model.name} ${model.version}`],
    ["Ran on", `${model.backend}, ${model.precision}`],
    ["Time", `${timing_ms.total.toFixed(0)} ms`],
    ["Picture", `${image.width_px} × ${image.height_px} px`],
    ["Result id", id],
  ];
}

function fill(id, rows) {
  const known = rows.filter(([, value]) => value !== undefined && value !== null);
  byId(id).replaceChildren(...known.map(([name, value]) => {
    const row = document.createElement("div");
    row.append(make("dt", name), make("dd", value));
    if (name === "Result id") row.lastChild.className = "id";
    return row;
  }));
}

function make(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function withUnit(value) {
  return value === undefined || value === null ? null : toMm(value);
}
