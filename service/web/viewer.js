// The picture with what was drawn over it; zoom and pan. What it shows is decided elsewhere.

import { makeShape } from "./marks.js";

const MOST_ZOOM = 16;
const STEP = 1.25;
const PAN_SHARE = 0.1;
const LABEL_PX = 13;
const BAR_LENGTHS_MM = [1, 2, 5, 10, 20, 50, 100, 200];
const BAR_LEAST_PX = 60;

export class Viewer {
  #stage = document.getElementById("stage");
  #canvas = document.getElementById("canvas");
  #size = { width: 1, height: 1 };
  #pixelXMm = null;
  #zoom = 1;
  #center = { x: 0, y: 0 };

  constructor() {
    this.layers = Object.fromEntries(
      ["base", "map", "edge", "ellipse", "axes"].map((name) => [name, makeShape("g", { id: `draw-${name}` })]),
    );
    this.#canvas.append(...Object.values(this.layers));
    this.#listen();
    new ResizeObserver(() => this.#draw()).observe(this.#stage);
  }

  /** Begin anew with a picture of this size; nothing is drawn yet. */
  open({ width, height, pixelXMm, label }) {
    this.#size = { width, height };
    this.#pixelXMm = pixelXMm;
    for (const layer of Object.values(this.layers)) layer.replaceChildren();
    this.#canvas.setAttribute("aria-label", label);
    this.fit();
  }

  setPicture(layer, url) {
    const { width, height } = this.#size;
    const box = { x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none" };
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

  /** Screen pixels that one of the picture's takes. */
  get #scale() {
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
    this.layers.axes.setAttribute("font-size", LABEL_PX / this.#scale);
    document.getElementById("zoom-level").value = `${Math.round(this.#zoom * 100)} %`;
    this.#stage.classList.toggle("zoomed", this.#zoom > 1);
    this.#drawScaleBar();
  }

  #drawScaleBar() {
    const bar = document.getElementById("scale-bar");
    bar.hidden = this.#pixelXMm === null;
    if (bar.hidden) return;
    const pxPerMm = this.#scale / this.#pixelXMm;
    const lengthMm = BAR_LENGTHS_MM.find((each) => each * pxPerMm >= BAR_LEAST_PX) ?? BAR_LENGTHS_MM.at(-1);
    bar.style.width = `${lengthMm * pxPerMm}px`;
    document.getElementById("scale-length").textContent = `${lengthMm} mm`;
  }

  #toFrame(event) {
    const point = new DOMPoint(event.clientX, event.clientY);
    return point.matrixTransform(this.#canvas.getScreenCTM().inverse());
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
    this.#stage.addEventListener("pointerdown", (event) => {
      if (this.#zoom > 1) this.#stage.setPointerCapture(event.pointerId);
    });
    this.#stage.addEventListener("pointermove", (event) => {
      if (!this.#stage.hasPointerCapture(event.pointerId)) return;
      this.#panBy(-event.movementX / this.#scale, -event.movementY / this.#scale);
    });
    document.getElementById("zoom-in").addEventListener("click", () => this.zoomBy(STEP));
    document.getElementById("zoom-out").addEventListener("click", () => this.zoomBy(1 / STEP));
    document.getElementById("zoom-fit").addEventListener("click", () => this.fit());
  }
}

function keepWithin(center, size, seen) {
  return Math.min(size - seen / 2, Math.max(seen / 2, center + 0.5)) - 0.5;
}
