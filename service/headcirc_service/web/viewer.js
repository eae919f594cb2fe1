// The picture with what was drawn over it; zoom and pan. What it shows is decided elsewhere.

import { makeShape } from "./marks.js";

const MOST_ZOOM = 16;
const STEP = 1.25;
const PAN_SHARE = 0.1;
const LABEL_PX = 13;
const CLICK_PX = 5; // a pointer that moves further drags
const BAR_LENGTHS_MM = [1, 2, 5, 10, 20, 50, 100, 200];
const BAR_LEAST_PX = 60;

export class Viewer extends EventTarget {
  tool = null; // takes pointers and keys before they move the picture
  #stage = document.getElementById("stage");
  #canvas = document.getElementById("canvas");
  #size = { width: 1, height: 1 };
  #pixelXMm = null;
  #zoom = 1;
  #center = { x: 0, y: 0 };
  #pointers = new Map();
  #press = null; // where a single pointer went down, and whether the tool has it

  constructor() {
    super();
    this.layers = Object.fromEntries(
      ["base", "map", "edge", "ellipse", "axes", "marks", "tool"].map((name) => [name, makeShape("g", { id: `draw-${name}` })]),
    );
    this.#canvas.append(...Object.values(this.layers));
    this.#listen();
    new ResizeObserver(() => this.#draw()).observe(this.#stage);
  }

  /** Begin anew with a picture of this size; nothing is drawn yet. */
  open({ width, height, pixelXMm, label }) {
    this.tool?.close();
    this.#size = { width, height };
    this.#pixelXMm = pixelXMm;
    for (const layer of Object.values(this.layers)) layer.replaceChildren();
    this.#canvas.setAttribute("aria-label", label);
    this.fit();
    this.dispatchEvent(new Event("open"));
  }

  /** Show a picture on a layer; one that is measured `isAsStored`, whatever a browser would turn. */
  setPicture(layer, url, { isAsStored = false } = {}) {
    const { width, height } = this.#size;
    const box = { x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" };
    this.layers[layer].classList.toggle("as-stored", isAsStored);
    this.layers[layer].replaceChildren(...(url ? [makeShape("image", { ...box, href: url })] : []));
  }

  fit() {
    this.#zoom = 1;
    this.#center = { x: this.#size.width / 2 - 0.5, y: this.#size.height / 2 - 0.5 };
    this.#draw();
  }

  zoomBy(factor, at = this.#center) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.#zoom * factor));
    const share = this.#zoom / zoom; // the point under the pointer stays where it is
    this.#center.x = at.x + (this.#center.x - at.x) * share;
    this.#center.y = at.y + (this.#center.y - at.y) * share;
    this.#zoom = zoom;
    this.#draw();
  }

  #panBy(dx, dy) {
    this.#center.x += dx;
    this.#center.y += dy;
    this.#draw();
  }

  get size() {
    return this.#size;
  }

  /** Give pointers and keys to a tool, in place of the one before; null gives them back to the picture. */
  use(tool) {
    const before = this.tool;
    if (before && tool && before !== tool) before.close();
    this.tool = tool;
    document.getElementById("viewer").classList.toggle("tooling", Boolean(tool)); // room for the tool
  }

  focus() {
    this.#stage.focus({ preventScroll: true });
  }

  /** Where a point of the frame is on the screen. */
  toScreen({ x, y }) {
    return new DOMPoint(x, y).matrixTransform(this.#canvas.getScreenCTM());
  }

  /** Screen pixels that one of the picture's takes. */
  get scale() {
    const { width, height } = this.#size;
    const { clientWidth, clientHeight } = this.#stage;
    return Math.max(Math.min(clientWidth / width, clientHeight / height) * this.#zoom, 1e-6);
  }

  #draw() {
    const { width, height } = this.#size;
    const seen = { width: width / this.#zoom, height: height / this.#zoom };
    this.#center.x = keepWithin(this.#center.x, width, seen.width);
    this.#center.y = keepWithin(this.#center.y, height, seen.height);
    const [x, y] = [this.#center.x - seen.width / 2, this.#center.y - seen.height / 2];
    this.#canvas.setAttribute("viewBox", `${x} ${y} ${seen.width} ${seen.height}`);
    this.layers.axes.setAttribute("font-size", LABEL_PX / this.scale);
    document.getElementById("zoom-level").value = `${Math.round(this.#zoom * 100)} %`;
    this.#stage.classList.toggle("zoomed", this.#zoom > 1);
    this.#drawScaleBar();
    this.dispatchEvent(new Event("draw"));
  }

  #drawScaleBar() {
    const bar = document.getElementById("scale-bar");
    bar.hidden = this.#pixelXMm === null;
    if (bar.hidden) return;
    const pxPerMm = this.scale / this.#pixelXMm;
    const lengthMm = BAR_LENGTHS_MM.find((each) => each * pxPerMm >= BAR_LEAST_PX) ?? BAR_LENGTHS_MM.at(-1);
    bar.style.width = `${lengthMm * pxPerMm}px`;
    document.getElementById("scale-length").textContent = `${lengthMm} mm`;
  }

  #toFrame(event) {
    const point = new DOMPoint(event.clientX, event.clientY);
    return point.matrixTransform(this.#canvas.getScreenCTM().inverse());
  }

  /** One pointer moves an enlarged picture; two zoom about their middle and move it, too. */
  #listenToPointers() {
    const stage = this.#stage;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return; // a menu may swallow the other buttons' release
      this.#pointers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY });
      this.#beginPress(event);
      if (this.#zoom > 1 || this.#pointers.size > 1 || this.#press?.isGrabbed) {
        for (const id of this.#pointers.keys()) stage.setPointerCapture(id);
      }
    });
    stage.addEventListener("pointermove", (event) => {
      if (!this.#pointers.has(event.pointerId)) return this.tool?.hover(this.#toFrame(event), event);
      if (this.#press?.isGrabbed) return this.tool?.drag(this.#toFrame(event), event);
      const before = toPinch([...this.#pointers.values()]);
      this.#pointers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY });
      if (stage.hasPointerCapture(event.pointerId)) this.#follow(before, toPinch([...this.#pointers.values()]));
    });
    stage.addEventListener("pointerup", (event) => this.#endPress(event));
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    stage.addEventListener("lostpointercapture", (event) => {
      // What the picture within loses, the stage has just taken.
      if (event.target === stage) this.#pointers.delete(event.pointerId);
    });
    // One finger may scroll the page; two are ours, or the browser would take them for scrolling.
    stage.addEventListener("touchmove", (event) => {
      if (event.touches.length > 1 || this.#zoom > 1 || this.tool) event.preventDefault();
    }, { passive: false });
  }

  #beginPress(event) {
    if (!this.tool || this.#pointers.size > 1) {
      if (this.#press?.isGrabbed) this.tool?.drop();
      this.#press = null; // two fingers zoom, whatever the first one began
      return;
    }
    const { clientX, clientY } = event;
    this.#press = { clientX, clientY, isGrabbed: this.tool.grab(this.#toFrame(event), event) };
  }

  #endPress(event) {
    const press = this.#press;
    this.#press = null;
    if (!press || !this.tool) return;
    if (press.isGrabbed) return this.tool.drop();
    const moved = Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY);
    if (moved < CLICK_PX) this.tool.click(this.#toFrame(event), event);
  }

  #follow(before, after) {
    if (before.spread > 0) this.zoomBy(after.spread / before.spread, this.#toFrame(before));
    const [dx, dy] = [after.clientX - before.clientX, after.clientY - before.clientY];
    this.#panBy(-dx / this.scale, -dy / this.scale);
  }

  #listen() {
    const keys = {
      ArrowLeft: () => this.#panBy(-PAN_SHARE * this.#size.width / this.#zoom, 0),
      ArrowRight: () => this.#panBy(PAN_SHARE * this.#size.width / this.#zoom, 0),
      ArrowUp: () => this.#panBy(0, -PAN_SHARE * this.#size.height / this.#zoom),
      ArrowDown: () => this.#panBy(0, PAN_SHARE * this.#size.height / this.#zoom),
      "+": () => this.zoomBy(STEP), "=": () => this.zoomBy(STEP),
      "-": () => this.zoomBy(1 / STEP), 0: () => this.fit(),
    };
    this.#stage.addEventListener("keydown", (event) => {
      if (this.tool?.key(event)) return event.preventDefault();
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
    this.#stage.addEventListener("wheel", (event) => {
      // Where the page itself scrolls, the wheel alone is the page's.
      const pageScrolls = document.documentElement.scrollHeight > window.innerHeight;
      if (pageScrolls && !event.ctrlKey) return;
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, this.#toFrame(event));
    }, { passive: false });
    this.#listenToPointers();
    document.getElementById("zoom-in").addEventListener("click", () => this.zoomBy(STEP));
    document.getElementById("zoom-out").addEventListener("click", () => this.zoomBy(1 / STEP));
    document.getElementById("zoom-fit").addEventListener("click", () => this.fit());
  }
}

/** The middle of one or two pointers, and how far they are apart: 0 for one. */
function toPinch([first, second = first]) {
  return {
    clientX: (first.clientX + second.clientX) / 2,
    clientY: (first.clientY + second.clientY) / 2,
    spread: Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY),
  };
}

function keepWithin(center, size, seen) {
  return Math.min(size - seen / 2, Math.max(seen / 2, center + 0.5)) - 0.5;
}
