// The question that stands before a batch is measured: one pixel size for all, none, or a table.

import { SizeFields } from "./size_fields.js";

const byId = (id) => document.getElementById(id);

export class BatchSizeForm {
  #fields = new SizeFields("batch");
  #count = 0;

  /** `onSize(size)` with {xMm, yMm} or null, for all images that wait for it. */
  constructor({ onSize }) {
    byId("batch-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const size = this.#fields.read();
      if (size) onSize(size, this.#fields.typed.origin);
      else if (size === null) this.#fields.demand("State a pixel size, or press “None”.");
    });
    byId("batch-none").addEventListener("click", () => onSize(null));
  }

  measured(sizeMm) {
    this.#fields.measured(sizeMm);
  }

  show(count) {
    if (count === this.#count) return;
    const isNew = !this.#count;
    this.#count = count;
    byId("batch-form").hidden = !count;
    byId("batch-count").textContent = count === 1 ? "1 image waits" : `${count} images wait`;
    byId("batch-same").textContent = count === 1 ? "Use for it" : `Same for all ${count}`;
    if (!count || !isNew) return;
    this.#fields.write({ isUnequal: false, texts: ["", ""] });
    byId("batch-form").scrollIntoView({ block: "nearest" });
    this.#fields.focus();
  }
}
