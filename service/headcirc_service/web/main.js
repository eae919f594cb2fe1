// The page put together: who tells whom. Each part is in a file of its own.

import { Problem, readModels, readShipped, useKey } from "./api.js";
import { Picture } from "./picture.js";
import { BatchSizeForm } from "./batch_size.js";
import { Calibration } from "./calibrate.js";
import { Callipers } from "./callipers.js";
import { Correction } from "./correction.js";
import { PixelSizeForm } from "./pixel_size.js";
import { showResult } from "./result.js";
import { ScaleProposal } from "./scale_proposal.js";
import { Rows } from "./rows.js";
import { saveResult, saveTable } from "./save.js";
import { matchSizes, readSizes, SizeTableError } from "./size_table.js";
import { Viewer } from "./viewer.js";
import { mayPass, toAnnouncement, toSiteText } from "./words.js";
import { Worklist } from "./worklist.js";

const byId = (id) => document.getElementById(id);
const RETRY_MS = 3000;

const worklist = new Worklist();
const viewer = new Viewer();
const picture = new Picture(viewer);
const calibration = new Calibration(viewer, {
  onSize: (sizeMm) => (byId("batch-form").hidden ? pixelForm : batchForm).measured(sizeMm),
});
const proposal = new ScaleProposal(viewer, {
  onUse: (item, size) => worklist.setSizes([[item, size, "scale"]]),
});
const correction = new Correction(viewer, {
  onVersion: (item, analysis) => {
    // Measured anew meanwhile, with another pixel size, say: then it is another result.
    if (item.analysis?.id !== analysis.id) return;
    item.analysis = analysis;
    worklist.dispatchEvent(new Event("change"));
    byId("live").textContent = toAnnouncement(item);
  },
});
const callipers = new Callipers(viewer, { onChange: () => showResult(worklist.selected) });
const rows = new Rows(worklist);
const pixelForm = new PixelSizeForm({
  onTyped: (item, draft) => worklist.setDraft(item, draft),
  onApply: applyPixelSize,
});
const batchForm = new BatchSizeForm({
  onSize: (size, origin) => {
    const isOwn = (item) => origin === "measured" && item === worklist.selected;
    worklist.setSizes(worklist.held.map((item) => [item, size, isOwn(item) ? origin : "inherited"]));
    byId("worklist-rows").querySelector("[aria-pressed=true]").focus({ preventScroll: true }); // the question goes
    reveal();
  },
});

function applyPixelSize(size, { isForAll, origin }) {
  const { items, selected } = worklist;
  const given = isForAll ? items : [selected];
  worklist.setSizes(given.map((item) => [item, size, item === selected ? origin : "inherited"]));
}

/** Give images the sizes of a table; those without a row stay as they are, or have none. */
async function applyTable(file, items) {
  let matched;
  try {
    matched = matchSizes(items, await readSizes(file));
  } catch (error) {
    if (!(error instanceof SizeTableError)) throw error;
    showNote(error.message, "fault");
    return;
  }
  const found = matched.filter(([, size]) => size);
  const rest = matched.filter(([item, size]) => !size && item.state === "held");
  showNote(`The table has a row for ${found.length} of ${items.length} images.`, "hint");
  // Where it fits no image, the question stays: another table may have been meant.
  if (found.length) worklist.setSizes([...found, ...rest].map(([item, size]) => [item, size, "table"]));
}

function addFiles(files) {
  showNote("", "hint");
  worklist.add(files);
  if (files.length === 1) reveal();
}

function showNote(sentence, kind) {
  byId("size-note").className = kind;
  byId("size-note").textContent = sentence;
  byId("size-note").hidden = !sentence;
}

async function greet() {
  try {
    const [model] = await readModels();
    showFault("");
    if (byId("key-form").contains(document.activeElement)) byId("files").focus();
    byId("key-form").hidden = true;
    byId("model").hidden = false;
    const name = `${model.name} ${model.version}, ${model.backend} ${model.precision}`;
    byId("model").textContent = model.site ? `${name}. ${toSiteText(model.site)}` : name;
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
  worklist.measureAgain(worklist.items.filter(isMeant));
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
  worklist.add([new File([blob], file, { type: blob.type })], {
    pixelSize: { xMm: pixel_size_x_mm, yMm: pixel_size_y_mm }, truthMm: head_circumference_mm,
  });
}

worklist.addEventListener("change", () => {
  const { selected, items } = worklist;
  rows.show();
  showResult(selected);
  picture.show(selected);
  pixelForm.show(selected, items);
  batchForm.show(worklist.held.length);
  proposal.show(selected);
});
worklist.addEventListener("finished", ({ detail: item }) => {
  byId("live").textContent = toAnnouncement(item);
  if (isLockedOut(item)) askForKey(item.problem);
});

byId("files").addEventListener("change", ({ target }) => {
  addFiles([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
for (const [id, toItems] of [["batch-table", () => worklist.held], ["all-table", () => worklist.items]]) {
  byId(id).addEventListener("change", ({ target }) => {
    if (target.files.length) applyTable(target.files[0], toItems());
    target.value = "";
  });
}
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
for (const id of ["pixel-measure", "batch-measure"]) {
  byId(id).addEventListener("click", ({ target }) => {
    reveal();
    if (viewer.size.width > 1) calibration.begin(target);
    else showNote("This browser cannot show this file before it is measured.", "fault");
  });
}
byId("correct-open").addEventListener("click", ({ target }) => {
  reveal();
  correction.begin(worklist.selected, target);
});
byId("callipers-open").addEventListener("click", ({ target }) => {
  reveal();
  callipers.begin(worklist.selected, target);
});
byId("again").addEventListener("click", () => {
  byId("result").focus({ preventScroll: true }); // the button goes
  tryAgain(mayPass);
});
byId("save-csv").addEventListener("click", () => saveTable(worklist.items));
byId("clear").addEventListener("click", () => {
  showNote("", "hint");
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
