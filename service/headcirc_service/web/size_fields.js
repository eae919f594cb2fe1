// The fields of a pixel size: one number for square pixels, two for others, nothing if unknown.

export const [LEAST_MM, MOST_MM] = [0.005, 2];
const byId = (id) => document.getElementById(id);
export const STATED = "stated";

export function isPixelSize(mm) {
  return mm >= LEAST_MM && mm <= MOST_MM;
}

export class SizeFields {
  #name;
  #origin = STATED; // how what is typed became known

  /** Fields whose ids begin with `name`. */
  constructor(name) {
    this.#name = name;
    this.#at("unequal").addEventListener("change", () => this.#showFields());
    for (const axis of ["x", "y"]) {
      this.#at(axis).addEventListener("input", () => this.#originate(STATED));
    }
  }

  /** What is typed, as it stands: {isUnequal, texts, origin}. */
  get typed() {
    return {
      origin: this.#origin,
      isUnequal: this.#at("unequal").checked,
      texts: ["x", "y"].map((axis) => this.#at(axis).value.trim()),
    };
  }

  /** Put in what was typed before, or a size. */
  write({ isUnequal, texts, origin = STATED }) {
    this.#originate(origin);
    this.#at("unequal").checked = isUnequal;
    [this.#at("x").value, this.#at("y").value] = texts;
    this.#showFields();
    this.#tell([], "");
  }

  /** Return {xMm, yMm}, null where nothing is stated, or undefined where it cannot be used, which is told. */
  read() {
    const size = toPixelSize(this.typed);
    const axes = this.typed.isUnequal ? ["x", "y"] : ["x"];
    const wrong = size === undefined ? axes.filter((axis) => !isPixelSize(toNumber(this.#at(axis).value))) : [];
    this.#tell(wrong, wrong.length ? `A pixel size is a number of mm from ${LEAST_MM} to ${MOST_MM}, or nothing.` : "");
    if (wrong.length) this.#at(wrong[0]).focus();
    return size;
  }

  /** Say that a size is needed here. */
  demand(sentence) {
    this.#tell(["x"], sentence);
    this.focus();
  }

  focus() {
    this.#at("x").focus();
  }

  /** Put in a size that was measured on the picture. */
  measured(sizeMm) {
    this.write({ isUnequal: false, texts: [String(sizeMm), ""], origin: "measured" });
    this.#at("x").dispatchEvent(new Event("change", { bubbles: true })); // as if it were typed
    this.focus();
  }

  #originate(origin) {
    this.#origin = origin;
    const note = this.#at("origin");
    note.textContent = origin === "measured" ? "Measured on the picture." : "";
    note.hidden = origin !== "measured";
  }

  #at(part) {
    return byId(`${this.#name}-${part}`);
  }

  #showFields() {
    const isUnequal = this.#at("unequal").checked;
    this.#at("y-field").hidden = !isUnequal;
    this.#at("x-label").textContent = isUnequal ? "Width" : "Width and height";
  }

  #tell(wrong, sentence) {
    for (const axis of ["x", "y"]) this.#at(axis).setAttribute("aria-invalid", wrong.includes(axis));
    this.#at("fault").textContent = sentence;
    this.#at("fault").hidden = !sentence;
  }
}

/** A size as it would be typed. */
export function toTyped(size) {
  if (!size) return { isUnequal: false, texts: ["", ""] };
  const isUnequal = size.xMm !== size.yMm;
  return { isUnequal, texts: [String(size.xMm), isUnequal ? String(size.yMm) : ""] };
}

/** What is typed as {xMm, yMm}, null for nothing, undefined for what is no pixel size. */
export function toPixelSize({ isUnequal, texts }) {
  const stated = isUnequal ? texts : texts.slice(0, 1);
  if (stated.every((text) => !text)) return null;
  const values = stated.map(toNumber);
  return values.every(isPixelSize) ? { xMm: values[0], yMm: values.at(-1) } : undefined;
}

export function toNumber(text) {
  return Number(text.trim().replace(",", ".") || Number.NaN);
}
