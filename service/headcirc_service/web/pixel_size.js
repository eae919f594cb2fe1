// The pixel size that is typed in: one number for square pixels, two for others, none if unknown.

const byId = (id) => document.getElementById(id);
const [LEAST_MM, MOST_MM] = [0.005, 2];

export class PixelSizeForm {
  constructor({ onApply }) {
    byId("pixel-unequal").addEventListener("change", () => this.#showFields());
    byId("pixel-form").addEventListener("submit", (event) => {
      event.preventDefault();
      onApply("one");
    });
    byId("apply-all").addEventListener("click", () => onApply("all"));
  }

  /** Return {xMm, yMm}, null where nothing is stated, or undefined where it cannot be used. */
  read() {
    const isUnequal = byId("pixel-unequal").checked;
    const fields = isUnequal ? ["pixel-x", "pixel-y"] : ["pixel-x"];
    const texts = fields.map((id) => byId(id).value.trim());
    this.#tell([], "");
    if (texts.every((text) => !text)) return null;
    const values = texts.map((text) => Number(text.replace(",", ".") || Number.NaN));
    const wrong = fields.filter((_, i) => !(values[i] >= LEAST_MM && values[i] <= MOST_MM));
    if (wrong.length) {
      this.#tell(wrong, `A pixel size is a number of mm from ${LEAST_MM} to ${MOST_MM}, or nothing.`);
      byId(wrong[0]).focus();
      return undefined;
    }
    return { xMm: values[0], yMm: values.at(-1) };
  }

  offerApply({ one, all }) {
    byId("pixel-apply").hidden = !one;
    byId("apply-all").hidden = !all;
  }

  #showFields() {
    const isUnequal = byId("pixel-unequal").checked;
    byId("pixel-y-field").hidden = !isUnequal;
    byId("pixel-x-label").textContent = isUnequal ? "Width" : "Width and height";
  }

  #tell(wrong, sentence) {
    for (const id of ["pixel-x", "pixel-y"]) byId(id).setAttribute("aria-invalid", wrong.includes(id));
    byId("pixel-fault").textContent = sentence;
    byId("pixel-fault").hidden = !sentence;
  }
}
