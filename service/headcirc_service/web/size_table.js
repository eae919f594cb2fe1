// A CSV table of pixel sizes, read as the command line reads it (headcirc/batch/pixel_size_table.py), and which
// of its rows is whose. A row that fits several images is no image's.

import { toPath } from "./dicom_files.js";
import { isPixelSize, LEAST_MM, MOST_MM } from "./size_fields.js";

const NAME_COLUMNS = ["filename", "file", "name", "image"];
const SIZE_COLUMNS = ["pixel size(mm)", "pixel_size_mm"];
const [X_COLUMN, Y_COLUMN] = ["pixel_size_x_mm", "pixel_size_y_mm"];
const MARKS = [",", ";", "\t"]; // between columns: semicolons where decimals have a comma
const STATED_MARK = "sep="; // begins a first line by which a spreadsheet says what stands between columns
const NUMBER = /^\s*\+?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?\s*$/i;

/** A table that cannot be used, and why. */
export class SizeTableError extends Error {}

/** Read a file: a map of name to {xMm, yMm}. */
export async function readSizes(file) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new SizeTableError("The table cannot be read; choose a CSV file in UTF-8.");
  }
  return parseSizes(text);
}

export function parseSizes(text) {
  const [header, ...rows] = toRows(text.replace(/^\uFEFF/, ""));
  const columns = (header?.cells ?? []).map((name) => name.trim());
  const { nameAt, xAt, yAt } = findColumns(columns);
  const sizes = new Map();
  for (const { cells, line } of rows) {
    if (cells.slice(columns.length).some(Boolean)) {
      throw new SizeTableError(`Line ${line} of the table has more fields than there are columns; write decimals with a point, or semicolons between columns.`);
    }
    if (!cells.some(Boolean)) continue; // as a spreadsheet ends a table
    if (cells.length <= Math.max(xAt, yAt)) {
      throw new SizeTableError(`Line ${line} of the table has no field for the pixel size; separate the fields as in the first line.`);
    }
    if (!cells[nameAt]?.trim()) throw new SizeTableError(`Line ${line} of the table names no image; fill it in, or leave out the line.`);
    const name = toKey(cells[nameAt]);
    const size = toSize(cells[xAt], cells[yAt], line);
    const old = sizes.get(name) ?? size;
    if (old.xMm !== size.xMm || old.yMm !== size.yMm) {
      throw new SizeTableError(`Line ${line} of the table gives ${name} another pixel size than a line above; keep one.`);
    }
    sizes.set(name, size);
  }
  return sizes;
}

/** Each item's size by the longest end of its file's path that is in the table, or null. */
export function matchSizes(items, sizes) {
  const counts = new Map();
  const named = items.map((item) => [item, findName(toPath(item.file), sizes)]);
  for (const [, name] of named) counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const [name, count] of counts) {
    if (name !== null && count > 1) {
      throw new SizeTableError(`${name} in the table fits ${count} images; add one folder's images at a time.`);
    }
  }
  return named.map(([item, name]) => [item, name === null ? null : sizes.get(name)]);
}

function findColumns(columns) {
  const find = (names) => names.find((name) => columns.includes(name));
  const [name, size] = [find(NAME_COLUMNS), find(SIZE_COLUMNS)];
  const count = columns.filter((each) => [...SIZE_COLUMNS, X_COLUMN, Y_COLUMN].includes(each)).length;
  if (count > (size ? 1 : 2)) {
    throw new SizeTableError(`The table has ${count} columns of pixel sizes; keep one for square pixels, or ${X_COLUMN} and ${Y_COLUMN}.`);
  }
  if (!name || !(size || (columns.includes(X_COLUMN) && columns.includes(Y_COLUMN)))) {
    throw new SizeTableError(`The table has the columns ${columns.join(", ")}; needed are filename and pixel_size_mm (or ${X_COLUMN} and ${Y_COLUMN}).`);
  }
  return {
    nameAt: columns.indexOf(name),
    xAt: columns.indexOf(size ?? X_COLUMN),
    yAt: columns.indexOf(size ?? Y_COLUMN),
  };
}

/** The table's lines as cells, with the number of the line that each ends on; empty lines are left out. */
function toRows(text) {
  const lines = text.match(/[^\r\n]*(\r\n|\n|\r|$)/g);
  const isStated = lines[0].startsWith(STATED_MARK);
  const mark = findMark(lines[Number(isStated)] ?? "");
  const cellAt = new RegExp(`("(?:[^"]|"")*"|[^"${mark}\\r\\n]*)(${mark}|\\r\\n|\\n|\\r|$)`, "y");
  const rows = [];
  let [cells, line] = [[], 1 + Number(isStated)];
  cellAt.lastIndex = isStated ? lines[0].length : 0;
  while (cellAt.lastIndex < text.length || cells.length) {
    const found = cellAt.exec(text);
    if (!found) throw new SizeTableError(`Line ${line} of the table has a quotation mark too many.`);
    const [, cell, end] = found;
    cells.push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    line += cell.split(/\r\n|\n|\r/).length - 1;
    if (end === mark) continue;
    if (cells.length > 1 || cells[0]) rows.push({ cells, line });
    cells = [];
    line += 1;
    if (!end) break;
  }
  return rows;
}

/** What stands between the columns: with it the header names a file's column and a size's. */
function findMark(header) {
  const isHeader = (mark) => {
    const names = header.split(mark).map((name) => name.trim().replace(/^"(.*)"$/, "$1").trim());
    return names.some((name) => NAME_COLUMNS.includes(name))
      && names.some((name) => [...SIZE_COLUMNS, X_COLUMN].includes(name));
  };
  const score = (mark) => Number(isHeader(mark)) * header.length + header.split(mark).length;
  return MARKS.reduce((best, mark) => (score(mark) > score(best) ? mark : best));
}

function toSize(x, y, line) {
  const [xMm, yMm] = [x, y].map((text) => (NUMBER.test(text) ? Number(text.replace(",", ".")) : Number.NaN));
  if (!isPixelSize(xMm) || !isPixelSize(yMm)) {
    throw new SizeTableError(
      `Line ${line} of the table has “${x === y ? x : `${x} × ${y}`}” as pixel size; write mm from ${LEAST_MM} to ${MOST_MM}, or leave out the line where they are unknown.`,
    );
  }
  return { xMm, yMm };
}

/** A path as it is compared: without `./`, an umlaut as one letter (a Mac has two). */
function toKey(name) {
  return name.split("/").filter((part, i) => part !== "." && (part || i === 0)).join("/").normalize("NFC");
}

function findName(path, sizes) {
  const parts = toKey(path).split("/");
  const ends = parts.map((_, start) => parts.slice(start).join("/"));
  return ends.find((end) => sizes.has(end)) ?? null;
}
