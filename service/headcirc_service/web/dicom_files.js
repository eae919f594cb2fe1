// Which of the files that are chosen or dropped are images, as the command line finds them (headcirc/batch/files.py):
// folders are searched, DICOM files need no suffix, and a DICOMDIR stands for the pictures that it lists.

const [MARK, MARK_AT] = ["DICM", 128];
const SUFFIX = /\.(png|jpe?g|bmp|tiff?|webp|dcm|dicom|ima)$/i;
const MAYBE_DICOM = /^[^.]+$|\.\d+$/; // no suffix, or digits as in a UID
const DRAWN = /(_Annotation|_overlay)\.[^.]+$/;
const DIRECTORY = "dicomdir";
const MOST_DIRECTORY_BYTES = 50_000_000;
const LONG_KINDS = ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"];
const [ITEM, ITEM_END, SEQUENCE_END] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const [RECORDS, RECORD_TYPE, FILE_ID, SYNTAX] = [0x00041220, 0x00041430, 0x00041500, 0x00020010];
const EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"; // the only one that the standard allows a DICOMDIR
const UNDEFINED = 0xffffffff;

const paths = new WeakMap(); // of files that were dropped in a folder, which carry no path themselves

/** A file's path from the folder that was chosen or dropped; its name where it was given by itself. */
export function toPath(file) {
  return paths.get(file) ?? (file.webkitRelativePath || file.name);
}

/** All files of a drop, with those of its folders; must be called in the drop's own event. */
export async function readDropped({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...files];
  return (await Promise.all(entries.map(readEntry))).flat();
}

async function readEntry(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); }).catch(() => null);
    if (file) paths.set(file, entry.fullPath.replace(/^\//, ""));
    return file ? [file] : [];
  }
  const reader = entry.createReader();
  const inside = [];
  for (;;) { // a browser gives some hundred at a time
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); }).catch(() => []);
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map(readEntry))).flat();
}

/**
 * Return {images, calibrated, note}: the files to measure; those among them that state their own pixel size, because
 * they are DICOM; and what a person should know about what is missing, or "".
 */
export async function findImages(files) {
  const isDicom = new Set();
  await Promise.all(files.map(async (file) => (await hasMark(file)) && isDicom.add(file)));
  const directories = files.filter((file) => isDicom.has(file) && toName(file).toLowerCase() === DIRECTORY);
  const lists = await Promise.all(directories.map((file) => readDirectory(file, files)));
  const images = files
    .filter((file) => !directories.includes(file) && isWanted(file, { isDicom, lists }))
    .sort((a, b) => (isInFolder(a) && isInFolder(b) ? toPath(a).localeCompare(toPath(b), "en", { numeric: true }) : 0));
  return { images, calibrated: new Set(images.filter((file) => isDicom.has(file))), note: toNote({ files, images, lists }) };
}

/** What is chosen by itself is taken as it is; of a folder, what looks like an image. */
function isWanted(file, { isDicom, lists }) {
  if (lists.some(({ listed }) => listed.has(file))) return true;
  if (!isInFolder(file)) return true;
  const name = toName(file);
  const isHidden = toPath(file).split("/").some((part) => part.startsWith("."));
  if (isHidden || DRAWN.test(name)) return false;
  const isBelowList = lists.some(({ folder }) => folder !== null && toPath(file).startsWith(folder));
  if (isDicom.has(file) && isBelowList) return false; // the list leaves it out: it is no picture
  return SUFFIX.test(name) || (MAYBE_DICOM.test(name) && isDicom.has(file));
}

/** The files of `files` that a DICOMDIR lists, how many are missing, and its folder; null where it cannot be read. */
async function readDirectory(directory, files) {
  let names;
  try {
    names = listPictures(await directory.slice(0, MOST_DIRECTORY_BYTES).arrayBuffer());
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof DOMException)) throw error;
    return { listed: new Set(), missing: 0, folder: null, isAlone: !isInFolder(directory) };
  }
  const folder = toPath(directory).slice(0, -toName(directory).length);
  const byPath = new Map(files.map((file) => [toPath(file).toLowerCase(), file]));
  const found = names.map((name) => byPath.get((folder + name).toLowerCase()));
  const listed = new Set(found.filter(Boolean));
  return { listed, missing: found.length - found.filter(Boolean).length, folder, isAlone: !isInFolder(directory) };
}

function toNote({ files, images, lists }) {
  const missing = lists.reduce((sum, list) => sum + list.missing, 0);
  if (lists.some(({ folder }) => folder === null)) return "The DICOMDIR cannot be read; the DICOM files of its folder were taken.";
  if (missing && lists.some(({ isAlone }) => isAlone)) return "A DICOMDIR only lists pictures: choose the folder that holds it.";
  if (missing) return `The DICOMDIR lists ${missing} ${missing === 1 ? "picture that is" : "pictures that are"} not in this folder.`;
  return files.length && !images.length ? "The folder holds no image." : "";
}

/** Paths of the pictures that a DICOMDIR lists, from its own folder; RangeError where it is damaged. */
export function listPictures(buffer) {
  const view = new DataView(buffer);
  const elements = readElements(view, MARK_AT + MARK.length, view.byteLength).elements;
  if (toText(elements.get(SYNTAX)) !== EXPLICIT_LITTLE) throw new RangeError("no DICOMDIR");
  const records = elements.get(RECORDS);
  if (!Array.isArray(records)) throw new RangeError("no records");
  return records
    .filter((record) => toText(record.get(RECORD_TYPE)) === "IMAGE")
    .map((record) => toText(record.get(FILE_ID)).split("\\").map((part) => part.trim()).join("/"))
    .filter(Boolean);
}

/** Elements by tag, from `at` to `end` or to an item's end: bytes, or for a sequence its items. */
function readElements(view, at, end) {
  const elements = new Map();
  while (at < end) {
    const tag = readTag(view, at);
    if (tag === ITEM_END) return { elements, at: at + 8 };
    const kind = String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5));
    const isLong = LONG_KINDS.includes(kind);
    const length = isLong ? view.getUint32(at + 8, true) : view.getUint16(at + 6, true);
    at += isLong ? 12 : 8;
    if (kind === "SQ") {
      const found = readItems(view, at, length === UNDEFINED ? end : at + length);
      elements.set(tag, found.items);
      at = found.at;
    } else {
      if (at + length > end) throw new RangeError("a value is cut off");
      elements.set(tag, new Uint8Array(view.buffer, view.byteOffset + at, length));
      at += length;
    }
  }
  return { elements, at };
}

function readItems(view, at, end) {
  const items = [];
  while (at < end) {
    const tag = readTag(view, at);
    const length = view.getUint32(at + 4, true);
    at += 8;
    if (tag === SEQUENCE_END) break;
    if (tag !== ITEM) throw new RangeError("no item");
    const found = readElements(view, at, length === UNDEFINED ? end : at + length);
    items.push(found.elements);
    at = found.at;
  }
  return { items, at };
}

function readTag(view, at) {
  return view.getUint16(at, true) * 0x10000 + view.getUint16(at + 2, true);
}

function toText(bytes) {
  return bytes instanceof Uint8Array ? new TextDecoder("latin1").decode(bytes).replace(/[\0 ]+$/, "") : "";
}

async function hasMark(file) {
  try {
    return (await file.slice(MARK_AT, MARK_AT + MARK.length).text()) === MARK;
  } catch {
    return false; // the browser cannot read it: the service's question says so
  }
}

function toName(file) {
  return toPath(file).split("/").at(-1);
}

function isInFolder(file) {
  return toPath(file).includes("/");
}
