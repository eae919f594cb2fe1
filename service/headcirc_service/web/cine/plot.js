// The track as a plot: a point for each frame, the summary as a band. A slider for whoever uses no pointer.

import { byId } from "../page.js";
import { toFrameText, toKind, toUnit, toValue } from "./track.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [320, 170, 34, 314, 10, 152];
const PADDING = 0.08;
const RADIUS = 2.4;
const KEYS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

export class TrackPlot {
  #frames = [];
  #summary = null;
  #at = 0;
  #onFrame;

  constructor({ onFrame }) {
    this.#onFrame = onFrame;
    const plot = byId("cine-plot");
    plot.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    plot.addEventListener("click", (event) => this.#press(event));
    plot.addEventListener("pointermove", (event) => this.#goTo(this.#toIndex(event)));
    plot.addEventListener("keydown", (event) => this.#move(event));
  }

  show(frames, summary) {
    const isNew = frames !== this.#frames;
    [this.#frames, this.#summary] = [frames, summary];
    if (isNew) this.#at = 0;
    const plot = byId("cine-plot");
    plot.toggleAttribute("hidden", !frames.length);
    byId("cine-plot-hint").hidden = !frames.length;
    if (!frames.length) return;
    plot.replaceChildren(...this.#draw());
    this.#goTo(this.#at);
  }

  /** Move the mark to a frame. */
  goTo(frame) {
    this.#goTo(this.#frames.findIndex((each) => each.frame === frame));
  }

  #goTo(index) {
    if (!this.#frames.length) return;
    this.#at = Math.min(Math.max(index, 0), this.#frames.length - 1);
    const text = toFrameText(this.#frames[this.#at], toUnit(this.#frames));
    const facts = { valuemin: 0, valuemax: this.#frames.length - 1, valuenow: this.#at, valuetext: text };
    for (const [name, value] of Object.entries(facts)) byId("cine-plot").setAttribute(`aria-${name}`, value);
    byId("cine-at").textContent = text;
    const x = this.#toX(this.#at);
    for (const end of ["x1", "x2"]) byId("cine-plot").querySelector(".cursor").setAttribute(end, x);
  }

  #press(event) {
    this.#goTo(this.#toIndex(event));
    this.#onFrame(this.#frames[this.#at].frame);
  }

  #move(event) {
    const ends = { Home: 0, End: this.#frames.length - 1 };
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") this.#onFrame(this.#frames[this.#at].frame);
    else if (event.key in ends) this.#goTo(ends[event.key]);
    else if (event.key in KEYS) this.#goTo(this.#at + KEYS[event.key]);
    else return;
    event.preventDefault();
  }

  #toIndex({ clientX }) {
    const { left, width } = byId("cine-plot").getBoundingClientRect();
    const x = ((clientX - left) / width) * WIDTH;
    return Math.floor(((x - LEFT) / (RIGHT - LEFT)) * this.#frames.length);
  }

  #toX(index) {
    return LEFT + ((index + 0.5) / this.#frames.length) * (RIGHT - LEFT);
  }

  * #draw() {
    const unit = toUnit(this.#frames);
    const values = this.#frames.map((frame) => toValue(frame, unit));
    const interval = this.#summary?.head_circumference_interval_mm;
    const known = [...values.filter((value) => value !== null), ...(interval ? [interval.low, interval.high] : [])];
    const [lowest, highest] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
    const padding = PADDING * Math.max(highest - lowest, 0.02 * highest, 1);
    const [low, high] = [lowest - padding, highest + padding];
    const toY = (value) => BOTTOM - ((value - low) / (high - low)) * (BOTTOM - TOP);
    if (interval) {
      const [y, end] = [toY(interval.high), toY(interval.low)];
      yield draw("rect", { class: "band", x: LEFT, y, width: RIGHT - LEFT, height: end - y });
      yield line("middle", LEFT, RIGHT, toY(this.#summary.head_circumference_mm));
    }
    yield line("axis", LEFT, RIGHT, BOTTOM);
    for (const value of known.length ? [lowest, highest] : []) {
      yield draw("text", { x: LEFT - 4, y: toY(value) + 3, "text-anchor": "end" }, value.toFixed(0));
    }
    yield draw("text", { x: LEFT, y: HEIGHT - 4 }, "0");
    yield draw("text", { x: RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, `frame ${this.#frames.at(-1).frame}`);
    yield draw("text", { x: 2, y: HEIGHT - 4 }, unit);
    yield draw("line", { class: "cursor", y1: TOP, y2: BOTTOM });
    for (const [index, frame] of this.#frames.entries()) {
      if (values[index] === null) continue;
      const place = { cx: this.#toX(index), cy: toY(values[index]) };
      if (frame.frame === this.#summary?.best?.frame) yield draw("circle", { ...place, r: 3 * RADIUS, class: "best" });
      yield draw("circle", { ...place, r: RADIUS, class: toKind(frame, this.#summary) });
    }
  }
}

function line(name, x1, x2, y) {
  return draw("line", { class: name, x1, x2, y1: y, y2: y });
}

function draw(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}
