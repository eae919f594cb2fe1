// Callipers: a person's own two-point diameters on the picture. They stand beside the ellipse's and replace none.

import { toRows } from "./calliper_lengths.js";
import { byId, say } from "./page.js";
import { makeRuler, TwoPointTool } from "./two_point_tool.js";
import { TwoPoints } from "./two_points.js";

const PLACES = {
  bpd_outer_outer: ["the outer edge of the near skull wall", "the outer edge of the far one"],
  bpd_outer_inner: ["the outer edge of the near skull wall", "the inner edge of the far one"],
  ofd: ["the outer edge at the forehead", "the outer edge at the back of the head"],
};
const HANDLE_PX = 6;

export class Callipers extends TwoPointTool {
  #item = null;
  #kind = "bpd_outer_outer";
  #pairs = new WeakMap(); // by item: the points of each kind
  #onChange;
  #onClosed;
  #opener = null;

  /** `onChange()`: the image's `callipers` are others, as {kind: [point, point]}; `onClosed()`: they stay so. */
  constructor(viewer, { onChange, onClosed }) {
    super(viewer);
    this.#onClosed = onClosed;
    this.#onChange = onChange;
    byId("callipers-form").addEventListener("submit", (event) => event.preventDefault());
    byId("callipers-kinds").addEventListener("change", ({ target }) => this.#choose(target.value));
    byId("callipers-remove").addEventListener("click", () => this.#remove());
    byId("callipers-close").addEventListener("click", () => this.close());
  }

  /** Begin on a measured image; `opener` gets the focus back. */
  begin(item, opener) {
    this.#item = item;
    this.#opener = opener;
    if (!this.#pairs.has(item)) this.#pairs.set(item, this.#toPairs(item.callipers ?? {}));
    byId("callipers-form").hidden = false;
    this.#choose(this.#kind);
    this.open();
    this.viewer.focus();
  }

  closed() {
    super.closed();
    byId("callipers-form").hidden = true;
    const active = document.activeElement;
    if (active === document.body || byId("viewer").contains(active)) this.#opener.focus();
    queueMicrotask(this.#onClosed); // not while another image is being opened
  }

  draw() {
    super.draw();
    const others = Object.entries(this.#all).filter(([kind, pair]) => kind !== this.#kind && pair.isComplete);
    const size = HANDLE_PX / this.viewer.scale;
    for (const [, pair] of others) this.viewer.layers.tool.prepend(...makeRuler(pair, size, { isActive: false }));
  }

  get #all() {
    return this.#pairs.get(this.#item) ?? {};
  }

  /** The points that an earlier visit kept. */
  #toPairs(callipers) {
    return Object.fromEntries(Object.entries(callipers).map(([kind, points]) => [kind, new TwoPoints(this.viewer.size, points)]));
  }

  #choose(kind) {
    this.#kind = kind;
    this.#all[kind] ??= new TwoPoints(this.viewer.size);
    this.points = this.#all[kind];
    this.draw();
    this.moved();
  }

  #remove() {
    delete this.#all[this.#kind];
    this.#choose(this.#kind);
  }

  moved() {
    const { points, active, isComplete } = this.points;
    const place = PLACES[this.#kind][points.some(Boolean) ? 1 : 0];
    say("callipers-step", isComplete
      ? `Point ${active + 1} is chosen. Drag a point, or use the arrow keys (Shift 10 px, Alt 0.1 px; 1 and 2 choose).`
      : `Click ${place}, or use the arrow keys and Enter.`);
    byId("callipers-remove").disabled = !points.some(Boolean);
    const complete = Object.entries(this.#all).filter(([, pair]) => pair.isComplete);
    this.#item.callipers = Object.fromEntries(complete.map(([kind, pair]) => [kind, [...pair.points]]));
    say("callipers-lengths", toRows(this.#item).map((row) => row.join(": ")).join("; "));
    this.#onChange();
  }
}
