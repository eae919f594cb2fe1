// A cine on the page: choose a file, follow its frames as they are measured, see the summary, look at a frame.

import { Problem, streamCine, toUnreachable } from "../api.js";
import { byId, say } from "../page.js";
import { TrackPlot } from "./plot.js";
import { toSummaryText } from "./track.js";

const REDRAW_MS = 200;
const VIDEO = /\.(mp4|m4v|mov|avi)$/i;
const SIZE = /^\s*\d*[.,]?\d+\s*$/;

/** Whether a file is a video, by its name; then it is no image of the worklist. */
export function isVideo({ name }) {
  return VIDEO.test(name);
}

export class CinePanel {
  #file = null;
  #pixelSize = null;
  #frames = [];
  #summary = null;
  #stop = null;
  #drawnMs = 0;
  #plot;
  #onFrame;
  #onLockedOut;

  /** `onFrame(file, frame, pixelSize)` shows a frame; `onLockedOut(problem)` asks for a key. */
  constructor({ onFrame, onLockedOut }) {
    this.#onFrame = onFrame;
    this.#onLockedOut = onLockedOut;
    this.#plot = new TrackPlot({ onFrame: (frame) => this.#onFrame(this.#file, frame, this.#pixelSize) });
    byId("cine-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.measure(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
    byId("cine-stop").addEventListener("click", () => this.#stop?.abort());
    byId("cine-best").addEventListener("click", () => {
      const { frame } = this.#summary.best;
      this.#plot.goTo(frame);
      this.#onFrame(this.#file, frame, this.#pixelSize);
    });
  }

  /** Measure a file, and show its track. */
  async measure(file) {
    byId("cine").open = true;
    const size = byId("cine-size").value.trim();
    const isSize = !size || SIZE.test(size);
    byId("cine-size").setAttribute("aria-invalid", !isSize);
    say("cine-fault", isSize ? "" : "The pixel size is no number of millimetres, such as 0.12.");
    if (!isSize) return;
    this.#stop?.abort();
    const stop = new AbortController();
    const sizeMm = Number(size.replace(",", "."));
    [this.#file, this.#pixelSize, this.#stop] = [file, size ? { xMm: sizeMm, yMm: sizeMm } : null, stop];
    [this.#frames, this.#summary] = [[], null];
    this.#begin();
    try {
      for await (const line of streamCine(file, this.#pixelSize, stop.signal)) {
        if (this.#stop !== stop) return; // another cine was chosen
        this.#take(line);
      }
      if (!this.#summary) throw toUnreachable();
    } catch (error) {
      if (this.#stop === stop) this.#fail(error, stop.signal.aborted);
    } finally {
      if (this.#stop === stop) this.#end();
    }
  }

  #begin() {
    byId("cine-run").hidden = false;
    byId("cine-name").textContent = this.#file.name;
    byId("cine-stop").hidden = false;
    byId("cine-progress").hidden = false;
    byId("cine-progress").removeAttribute("value");
    byId("cine-count").textContent = "Reading";
    byId("cine-at").textContent = "";
    byId("cine-best").hidden = true;
    say("cine-headline", "");
    say("cine-details", "");
    this.#plot.show(this.#frames, null);
  }

  #take(line) {
    if (line.type === "error") throw new Problem(line);
    if (line.type === "start" && line.frames) byId("cine-progress").max = line.frames;
    if (line.type === "summary") this.#summary = line;
    if (line.type !== "frame") return;
    this.#frames.push(line);
    byId("cine-progress").value = this.#frames.length;
    byId("cine-count").textContent = `${this.#frames.length} frames measured`;
    if (performance.now() - this.#drawnMs > REDRAW_MS) this.#draw();
  }

  #draw() {
    this.#drawnMs = performance.now();
    this.#plot.show(this.#frames, this.#summary);
  }

  #fail(error, wasStopped) {
    if (wasStopped) {
      say("cine-fault", "Stopped. There is no summary of the frames so far.");
      return;
    }
    const problem = error instanceof Problem ? error : toUnreachable();
    if (problem.code === "unauthorized") this.#onLockedOut(problem);
    say("cine-fault", problem.detail);
  }

  #end() {
    byId("cine-stop").hidden = true;
    byId("cine-progress").hidden = true;
    if (!this.#frames.length) byId("cine-count").textContent = "";
    this.#draw();
    if (!this.#summary) return;
    const [headline, details] = toSummaryText(this.#summary);
    byId("cine-headline").dataset.tone = this.#summary.head_circumference_mm === null ? "mind" : "good";
    say("cine-headline", headline);
    say("cine-details", details);
    byId("cine-best").hidden = !this.#summary.best;
    if (this.#summary.best) this.#plot.goTo(this.#summary.best.frame);
  }
}
