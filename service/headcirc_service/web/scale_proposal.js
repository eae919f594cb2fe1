// A depth scale that the service found beside the picture: drawn, and used only when a person has confirmed how far
// its marks are apart.

import { findScale, Problem } from "./api.js";
import { makeShape } from "./marks.js";
import { byId, say } from "./page.js";
import { isPixelSize, toNumber } from "./size_fields.js";
import { toPixelSizeMm } from "./two_points.js";

const ARM_PX = 14; // on the screen
const ENDED = ["measured", "held"];

export class ScaleProposal {
  #viewer;
  #item = null;
  #drawn = null;

  /** `onUse(item, size)` when a person has confirmed the scale; `size` as an item's pixel size. */
  constructor(viewer, { onUse }) {
    this.#viewer = viewer;
    const form = byId("scale-form");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const size = this.#size;
      if (size) onUse(this.#item, size);
      else say("scale-fault", "State how many millimetres two marks are apart.");
    });
    form.addEventListener("input", () => this.#showSize());
    byId("scale-dismiss").addEventListener("click", () => {
      this.#item.depthScale = null;
      this.show(this.#item);
      byId("pixel-x").focus();
    });
    for (const kind of ["open", "draw"]) viewer.addEventListener(kind, () => this.#draw());
  }

  /** Show what was found for an item; ask for it once, where no pixel size is known. */
  show(item) {
    this.#item = item;
    if (item && needsScale(item) && item.depthScale === undefined) this.#ask(item);
    const scale = item && needsScale(item) ? item.depthScale ?? null : null;
    if (scale === this.#drawn) return;
    this.#drawn = scale;
    byId("scale-form").hidden = !scale;
    if (scale) this.#describe(scale);
    this.#draw();
  }

  async #ask(item) {
    item.depthScale = null; // asked for
    try {
      item.depthScale = (await findScale(item.file, item.frame ?? null)).depth_scale;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return; // nobody asked for it: the field is there
    }
    if (item === this.#item) this.show(item);
  }

  #describe({ spacing_px, marks_px, column_px, confidence, suggested_mark_mm }) {
    const side = column_px < this.#viewer.size.width / 2 ? "left" : "right";
    say("scale-found", `A depth scale at the ${side}: ${marks_px.length} marks, ${spacing_px.toFixed(1)} px apart`
      + ` (confidence ${(100 * confidence).toFixed(1)} %). They are drawn in yellow on the picture: check them.`);
    for (const choice of byId("scale-form").elements.mark) choice.checked = Number(choice.value) === suggested_mark_mm;
    byId("scale-other").value = "";
    say("scale-hint", suggested_mark_mm ? `Suggested because of the long marks, if they are 50 mm apart.` : "");
    this.#showSize();
  }

  get #markMm() {
    const chosen = byId("scale-form").elements.mark.value;
    return chosen === "other" ? toNumber(byId("scale-other").value) : Number(chosen);
  }

  /** The size that the choice makes, or null. */
  get #size() {
    const [mm, scale] = [this.#markMm, this.#item.depthScale];
    const sizeMm = toPixelSizeMm(mm, scale.spacing_px);
    if (!isPixelSize(sizeMm)) return null;
    // The service finds the scale again, and says so in the result; it refuses to contradict the long marks.
    const isAgreed = scale.suggested_mark_mm === null || scale.suggested_mark_mm === mm;
    return { xMm: sizeMm, yMm: sizeMm, ...(isAgreed && { markMm: mm }) };
  }

  #showSize() {
    const size = this.#size;
    byId("scale-other-field").hidden = byId("scale-form").elements.mark.value !== "other";
    byId("scale-use").textContent = size ? `Use ${size.xMm} mm for this image` : "Use for this image";
    say("scale-fault", "");
  }

  #draw() {
    const layer = this.#viewer.layers.marks;
    if (!this.#drawn) return layer.replaceChildren();
    const { column_px: column, marks_px: marks } = this.#drawn;
    const arm = ARM_PX / this.#viewer.scale;
    layer.replaceChildren(...marks.map((row) => makeShape("path", {
      class: "depth-mark", d: `M${column - arm} ${row}h${arm * 0.6}M${column + arm} ${row}h${-arm * 0.6}`,
    })));
  }
}

function needsScale({ state, pixelSize, analysis, file }) {
  return Boolean(file) && ENDED.includes(state) && !pixelSize && !analysis?.image.pixel_size_x_mm;
}
