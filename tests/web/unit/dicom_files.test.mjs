import assert from "node:assert/strict";
import test from "node:test";

import { findImages, listPictures, readDropped, toPath } from "../../../service/headcirc_service/web/dicom_files.js";

const encode = (text) => [...new TextEncoder().encode(text)];
const u16 = (value) => [value & 255, value >> 8];
const u32 = (value) => [...u16(value & 0xffff), ...u16(value >>> 16)];

function element(group, number, kind, value) {
  const bytes = value.length % 2 ? [...value, 32] : value;
  const isLong = ["SQ", "OB"].includes(kind);
  return [...u16(group), ...u16(number), ...encode(kind), ...(isLong ? [0, 0, ...u32(bytes.length)] : u16(bytes.length)), ...bytes];
}

const item = (value) => [...u16(0xfffe), ...u16(0xe000), ...u32(value.length), ...value];
const openItem = (value) => [...u16(0xfffe), ...u16(0xe000), ...u32(0xffffffff), ...value, ...u16(0xfffe), ...u16(0xe00d), ...u32(0)];
const openSequence = (group, number, value) =>
  [...u16(group), ...u16(number), ...encode("SQ"), 0, 0, ...u32(0xffffffff), ...value, ...u16(0xfffe), ...u16(0xe0dd), ...u32(0)];

function record(kind, name) {
  const icon = openSequence(0x0088, 0x0200, openItem(element(0x0028, 0x0010, "US", u16(64))));
  return [...element(0x0004, 0x1430, "CS", encode(kind)), ...(name ? element(0x0004, 0x1500, "CS", encode(name)) : []), ...icon];
}

function directory(records, { isOpen = false, syntax = "1.2.840.10008.1.2.1\0" } = {}) {
  const items = records.flatMap((each) => (isOpen ? openItem(each) : item(each)));
  const list = isOpen ? openSequence(0x0004, 0x1220, items) : element(0x0004, 0x1220, "SQ", items);
  return new Uint8Array([...new Array(128).fill(0), ...encode("DICM"), ...element(0x0002, 0x0010, "UI", encode(syntax)), ...list]).buffer;
}

const RECORDS = [record("PATIENT"), record("IMAGE", "PAT1\\SE 2\\IM1"), record("SR DOCUMENT", "PAT1\\SR1"), record("IMAGE", "PAT1\\IM2")];

for (const isOpen of [false, true]) {
  test(`a DICOMDIR lists its pictures, ${isOpen ? "without" : "with"} lengths of items`, () => {
    assert.deepEqual(listPictures(directory(RECORDS, { isOpen })), ["PAT1/SE 2/IM1", "PAT1/IM2"]);
  });
}

test("a damaged or foreign DICOMDIR is refused", () => {
  const whole = directory(RECORDS);
  for (const end of [100, 140, 180, whole.byteLength - 3]) {
    assert.throws(() => listPictures(whole.slice(0, end)), RangeError);
  }
  assert.throws(() => listPictures(directory(RECORDS, { syntax: "1.2.840.10008.1.2\0" })), RangeError);
  assert.throws(() => listPictures(new ArrayBuffer(0)), RangeError);
});

const toFile = (name, bytes) => new File([bytes], name);
const DICOM = new Uint8Array([...new Array(128).fill(0), ...encode("DICM")]);

function toEntry(name, content, path = `/${name}`) {
  if (content instanceof File) {
    return { isFile: true, isDirectory: false, fullPath: path, file: (resolve) => resolve(content) };
  }
  const inside = Object.entries(content).map(([part, each]) => toEntry(part, each, `${path}/${part}`));
  const batches = [inside.slice(0, 1), inside.slice(1), []];
  return { isDirectory: true, fullPath: path, createReader: () => ({ readEntries: (resolve) => resolve(batches.shift() ?? []) }) };
}

test("a dropped folder is searched as a folder of the command line", async () => {
  const tree = {
    DICOMDIR: toFile("DICOMDIR", directory([record("IMAGE", "A\\IM1"), record("IMAGE", "A\\IM9")])),
    A: { im1: toFile("im1", DICOM), SR1: toFile("SR1", DICOM), "b.png": toFile("b.png", ""), ".c.png": toFile(".c.png", "") },
    "notes.txt": toFile("notes.txt", DICOM),
  };
  const files = await readDropped({ items: [{ webkitGetAsEntry: () => toEntry("cd", tree) }], files: [] });
  const { images, calibrated, note } = await findImages(files);
  assert.deepEqual(images.map(toPath), ["cd/A/b.png", "cd/A/im1"]);
  assert.deepEqual([...calibrated].map(toPath), ["cd/A/im1"]);
  assert.equal(note, "The DICOMDIR lists 1 picture that is not in this folder.");
});

test("single files are taken as they are, in their order", async () => {
  const files = [toFile("z.txt", "no picture"), toFile("IM1", DICOM), toFile("a.png", "")];
  const { images, calibrated, note } = await findImages(files);
  assert.deepEqual(images, files);
  assert.deepEqual([...calibrated], [files[1]]);
  assert.equal(note, "");
});
