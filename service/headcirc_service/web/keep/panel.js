// What this browser keeps, in words; images only if the person allows it; and one button that deletes all of it.

import { ask } from "../ask.js";
import { byId, say } from "../page.js";

export class KeepPanel {
  #keeper;
  #worklist;

  constructor(keeper, worklist) {
    [this.#keeper, this.#worklist] = [keeper, worklist];
    byId("keep-images").addEventListener("change", ({ target }) => keeper.set({ keepImages: target.checked }));
    byId("wipe").addEventListener("click", () => this.#wipe());
    for (const each of [keeper, worklist]) each.addEventListener("change", () => this.show());
    addEventListener("beforeunload", (event) => {
      if (keeper.wouldLose) event.preventDefault();
    });
  }

  show() {
    byId("keeping").hidden = !this.#worklist.items.length && this.#keeper.isEmpty;
    byId("keep-images").checked = this.#keeper.settings.keepImages;
    say("keep-fault", this.#keeper.wipeFault || this.#keeper.fault);
  }

  async #wipe() {
    const isMeant = await ask({
      question: "Delete everything that this browser keeps?",
      details: "The worklist, its results, kept images and your settings are deleted. This cannot be undone.",
      yes: "Delete everything",
    });
    if (!isMeant) return;
    this.#worklist.forget();
    await this.#keeper.wipe();
    byId("files").focus();
  }
}
