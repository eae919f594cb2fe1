// The pixel size from two points of a scale in the picture, and the length between them in millimetres.

import { byId, say } from "./page.js";
import { toNumber } from "./size_fields.js";
import { TwoPointTool } from "./two_point_tool.js";
import { toPixelSizeMm, TwoPoints } from "./two_points.js";

export class Calibration extends TwoPointTool {
  #onSize;
  #opener = null;

  /** `onSize(sizeMm)` when a person takes over what was measured. */
  constructor(viewer, { onSize }) {
    super(viewer);
    this.#onSize = onSize;
    byId("calibrate-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#use();
    });
    byId("calibrate-length").addEventListener("input", () => this.moved());
    byId("calibrate-cancel").addEventListener("click", () => this.close());
  }

  /** Begin on the picture that is shown; `opener` gets the focus back. */
  begin(opener) {
    this.#opener = opener;
    this.points = new TwoPoints(this.viewer.size);
    byId("calibrate-form").hidden = false;
    this.moved();
    this.open();
    this.viewer.focus();
  }

  closed() {
    super.closed();
    byId("calibrate-form").hidden = true;
    this.points = null;
    if (this.#opener?.isConnected) this.#opener.focus();
  }

  completed() {
    if (!byId("calibrate-length").value) byId("calibrate-length").focus();
  }

  get #sizeMm() {
    return toPixelSizeMm(toNumber(byId("calibrate-length").value), this.points?.distancePx);
  }

  moved() {
    const { points, active, isComplete, distancePx } = this.points;
    const step = isComplete
      ? `Point ${active + 1} is chosen. Drag a point, or use the arrow keys (Shift 10 px, Alt 0.1 px; 1 and 2 choose).`
      : `Click the ${points.some(Boolean) ? "second" : "first"} mark, or use the arrow keys and Enter.`;
    say("calibrate-step", step);
    say("calibrate-distance", isComplete ? `${distancePx.toFixed(1)} px apart` : "");
    say("calibrate-size", this.#sizeMm ? `${this.#sizeMm} mm per pixel` : "");
    byId("calibrate-use").disabled = !this.#sizeMm;
    say("calibrate-fault", "");
  }

  #use() {
    const sizeMm = this.#sizeMm;
    if (sizeMm === null) {
      say("calibrate-fault", this.points.isComplete ? "State the length in millimetres." : "Set both points first.");
      return;
    }
    this.close();
    this.#onSize(sizeMm);
  }
}
