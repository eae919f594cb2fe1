// A person's correction of the ellipse: the panel beside the picture, its figures, and how it is saved.
// What is not saved stays with its image while the page is open. Of two people who correct one file, none
// overwrites the other unseen: the service refuses a version that has changed since it was read.

import { Problem, readVersion, removeCorrection, saveCorrection } from "./api.js";
import { EllipseEditor } from "./ellipse_editor.js";
import { fromService, isSame, measure, toFirst, toService } from "./ellipse_geometry.js";
import { byId, say } from "./page.js";
import { toNumber } from "./size_fields.js";
import { compare, toAuthor, toDifferenceText } from "./versions.js";

const FIELDS = { x: "correct-x", y: "correct-y", a: "correct-a", b: "correct-b", deg: "correct-deg" };
const PIXELS = { xMm: 1, yMm: 1 };
const NO_NAME = "State who corrects, such as your initials.";

export class Correction {
  #viewer;
  #editor;
  #item = null;
  #version = null; // {analysis, etag} as it was read
  #drafts = new WeakMap(); // by item: {history, correction} of work that is not saved
  #onVersion;
  #opener = null;

  /** `onVersion(item, analysis)`: the service has another version of an image's result. */
  constructor(viewer, { onVersion }) {
    this.#viewer = viewer;
    this.#onVersion = onVersion;
    this.#editor = new EllipseEditor(viewer, {
      onChange: (isDone) => this.#show(isDone),
      onClosed: () => this.#closed(),
    });
    byId("correct-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    const clicks = {
      "correct-undo": () => this.#editor.undo(), "correct-redo": () => this.#editor.redo(),
      "correct-automatic": () => this.#editor.set(this.#automatic),
      "correct-close": () => this.#editor.close(),
      "correct-theirs": () => this.#takeTheirs(), "correct-mine": () => this.#save(),
    };
    for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
    for (const id of Object.values(FIELDS)) {
      byId(id).addEventListener("change", () => this.#type());
      byId(id).addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        event.preventDefault(); // it would save
        this.#type();
      });
    }
  }

  /** Begin on the image that is shown; `opener` gets the focus back. */
  async begin(item, opener) {
    this.#opener = opener;
    opener.disabled = true;
    try {
      this.#version = await readVersion(item);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      say("picture-fault", `The ellipse cannot be corrected now: ${problem.detail}`);
      return;
    } finally {
      opener.disabled = false;
    }
    this.#item = item;
    this.#open();
  }

  #open() {
    const { correction } = this.#version.analysis;
    const draft = this.#drafts.get(this.#item);
    const from = (correction ?? this.#version.analysis).head;
    const before = correction ? null : this.#item.lastCorrection; // of the same picture, with another pixel size, say
    byId("correct-form").hidden = false;
    byId("viewer").classList.add("correcting");
    byId("correct-note").value = (correction ?? before)?.note ?? "";
    say("correct-fault", "");
    this.#editor.begin(from ? fromService(from.ellipse) : toFirst(this.#viewer.size), draft?.history);
    byId("correct-conflict").hidden = true;
    if (before && !draft) this.#editor.set(fromService(before.head.ellipse));
    this.#show(true);
    this.#viewer.focus();
    if (draft && draft.correction !== toKey(correction)) this.#showConflict();
  }

  get #automatic() {
    const { head } = this.#version.analysis;
    return head && fromService(head.ellipse);
  }

  get #pixel() {
    const { pixel_size_x_mm: xMm, pixel_size_y_mm: yMm } = this.#version.analysis.image;
    return xMm === null ? null : { xMm, yMm };
  }

  #show(isDone) {
    const { ellipse, history } = this.#editor;
    const pixel = this.#pixel;
    const { hc, bpd, ofd } = measure(ellipse, pixel ?? PIXELS);
    const unit = pixel ? "mm" : "px";
    const figures = [["hc", hc], ["bpd", bpd], ["ofd", ofd]];
    for (const [name, value] of figures) byId(`correct-${name}`).textContent = `${value.toFixed(1)} ${unit}`;
    const found = compare(pixel && hc, this.#version.analysis.head);
    say("correct-difference", found ? toDifferenceText(found) : "");
    byId("correct-difference").classList.toggle("much", Boolean(found?.isMuch));
    for (const [name, id] of Object.entries(FIELDS)) byId(id).value = ellipse[name].toFixed(1);
    byId("correct-undo").disabled = !history.canUndo;
    byId("correct-redo").disabled = !history.canRedo;
    byId("correct-automatic").disabled = !this.#automatic || this.#isAutomatic;
    byId("correct-save").textContent = this.#isAutomatic ? "Keep the automatic one" : "Save correction";
    if (isDone) say("correct-status", figures.map(([name, value]) => `${name.toUpperCase()} ${value.toFixed(1)} ${unit}`).join(", "));
  }

  get #isAutomatic() {
    const { head } = this.#version.analysis;
    return Boolean(head) && isSame(toService(this.#editor.ellipse), head.ellipse);
  }

  /** The numbers, as a person typed them. */
  #type() {
    const before = this.#editor.ellipse;
    const typed = { ...before };
    for (const [name, id] of Object.entries(FIELDS)) {
      const value = toNumber(byId(id).value);
      // What is shown is rounded: a number that was not touched keeps its digits.
      if (Number.isFinite(value) && value.toFixed(1) !== typed[name].toFixed(1)) typed[name] = value;
    }
    const isChanged = Object.keys(FIELDS).some((name) => typed[name] !== before[name]);
    if (isChanged) this.#editor.set(typed);
    else this.#show(true);
  }

  async #save() {
    const by = byId("correct-by").value.trim();
    if (!by && !this.#isAutomatic) {
      say("correct-fault", NO_NAME);
      byId("correct-by").focus();
      return;
    }
    say("correct-fault", "");
    byId("correct-save").disabled = true;
    const item = this.#item;
    try {
      const version = await this.#send({ by, note: byId("correct-note").value.trim() || null });
      this.#drafts.delete(item);
      this.#version = version;
      this.#editor.close();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.code === "precondition-failed") await this.#readTheirs();
      else say("correct-fault", `Not saved: ${problem.detail}`);
    } finally {
      byId("correct-save").disabled = false;
    }
  }

  async #send(stated) {
    const { analysis } = this.#version;
    if (this.#isAutomatic) return analysis.correction ? removeCorrection(this.#version) : this.#version;
    const drawn = { ellipse: toService(this.#editor.ellipse), ...stated };
    try {
      return await saveCorrection(this.#version, drawn);
    } catch (problem) {
      if (problem.code !== "not-found") throw problem;
      // It expired while it was corrected. Measured again it is as it was; a version that another person
      // has corrected since is refused as ever.
      this.#version = { ...this.#version, etag: (await readVersion(this.#item)).etag };
      return saveCorrection(this.#version, drawn);
    }
  }

  async #readTheirs() {
    try {
      this.#version = await readVersion(this.#item);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      say("correct-fault", `Not saved: somebody else has corrected it, and their version cannot be read. ${problem.detail}`);
      return;
    }
    this.#showConflict();
    this.#show(true);
  }

  #showConflict() {
    const { correction } = this.#version.analysis;
    const what = correction
      ? `Somebody else has corrected this image: ${toAuthor(correction)}.`
      : "Somebody else went back to the automatic ellipse.";
    byId("correct-conflict-text").textContent = `Yours is not saved. ${what}`;
    byId("correct-conflict").hidden = false;
    byId("correct-theirs").focus();
  }

  /** Their ellipse as a step of one's own, so that it can be undone. */
  #takeTheirs() {
    const { correction, head } = this.#version.analysis;
    byId("correct-conflict").hidden = true;
    const theirs = (correction ?? { head }).head;
    if (theirs) this.#editor.set(fromService(theirs.ellipse));
    byId("correct-note").value = correction?.note ?? "";
    this.#viewer.focus();
  }

  #closed() {
    byId("correct-form").hidden = true;
    byId("viewer").classList.remove("correcting");
    const { analysis } = this.#version;
    const { history } = this.#editor;
    const isSaved = !this.#drafts.has(this.#item) && !this.#isChanged;
    if (!isSaved) this.#drafts.set(this.#item, { history, correction: toKey(analysis.correction) });
    // Where another image was chosen, the focus is there.
    const [item, active] = [this.#item, document.activeElement];
    if (active === document.body || byId("viewer").contains(active)) this.#opener.focus();
    if (toKey(item.analysis) !== toKey(analysis)) queueMicrotask(() => this.#onVersion(item, analysis));
  }

  /** Whether there is work that the service does not have. */
  get #isChanged() {
    const { correction, head } = this.#version.analysis;
    const kept = (correction ?? { head }).head;
    return kept ? !isSame(toService(this.#editor.ellipse), kept.ellipse) : this.#editor.history.canUndo;
  }
}

function toKey(correction) {
  return JSON.stringify(correction ?? null);
}
