// The page put together: who tells whom. Each part is in a file of its own.

import { Problem, readModels, readShipped, useKey } from "./api.js";
import { Picture } from "./picture.js";
import { PixelSizeForm } from "./pixel_size.js";
import { showResult } from "./result.js";
import { Rows } from "./rows.js";
import { saveResult, saveTable } from "./save.js";
import { Viewer } from "./viewer.js";
import { mayPass, toAnnouncement } from "./words.js";
import { Worklist } from "./worklist.js";

const byId = (id) => document.getElementById(id);
const RETRY_MS = 3000;

const worklist = new Worklist();
const picture = new Picture(new Viewer());
const rows = new Rows(worklist);
const pixelForm = new PixelSizeForm({ onApply: applyPixelSize });

function addFiles(files, given) {
  const pixelSize = given?.pixelSize ?? pixelForm.read();
  if (files.length && pixelSize !== undefined) worklist.add(files, pixelSize, given?.truthMm);
}

function applyPixelSize(which) {
  const pixelSize = pixelForm.read();
  if (pixelSize === undefined || !worklist.selected) return;
  worklist.measureAgain(which === "all" ? worklist.items : [worklist.selected], pixelSize);
}

async function greet() {
  try {
    const [model] = await readModels();
    showFault("");
    if (byId("key-form").contains(document.activeElement)) byId("files").focus();
    byId("key-form").hidden = true;
    byId("model").hidden = false;
    byId("model").textContent = `${model.name} ${model.version}, ${model.backend} ${model.precision}`;
    picture.offer(model);
    tryAgain(isLockedOut);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.code === "unauthorized") askForKey(problem);
    else {
      showFault(problem.detail);
      setTimeout(greet, RETRY_MS);
    }
  }
}

function askForKey(problem) {
  const isSecond = !byId("key-form").hidden && byId("key").value;
  showFault(isSecond ? problem.detail : "");
  byId("key-form").hidden = false;
}

/** Bring the picture into sight where it is not, as on a phone, for whoever has just chosen one. */
function reveal() {
  const { top, height } = byId("stage").getBoundingClientRect();
  const middle = top + height / 2;
  if (middle < 0 || middle > innerHeight) byId("viewer").scrollIntoView();
}

function tryAgain(isMeant) {
  for (const item of worklist.items.filter(isMeant)) worklist.measureAgain([item], item.pixelSize);
}

function isLockedOut(item) {
  return item.problem?.code === "unauthorized";
}

function showFault(sentence) {
  byId("service-fault").textContent = sentence;
  byId("service-fault").hidden = !sentence;
}

async function offerExamples() {
  const examples = await (await readShipped("web/examples/examples.json")).json();
  byId("example-list").replaceChildren(...examples.map((example) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const image = Object.assign(document.createElement("img"), {
      src: `web/examples/${example.file}`, alt: "", loading: "lazy", width: 80, height: 54,
    });
    button.append(image, example.title);
    button.addEventListener("click", () => takeExample(example));
    const line = document.createElement("li");
    line.append(button);
    return line;
  }));
  byId("examples").hidden = false;
}

async function takeExample({ file, pixel_size_x_mm, pixel_size_y_mm, head_circumference_mm }) {
  const blob = await (await readShipped(`web/examples/${file}`)).blob();
  addFiles([new File([blob], file, { type: blob.type })], {
    pixelSize: { xMm: pixel_size_x_mm, yMm: pixel_size_y_mm }, truthMm: head_circumference_mm,
  });
  worklist.select(worklist.items.at(-1));
}

worklist.addEventListener("change", () => {
  const { selected, items } = worklist;
  rows.show();
  showResult(selected);
  picture.show(selected);
  pixelForm.offerApply({ one: Boolean(selected), all: items.length > 1 });
});
worklist.addEventListener("finished", ({ detail: item }) => {
  byId("live").textContent = toAnnouncement(item);
  if (isLockedOut(item)) askForKey(item.problem);
});

byId("files").addEventListener("change", ({ target }) => {
  addFiles([...target.files]);
  reveal();
  target.value = ""; // so that the same file can be chosen again
});
for (const list of ["worklist-rows", "example-list"]) {
  // By a key, `detail` is 0: then the page stays where the focus is.
  byId(list).addEventListener("click", ({ detail, target }) => {
    if (detail > 0 && target.closest("button")) reveal();
  });
}
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  greet();
});
byId("again").addEventListener("click", () => {
  byId("result").focus({ preventScroll: true }); // the button goes
  tryAgain(mayPass);
});
byId("save-csv").addEventListener("click", () => saveTable(worklist.items));
byId("clear").addEventListener("click", () => {
  worklist.clear();
  byId("files").focus();
});
byId("downloads").addEventListener("click", async ({ target }) => {
  if (!target.dataset.save) return;
  const item = worklist.selected; // another may be by the time of a fault
  try {
    await saveResult(item, target.dataset.save);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    byId("picture-fault").textContent = `${item.name} was not saved: ${problem.detail}`;
    byId("picture-fault").hidden = false;
  }
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) byId("drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  addFiles([...event.dataTransfer.files]);
});

greet();
offerExamples();
