// What was found, as shapes over the picture: mask edge, ellipse, both axes and their names.
// Coordinates are the frame's own: pixel centres at integers, x right, y down.

const SVG = "http://www.w3.org/2000/svg";

export function makeShape(name, attributes = {}) {
  const shape = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  return shape;
}

export function makeEdge(path) {
  return makeShape("path", { class: "edge", d: path });
}

/** The outline; `kind` is `corrected` or `replaced` where a person has drawn another one. */
export function makeEllipse(ellipse, kind = "") {
  return makeShape("ellipse", {
    class: `ellipse ${kind}`.trim(),
    cx: ellipse.center_x_px,
    cy: ellipse.center_y_px,
    rx: ellipse.semi_major_px,
    ry: ellipse.semi_minor_px,
    transform: `rotate(${ellipse.angle_deg} ${ellipse.center_x_px} ${ellipse.center_y_px})`,
  });
}

export function makeAxes(ellipse) {
  const axes = makeShape("g", { class: "axes" });
  const turns = [[0, ellipse.semi_major_px, "OFD"], [90, ellipse.semi_minor_px, "BPD"]];
  for (const [offsetDeg, half, name] of turns) {
    const angle = ((ellipse.angle_deg + offsetDeg) * Math.PI) / 180;
    const [dx, dy] = [half * Math.cos(angle), half * Math.sin(angle)];
    const [x, y] = [ellipse.center_x_px, ellipse.center_y_px];
    axes.append(makeShape("line", { x1: x - dx, y1: y - dy, x2: x + dx, y2: y + dy }));
    // Halfway out, where neither the other axis nor the outline is.
    const label = makeShape("text", { x: x + 0.55 * dx, y: y + 0.55 * dy, dx: "0.4em", dy: "-0.4em" });
    label.textContent = name;
    axes.append(label);
  }
  return axes;
}
