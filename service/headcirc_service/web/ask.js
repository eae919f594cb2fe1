// One question before something is lost, in the page's dialog.

import { byId } from "./page.js";

/** Ask, and return whether the person said yes; Escape is no. */
export function ask({ question, details, yes }) {
  const dialog = byId("ask");
  byId("ask-question").textContent = question;
  byId("ask-details").textContent = details;
  byId("ask-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
