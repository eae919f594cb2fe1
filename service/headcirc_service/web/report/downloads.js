// What can be taken from one result: pictures, JSON, text for the clipboard, a printed report.

import { Problem } from "../api.js";
import { byId } from "../page.js";
import { save, saveResult, toStem } from "../save.js";
import { copyText } from "./clipboard.js";
import { toNumberText, toTextBlock } from "./text.js";

const COPIES = { "copy-number": toNumberText, "copy-text": toTextBlock };

/** Make the buttons work on the item that `toItem()` names. */
export function offerDownloads({ toItem, picture, report }) {
  byId("downloads").addEventListener("click", async ({ target }) => {
    if (!target.dataset.save) return;
    const item = toItem(); // another may be selected by the time of a fault
    try {
      await saveKind(item, target.dataset.save, picture);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      byId("picture-fault").textContent = `${item.name} was not saved: ${problem.detail}`;
      byId("picture-fault").hidden = false;
    }
  });
  for (const [id, toText] of Object.entries(COPIES)) {
    byId(id).addEventListener("click", async () => {
      const isDone = await copyText(toText(toItem()));
      byId("live").textContent = isDone ? "Copied." : "The browser did not let the page copy.";
      byId("copied").textContent = byId("live").textContent;
    });
  }
  byId("print-one").addEventListener("click", () => report.print([toItem()]));
}

/** Without a number there is no button to copy one. */
export function showDownloads(item) {
  byId("copied").textContent = "";
  byId("copy-number").hidden = !(item?.analysis && toNumberText(item));
}

async function saveKind(item, kind, picture) {
  const stem = toStem(item);
  if (kind === "map") save(await picture.readMap(), `${stem}_${picture.view}_map.png`);
  else if (kind === "overlay" && picture.isChanged) save(await picture.draw(), `${stem}_${picture.view}.png`);
  else await saveResult(item, kind);
}
