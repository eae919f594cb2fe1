// Codes and figures to words. What has no words here is shown by its code, never left out.

import { toCounted } from "./versions.js";

export const WARNINGS = {
  "no-head-found": "No head was found. Use a frame that shows the whole fetal head.",
  "pixel-size-missing":
    "The pixel size is unknown, so nothing can be given in millimetres. State it under “Pixel size” and press “Use for this image”.",
  "head-touches-border":
    "The head reaches the picture's border: part of its outline was not seen. Use a frame that shows the whole head.",
  "not-a-head-plane": "This does not look like a plane through the fetal head. Use a frame of the standard head plane.",
  "poor-ellipse-fit": "The outline that was found is no good ellipse.",
  "fragmented-mask":
    "More than one large part looks like a head; the one most like a head was measured.",
  "implausible-size": "No fetal head has this size. Check the pixel size.",
  "uncertain-mask": "The network is unsure where the head is.",
  "large-expected-error": "Errors are often large where the outline looks like this one.",
  "low-contrast": "The skull hardly stands out from what is beside it.",
  "shadowed-boundary": "A large part of the skull lies in shadow.",
  "dicom-calibration-unusable":
    "The DICOM file's pixel size cannot be used, often because the picture was scaled. Send the original, or state the pixel size.",
  "dicom-pixel-spacing-used":
    "The pixel size is the file's Pixel Spacing, which ultrasound devices seldom fill. Check the number.",
  "gestational-age-conflict":
    "The DICOM file states another gestational age than you did. Yours was used; find out which is right.",
  "dicom-gestational-age-unusable":
    "The DICOM file states a gestational age that cannot be right, such as one of an earlier pregnancy. It was not used.",
  "extreme-z-score":
    "HC is more than 5 standard deviations from the mean of this age. Check that the age belongs to this pregnancy, and the outline; if both are right, this is a finding.",
  "narrow-sample-range":
    "The 16-bit file uses only a small part of its range, so the picture may be too dark. Export it with 8 bits.",
};

export const CHARTS = {
  hadlock_1984: "Gestational age by HC (Hadlock 1984)",
  intergrowth21_2016: "Gestational age by HC (INTERGROWTH-21st 2016)",
};

export const AGE_CODES = {
  "head-circumference-below-range": "HC is below the method's range",
  "head-circumference-above-range": "HC is above the method's range",
  "beyond-documented-age": "beyond the age for which the method is documented",
  "gestational-age-below-range": "It begins at 14 weeks: there is no centile for this age.",
  "gestational-age-above-range": "It ends at 40 weeks: there is no centile for this age.",
};

export const AGE_SOURCES = { request: "as you stated it", dicom: "from the DICOM file" };

export const SIZE_SOURCES = { request: "stated", dicom: "from the DICOM file", "scale-bar": "from the depth scale" };

const LEVELS = { bottleneck: "Coarsest", 512: "Coarse", 256: "Medium", 128: "Fine", 64: "Finest" };

export const NOTES = {
  measurement:
    "Mask edge: the border of what the network takes for the head. Ellipse: fitted to it; HC is its circumference.",
  corrected:
    "Green: the ellipse that a person drew; HC is its circumference. Dashed: the automatic one. Mask edge: the border of what the network takes for the head.",
  saliency:
    "Grad-CAM: where the features of this level spoke for the head, from none (0) to most (1).",
  attention:
    "The attention gate's coefficients at this level: bright is let through, black is held back.",
};

export function toWarning(code) {
  return WARNINGS[code] ?? `The service warns: ${toTitle(code)}.`;
}

/** A level of the network, from coarse to fine; its own name stands behind. */
export function toLayerName(layer) {
  const word = LEVELS[String(layer).replace("decoder-", "")];
  return word ? `${word} (${layer})` : toTitle(layer);
}

export function toOriginText({ model }) {
  return `${model.name} ${model.version}, ${model.backend} ${model.precision}`;
}

export function toChartName(chart) {
  return CHARTS[chart] ?? `Gestational age by HC (${toTitle(chart)})`;
}

/** Why there is no age or centile, or what to know about it. */
export function toAgeCode(code) {
  return AGE_CODES[code] ?? toTitle(code);
}

/** Where the gestational age came from. */
export function toAgeSource(source = "request") {
  return AGE_SOURCES[source] ?? toTitle(source);
}

/** Days as weeks and days, such as 20w3d. */
export function toAgeText(days) {
  return `${Math.floor(days / 7)}w${days % 7}d`;
}

export function toMm(value) {
  return `${value.toFixed(1)} mm`;
}

/** What the item's state is, in a word or two. */
export function toStatus(item) {
  const head = item.analysis && toCounted(item.analysis).head;
  switch (item.state) {
    case "held": return "Pixel size?";
    case "missing": return "Choose it again";
    case "waiting": return "Waiting";
    case "measuring": return "Measuring";
    case "busy": return "Service is busy; waiting";
    case "failed": return "Not measured";
    default:
      if (!head) return "No head found";
      if (head.head_circumference_mm === null) return "No pixel size";
      if (item.analysis.correction) return `${toMm(head.head_circumference_mm)}, corrected`;
      return (item.analysis.quality.acceptable ? "" : "Unreliable: ") + toMm(head.head_circumference_mm);
  }
}

/** Whether the same question may be answered later: the service was busy, away or broken. */
export function mayPass({ state, problem }) {
  return state === "failed"
    && (problem.code === "unreachable" || problem.status === 429 || problem.status >= 500);
}

