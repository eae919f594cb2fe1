// The drawn phantoms: heads of known size, to try the page with.

import { readShipped } from "./api.js";
import { byId, make } from "./page.js";

/** Offer them as buttons; `onTake(file, facts)` with the picture of the one that is pressed. */
export async function offerExamples(onTake) {
  const examples = await (await readShipped("web/examples/examples.json")).json();
  byId("example-list").replaceChildren(...examples.map((example) => {
    const image = make("img", { src: `web/examples/${example.file}`, alt: "", loading: "lazy", width: 80, height: 54 });
    const button = make("button", { type: "button" }, image, toTitle(example));
    button.addEventListener("click", () => take(example, onTake));
    return make("li", {}, button);
  }));
  byId("try-example").addEventListener("click", () => take(examples[0], onTake));
  byId("try-example").hidden = false;
  byId("examples").hidden = false;
}

/** Fold them away when the first image is there, and back when there is none. */
export function foldExamples(isFolded) {
  const details = byId("examples");
  if (Boolean(details.dataset.folded) === isFolded) return; // what a person opened stays open
  details.open = !isFolded;
  details.dataset.folded = isFolded ? "yes" : "";
}

async function take(example, onTake) {
  const blob = await (await readShipped(`web/examples/${example.file}`)).blob();
  onTake(new File([blob], `Phantom, ${example.title.toLowerCase()}.png`, { type: blob.type }), example);
}

function toTitle({ title, head_circumference_mm }) {
  return `${title}, ${head_circumference_mm.toFixed(0)} mm`;
}
