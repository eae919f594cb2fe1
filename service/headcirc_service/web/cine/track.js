// The frames of a cine as they are known so far, and what is said about them in words. Nothing here draws.

const REASONS = {
  "unreadable-image": "No frame can be read.",
  "no-head-found": "No head was found in any frame.",
  "no-acceptable-frame": "No frame is acceptable.",
  "pixel-size-missing": "No pixel size is known, so there are no millimetres.",
  "too-few-frames": "Too few frames are acceptable for a common circumference.",
  "frames-disagree": "Too few frames agree for a common circumference.",
};
const AGREEMENT_SHARE = 0.03; // of a frame without an interval, as in headcirc/cine/summary.py

/** A frame's circumference: in mm where one of the frames has mm, otherwise in pixels; null without a head. */
export function toValue(frame, unit) {
  return frame.head?.[unit === "mm" ? "head_circumference_mm" : "head_circumference_px"] ?? null;
}

export function toUnit(frames) {
  return frames.some((frame) => toValue(frame, "mm") !== null) ? "mm" : "px";
}

/** How a frame counts: `agrees`, `acceptable`, `unreliable`, or `none` without a head. */
export function toKind(frame, summary) {
  if (!frame.head) return "none";
  if (!frame.quality.acceptable) return "unreliable";
  const [value, middle] = [frame.head.head_circumference_mm, summary?.head_circumference_mm ?? null];
  if (value === null || middle === null) return "acceptable";
  const interval = frame.head.head_circumference_interval_mm;
  const allowed = interval ? interval.high - value : AGREEMENT_SHARE * middle;
  return Math.abs(value - middle) <= allowed ? "agrees" : "acceptable";
}

/** A frame in words, for the line below the plot and for a screen reader. */
export function toFrameText(frame, unit) {
  const place = `Frame ${frame.frame}`;
  if (frame.error) return `${place}: cannot be read`;
  const value = toValue(frame, unit);
  if (value === null) return `${place}: ${frame.head ? "no value" : "no head"}`;
  return `${place}: ${value.toFixed(1)} ${unit}${frame.quality.acceptable ? "" : ", not acceptable"}`;
}

/** The summary as [headline, details]. */
export function toSummaryText(summary) {
  const { head_circumference_mm: value, head_circumference_interval_mm: interval, best } = summary;
  let headline = value === null ? `No common circumference. ${REASONS[summary.code] ?? summary.code}` : `HC ${value.toFixed(1)} mm`;
  if (interval) {
    headline += ` (${Math.round(interval.level * 100)} % interval: ${interval.low.toFixed(1)} to ${interval.high.toFixed(1)} mm)`;
  }
  const details = [
    `${summary.frames_agreeing} of ${summary.frames_measured} acceptable frames agree; ${summary.frames} were read, ${summary.frames_with_head} show a head.`,
  ];
  if (summary.warnings.includes("cine-cut-off")) details.push("The file was cut off.");
  if (best) details.push(`Best frame: ${best.frame}. ${best.detail}`);
  return [headline, details.join(" ")];
}