/** One sentence for people who hear the page. */
export function toAnnouncement(item) {
  if (!item.analysis) return `${item.name}: not measured. ${item.problem.detail}`;
  const { head, quality } = toCounted(item.analysis);
  const warnings = quality.warnings.map(toWarning).join(" ");
  if (!head || head.head_circumference_mm === null) return `${item.name}: ${warnings}`;
  const number = `head circumference ${toMm(head.head_circumference_mm)}.`;
  if (item.analysis.correction) return `${item.name}: corrected by a person, ${number}`;
  if (quality.acceptable) return `${item.name}: ${number} ${warnings}`;
  return `${item.name}: Do not rely on this number. ${warnings} Unreliable ${number}`;
}

export function toVerdict({ head, quality, correction }) {
  if (correction) return { tone: correction.exceeds_half_width ? "mind" : "good", text: "Corrected by a person" };
  if (!head) return { tone: "bad", text: "No head found" };
  if (!quality.acceptable) return { tone: "bad", text: "Do not rely on this result" };
  if (head.head_circumference_mm === null) return { tone: "mind", text: "Measured in pixels only" };
  if (quality.warnings.length) return { tone: "mind", text: "Measured, with a warning" };
  return { tone: "good", text: "Measured, no warnings" };
}

/** An image's pixel size, and whether it was stated for it or inherited. */
export function toSizeText({ pixelSize, sizeOrigin, analysis }) {
  const { pixel_size_x_mm: x, pixel_size_y_mm: y, pixel_size_source: source } = analysis?.image ?? {};
  const origins = {
    stated: "stated", inherited: "inherited", table: "from the table", measured: "measured on the picture",
    scale: "from the depth scale",
  };
  if (source && source !== "request") return `${toSides(x, y)} mm, ${SIZE_SOURCES[source] ?? toTitle(source)}`;
  if (!pixelSize) return "no pixel size";
  return `${toSides(pixelSize.xMm, pixelSize.yMm)} mm, ${origins[sizeOrigin]}`;
}

/** A site's own recalibration as a sentence, as in headcirc/model/site.py. */
export function toSiteText({ offset_mm: offset, scale, interval_factor: factor, cases, date }) {
  const changes = [
    ...(offset ? [`HC ${offset > 0 ? "+" : ""}${offset.toFixed(1)} mm`] : []),
    ...(scale === 1 ? [] : [`HC x ${scale.toFixed(3)}`]),
    `interval x ${factor.toFixed(2)}`,
  ];
  return `Recalibrated for this site (${cases} cases, ${date}): ${changes.join(", ")}.`;
}

/** What stands below the picture, as below the service's overlays (headcirc/caption.py). */
export function toCaption(analysis) {
  const { model, image, quality, site, correction } = analysis;
  const codes = quality.warnings.filter((code) => !["no-head-found", "pixel-size-missing"].includes(code));
  const { pixel_size_x_mm: x, pixel_size_y_mm: y } = image;
  return {
    headline: correction ? toCorrectedHeadline(correction.head) : toHeadline(analysis.head, quality.acceptable),
    details: [
      ...(correction ? [toCorrectionText(analysis)] : []),
      ...(codes.length ? [`${correction ? "Warnings of the automatic measurement" : "Warnings"}: ${codes.join(", ").replaceAll("-", " ")}.`] : []),
      ...(x === null ? [] : [`Pixel size ${toSides(x, y)} mm.`]),
      `Model ${model.name} ${model.version}.`,
      ...(site ? [toSiteText(site)] : []),
      "Research use only, not a medical device.",
    ].join(" "),
  };
}

function toCorrectedHeadline({ head_circumference_mm: mm, head_circumference_px: px }) {
  if (mm === null) return `HC ${px.toFixed(1)} px, corrected by a person. Not in mm: the pixel size is unknown.`;
  return `HC ${toMm(mm)}, corrected by a person.`;
}

function toCorrectionText({ head, correction }) {
  const { by, at, difference_mm: mm, exceeds_half_width: isMuch } = correction;
  const much = isMuch
    ? ` The difference of ${mm > 0 ? "+" : ""}${toMm(mm)} is more than half the width of the automatic interval.` : "";
  return `Corrected by ${by}, ${at}. Automatic: ${head ? toHeadline(head, true) : "no head was found."}${much}`;
}

function toHeadline(head, isAcceptable) {
  if (!head) return "No head was found.";
  const { head_circumference_mm: mm, head_circumference_px: px, head_circumference_interval_mm: interval } = head;
  const [number, unknown] = mm === null ? [`${px.toFixed(1)} px`, " Not in mm: the pixel size is unknown."] : [toMm(mm), ""];
  if (!isAcceptable) return `Do not rely on this result: HC ${number} is unreliable.${unknown}`;
  if (mm === null) return `HC ${number}.${unknown}`;
  if (!interval) return `HC ${number}.`;
  const { level, low, high } = interval;
  return `HC ${number} (${Math.round(level * 100)} % interval: ${low.toFixed(1)} to ${toMm(high)}).`;
}

function toSides(x, y) {
  const toShort = (value) => String(+value.toPrecision(4));
  return x === y ? toShort(x) : `${toShort(x)} x ${toShort(y)}`;
}

function toTitle(name) {
  const text = String(name).replaceAll(/[-_]/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
