// The selected image's pixel size, and what was typed over it but is not used yet.

import { SizeFields, toPixelSize, toTyped } from "./size_fields.js";
import { toSizeText } from "./words.js";

const byId = (id) => document.getElementById(id);

export class PixelSizeForm {
  #fields = new SizeFields("pixel");
  #item = null;
  #shown = null;

  /** `onTyped(item, draft)` for each change; `onApply(size, {isForAll, origin})` when it is to be used. */
  constructor({ onTyped, onApply }) {
    const form = byId("pixel-form");
    for (const kind of ["input", "change"]) {
      form.addEventListener(kind, ({ target }) => {
        if (target.type !== "file") onTyped(this.#item, this.#toDraft());
      });
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply(onApply, false);
    });
    byId("apply-all").addEventListener("click", () => this.#apply(onApply, true));
  }

  /** Put a size into the field that was measured on the picture; it is used when the person says so. */
  measured(sizeMm) {
    this.#fields.measured(sizeMm);
  }

  /** Show an item's size; of `items`, those for which it can be used at once are offered. */
  show(item, items) {
    // The question for the batch stands first; without its image nothing is measured again.
    byId("pixel-form").hidden = !item?.file || item.state === "held";
    const known = item && `${JSON.stringify(item.pixelSize)} ${JSON.stringify(item.draft)}`;
    if (item === this.#item && known === this.#shown) return this.#offer(items);
    const isTyping = item === this.#item && JSON.stringify(item?.draft) === JSON.stringify(this.#toDraft());
    [this.#item, this.#shown] = [item, known];
    if (!item) return;
    if (!isTyping) this.#fields.write(item.draft ?? toTyped(item.pixelSize));
    byId("pixel-of").textContent = item.name;
    byId("pixel-pending").hidden = !item.draft;
    byId("pixel-form").classList.toggle("pending", Boolean(item.draft));
    byId("pixel-pending").textContent = `Not used yet. This image has: ${toSizeText(item)}.`;
    this.#offer(items);
  }

  #offer(items) {
    byId("all-choices").hidden = items.length < 2 || items.some(({ state }) => state === "held");
    byId("apply-all").textContent = `Use for all ${items.length} images`;
  }

  /** What is typed, or null where it is what the image has. */
  #toDraft() {
    if (!this.#item) return null;
    const typed = this.#fields.typed;
    const size = toPixelSize(typed);
    const used = this.#item.pixelSize;
    const isSame = size !== undefined && size?.xMm === used?.xMm && size?.yMm === used?.yMm;
    return isSame ? null : typed;
  }

  #apply(onApply, isForAll) {
    const size = this.#fields.read();
    if (size !== undefined) onApply(size, { isForAll, origin: this.#fields.typed.origin });
  }
}
