// What can be done to the list: remove the selected image, clear all after a question, and undo both.

import { ask } from "../ask.js";
import { byId, say } from "../page.js";

export class ListActions {
  #worklist;
  #rows;

  /** `onCleared` once the list is empty. */
  constructor(worklist, rows, { onCleared }) {
    [this.#worklist, this.#rows] = [worklist, rows];
    byId("remove").addEventListener("click", () => this.#remove());
    byId("clear").addEventListener("click", () => this.#clear(onCleared));
    byId("undo-button").addEventListener("click", () => this.#undo());
    byId("worklist-scroller").addEventListener("keydown", (event) => {
      if (event.key !== "Delete" || !worklist.selected) return;
      event.preventDefault();
      this.#remove();
      this.#focus();
    });
    for (const id of ["worklist", "undo"]) {
      byId(id).addEventListener("keydown", (event) => {
        const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
        if (!isUndo || event.target.matches("input") || !worklist.removed) return;
        event.preventDefault();
        this.#undo();
      });
    }
    worklist.addEventListener("change", () => this.#show());
  }

  #show() {
    const { removed } = this.#worklist;
    byId("undo").hidden = !removed;
    say("undo-text", removed ? `${toWhat(removed)} removed.` : "");
  }

  #remove() {
    const { selected } = this.#worklist;
    const visible = this.#rows.visible;
    const at = visible.indexOf(selected);
    this.#worklist.remove([selected], visible[at + 1] ?? visible[at - 1] ?? null);
    if (!this.#worklist.items.length) this.#focus();
  }

  async #clear(onCleared) {
    const { items } = this.#worklist;
    const isMeant = await ask({
      question: items.length === 1 ? "Remove the image from the list?" : `Remove all ${items.length} images from the list?`,
      details: "Their results go, too. You can undo this until you close the page.",
      yes: "Remove all",
    });
    if (!isMeant) return;
    this.#worklist.remove([...items]);
    onCleared();
  }

  #undo() {
    this.#worklist.undo();
    this.#focus();
  }

  #focus() {
    if (this.#worklist.items.length) this.#rows.focusSelected();
    else byId(this.#worklist.removed ? "undo-button" : "files").focus();
  }
}

function toWhat(items) {
  return items.length === 1 ? `${items[0].name} was` : `${items.length} images were`;
}
