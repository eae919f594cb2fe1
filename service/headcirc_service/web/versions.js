// The two versions of a result: the automatic one, and the one that a person drew, which counts.

/** An analysis whose head, ages and growth are those of the version that counts. */
export function toCounted(analysis) {
  const { correction } = analysis;
  if (!correction) return analysis;
  const { head, gestational_age, growth } = correction;
  return { ...analysis, head, gestational_age, growth };
}

/** By how much a drawn circumference differs from the automatic one, and whether that is much; null without both. */
export function compare(drawnMm, automatic) {
  const foundMm = automatic?.head_circumference_mm ?? null;
  if (drawnMm === null || foundMm === null) return null;
  const differenceMm = drawnMm - foundMm;
  const interval = automatic.head_circumference_interval_mm;
  const isMuch = Boolean(interval) && Math.abs(differenceMm) > (interval.high - interval.low) / 2;
  return { differenceMm, isMuch };
}

export function toDifferenceText({ differenceMm, isMuch }) {
  const text = `${differenceMm < 0 ? "−" : "+"}${Math.abs(differenceMm).toFixed(1)} mm from the automatic one`;
  return isMuch ? `${text}: more than half the width of its interval. Look again.` : `${text}.`;
}

/** Who corrected, and when, in the reader's own time. */
export function toAuthor({ by, at }) {
  return `${by}, ${new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}

/** Until when the service keeps a result, as a sentence. */
export function toKeptText({ expires }) {
  if (!expires) return "The service keeps no results. Save what you need.";
  const time = new Date(expires).toLocaleTimeString([], { timeStyle: "short" });
  return `The service keeps this result until ${time}. Save it to keep it longer.`;
}
