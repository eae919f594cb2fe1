// What a viewer may ask of the embedded page, and what it is answered: as in docs/embed.md.

import { isPixelSize, LEAST_MM, MOST_MM } from "../size_fields.js";

export const VERSION = 1;
const MOST_NAME = 200;
const MOST_DAYS = 330;

/** A message that cannot be acted on; its text says what is needed. */
export class RequestError extends Error {}

/** Read a request: {action: "hello"}, or {action: "measure", file, pixelSize, ageDays}; both with its `request`. */
export function readRequest(data) {
  const { action, request = null } = data;
  if (action === "hello") return { action, request };
  if (action !== "measure") throw new RequestError("The action is none of hello and measure.");
  return { action, request, file: toFile(data), pixelSize: toPixelSize(data), ageDays: toAge(data) };
}

function toFile({ image, name = "image" }) {
  if (!(image instanceof Blob || image instanceof ArrayBuffer)) throw new RequestError("The image is no Blob and no ArrayBuffer.");
  if (typeof name !== "string" || !name || name.length > MOST_NAME) {
    throw new RequestError(`The name is no text of 1 to ${MOST_NAME} characters.`);
  }
  return new File([image], name, { type: image.type ?? "" });
}

function toPixelSize({ pixel_size_mm: both, pixel_size_x_mm: xMm = both, pixel_size_y_mm: yMm = both }) {
  if (xMm === undefined && yMm === undefined) return null;
  if (![xMm, yMm].every((mm) => typeof mm === "number" && isPixelSize(mm))) {
    throw new RequestError(`A pixel size is a number of mm from ${LEAST_MM} to ${MOST_MM}, for x and for y.`);
  }
  return { xMm, yMm };
}

function toAge({ gestational_age_days: days = null }) {
  if (days !== null && !(Number.isInteger(days) && days >= 1 && days <= MOST_DAYS)) {
    throw new RequestError(`The gestational age is no whole number of days from 1 to ${MOST_DAYS}.`);
  }
  return days;
}

/** An item's answer, as the viewer gets it. */
export function toAnswer({ analysis, problem }) {
  if (analysis) return { event: "result", analysis };
  const { code, detail, status = 0 } = problem;
  return { event: "failed", problem: { code, detail, status } };
}
