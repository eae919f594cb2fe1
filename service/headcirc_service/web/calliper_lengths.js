// What a person's callipers measure, from the points on the picture and the size of its pixels.

import { toLengthMm } from "./two_points.js";

export const KINDS = {
  bpd_outer_outer: "BPD, outer to outer",
  bpd_outer_inner: "BPD, outer to inner",
  ofd: "OFD, outer to outer",
};

/** The lengths of an image's callipers, as {kind: length}; in pixels where no pixel size is known. */
export function toLengths({ callipers = {}, analysis }) {
  const { pixel_size_x_mm: xMm, pixel_size_y_mm: yMm } = analysis.image;
  const pixel = xMm === null ? { xMm: 1, yMm: 1 } : { xMm, yMm };
  return Object.fromEntries(Object.entries(callipers).map(([kind, points]) => [kind, toLengthMm(...points, pixel)]));
}

export function toUnit({ image }) {
  return image.pixel_size_x_mm === null ? "px" : "mm";
}

/** Name and value of each length, for a list of figures. */
export function toRows(item) {
  const unit = toUnit(item.analysis);
  return Object.entries(toLengths(item)).map(([kind, length]) => [`Callipers ${KINDS[kind]}`, `${length.toFixed(1)} ${unit}`]);
}

/** The same with names as in a table, the unit among them. */
export function toCells(item) {
  const unit = toUnit(item.analysis);
  return Object.fromEntries(Object.entries(toLengths(item)).map(([kind, length]) => [`callipers_${kind}_${unit}`, +length.toFixed(2)]));
}
