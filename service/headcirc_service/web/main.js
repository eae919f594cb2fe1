// The page put together: who tells whom. Each part is in a file of its own.

import { Problem, readEmbedOrigins, readModels, useKey } from "./api.js";
import { Picture } from "./picture.js";
import { BatchSizeForm } from "./batch_size.js";
import { Calibration } from "./calibrate.js";
import { Callipers } from "./callipers.js";
import { CinePanel, isVideo } from "./cine/panel.js";
import { Correction } from "./correction.js";
import { findImages, readDropped } from "./dicom_files.js";
import { AgeForm, GrowthChart } from "./growth.js";
import { Host, isEmbedded } from "./embed/host.js";
import { foldExamples, offerExamples } from "./examples.js";
import { Keeper } from "./keep/keeper.js";
import { KeepPanel } from "./keep/panel.js";
import { keepPreferences } from "./keep/preferences.js";
import { ListActions } from "./list/actions.js";
import { PixelSizeForm } from "./pixel_size.js";
import { offerDownloads, showDownloads } from "./report/downloads.js";
import { Report } from "./report/report.js";
import { showResult } from "./result.js";
import { ScaleProposal } from "./scale_proposal.js";
import { Rows } from "./rows.js";
import { saveTable } from "./save.js";
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
    // It may have been measured again, for example with another pixel size: then it is another result.
    if (item.analysis?.id !== analysis.id) return;
    Object.assign(item, { analysis, lastCorrection: analysis.correction });
    worklist.dispatchEvent(new Event("change"));
    byId("live").textContent = toAnnouncement(item);
  },
});
const callipers = new Callipers(viewer, {
  onChange: () => showResult(worklist.selected),
  onClosed: () => worklist.dispatchEvent(new Event("change")),
});
const rows = new Rows(worklist);
const report = new Report(() => worklist.selected);
const keeper = new Keeper(worklist);
new ListActions(worklist, rows, {
  onCleared: () => {
    showNote("", "hint");
    byId("files").focus();
  },
});
const pixelForm = new PixelSizeForm({
  onTyped: (item, draft) => worklist.setDraft(item, draft),
  onApply: applyPixelSize,
});
const batchForm = new BatchSizeForm({
  onSize: (size, origin) => {
    const isOwn = (item) => origin === "measured" && item === worklist.selected;
    worklist.setSizes(worklist.held.map((item) => [item, size, isOwn(item) ? origin : "inherited"]));
    rows.focusSelected(); // the question goes
    reveal();
  },
});

const ageForm = new AgeForm({
  onApply: (days, isForAll) => worklist.setAge(isForAll ? worklist.items : [worklist.selected], days),
});
const growthChart = new GrowthChart();
const cinePanel = new CinePanel({
  onFrame: (file, frame, pixelSize) => {
    const known = worklist.items.find((item) => item.file === file && item.frame === frame);
    if (known) worklist.select(known);
    else worklist.add([file], { pixelSize, frame });
    reveal();
  },
  onLockedOut: askForKey,
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
  if (!found.length) return;
  worklist.setSizes([...found, ...rest].map(([item, size]) => [item, size, "table"]));
  reveal();
}

async function addFiles(files) {
  const video = files.find(isVideo);
  if (video) cinePanel.measure(video);
  files = files.filter((file) => !isVideo(file));
  if (!files.length) return;
  const tables = files.filter(({ name }) => /\.csv$/i.test(name));
  const { images, calibrated, note } = await findImages(files.filter((file) => !tables.includes(file)));
  showNote(note, "hint");
  worklist.add(images, { calibrated });
  if (images.length === 1) reveal();
  if (tables.length) await applyTable(tables[0], worklist.held.length ? worklist.held : toMeasurable());
}

function toMeasurable() {
  return worklist.items.filter(({ file }) => file);
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

/** Bring the picture and its number into sight where they are not, as on a phone, for whoever has just chosen one. */
function reveal() {
  const [picture, number] = ["viewer", "result"].map((id) => byId(id).getBoundingClientRect());
  if (number.top >= picture.bottom) byId("viewer").scrollIntoView(); // one below the other
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

function takeExample(file, { pixel_size_x_mm, pixel_size_y_mm, head_circumference_mm }) {
  const isByKey = byId("examples").contains(document.activeElement) || byId("try-example") === document.activeElement;
  worklist.add([file], {
    pixelSize: { xMm: pixel_size_x_mm, yMm: pixel_size_y_mm }, truthMm: head_circumference_mm,
  });
  if (isByKey) rows.focusSelected(); // the button is folded away
  else reveal();
}

worklist.addEventListener("change", () => {
  const { selected, items } = worklist;
  document.body.classList.toggle("has-items", items.length > 0);
  foldExamples(items.length > 0);
  rows.show();
  showResult(selected);
  picture.show(selected);
  showDownloads(selected);
  pixelForm.show(selected, items);
  batchForm.show(worklist.held.length);
  proposal.show(selected);
  ageForm.show(selected, items);
  growthChart.show(selected);
});
worklist.addEventListener("finished", ({ detail: item }) => {
  byId("live").textContent = toAnnouncement(item);
  if (isLockedOut(item)) askForKey(item.problem);
});

for (const id of ["files", "folder"]) {
  byId(id).addEventListener("change", ({ target }) => {
    addFiles([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
}
for (const [id, toItems] of [["batch-table", () => worklist.held], ["all-table", toMeasurable]]) {
  byId(id).addEventListener("change", ({ target }) => {
    if (target.files.length) applyTable(target.files[0], toItems());
    target.value = "";
  });
}
// By a key, `detail` is 0: then the page stays where the focus is.
byId("worklist-rows").addEventListener("click", ({ detail, target }) => {
  if (detail > 0 && target.closest("button")) reveal();
});
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
byId("print-all").addEventListener("click", () => report.print(rows.visible));
offerDownloads({ toItem: () => worklist.selected, picture, report });
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
  readDropped(event.dataTransfer).then(addFiles);
});

greet();
offerExamples(takeExample);
if (isEmbedded) new Host(worklist, readEmbedOrigins());
else {
  new KeepPanel(keeper, worklist);
  keeper.begin().then(() => keepPreferences(keeper));
}
