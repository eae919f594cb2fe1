// The service over HTTP: requests in, JSON and pictures out. Paths are relative, so that the page
// works behind a reverse proxy's prefix, too. The key is kept in memory only.

let key = "";

/** An answer that is an error, in the words of its problem document. */
export class Problem extends Error {
  constructor({ code, detail, status = 0 }, retryAfterS = 1) {
    super(detail);
    Object.assign(this, { code, detail, status, retryAfterS });
  }
}

export function useKey(given) {
  key = given;
}

export async function readModels() {
  return (await request("v1/models", "json")).models;
}

/** Find the depth scale beside a picture; nothing is measured. */
export async function findScale(file, frame = null) {
  await requireReadable(file);
  const form = new FormData();
  form.append("image", file);
  if (frame !== null) form.append("frame", frame);
  return request("v1/scale-bar", "json", { method: "POST", body: form });
}

/**
 * Measure one file; `pixelSize` is {xMm, yMm}, or null where it is unknown. With `markMm` the service finds the depth
 * scale again, whose marks are so far apart. `ageDays` is the gestational age, `frame` that of a cine, or null.
 */
export async function analyse(file, pixelSize, ageDays = null, frame = null) {
  await requireReadable(file);
  const form = toForm(file, pixelSize);
  if (ageDays !== null) form.append("gestational_age_days", ageDays);
  if (frame !== null) form.append("frame", frame);
  return request("v1/analyses", "json", { method: "POST", body: form });
}

/** Measure every frame of a cine: yields the lines of the answer, and ends early when `signal` is aborted. */
export async function* streamCine(file, pixelSize, signal) {
  await requireReadable(file);
  const answer = await send("v1/cine", { method: "POST", body: toForm(file, pixelSize), signal });
  if (!answer.ok) throw await toProblem(answer);
  let left = "";
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (left + text).split("\n");
    left = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function toForm(file, pixelSize) {
  const form = new FormData();
  form.append("image", file);
  if (pixelSize?.markMm) {
    form.append("scale_mark_mm", pixelSize.markMm);
  } else if (pixelSize && pixelSize.xMm === pixelSize.yMm) {
    form.append("pixel_size_mm", pixelSize.xMm);
  } else if (pixelSize) {
    form.append("pixel_size_x_mm", pixelSize.xMm);
    form.append("pixel_size_y_mm", pixelSize.yMm);
  }
  return form;
}

/** What the browser cannot read would look like a broken connection. */
async function requireReadable(file) {
  if (!file) {
    const detail = "The service keeps pictures for some minutes only, and this browser did not keep the image. Choose the file again.";
    throw new Problem({ code: "image-not-kept", detail });
  }
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    const detail = "The browser cannot read it: it is a folder, or was changed or moved after it was chosen. Choose the file again.";
    throw new Problem({ code: "unreadable-file", detail });
  }
}

export async function readPicture(path) {
  return request(path.replace(/^\//, ""), "blob");
}

/** A picture of a result. One that the service no longer keeps is measured again, with the same id and correction. */
export async function readKept(item, path) {
  const { analysis } = item; // the item may be measured again meanwhile
  try {
    return await readPicture(path);
  } catch (problem) {
    if (problem.code !== "not-found" || !analysis) throw problem;
    await revive(item, analysis);
    return readPicture(path);
  }
}

/** The current version of a result, as {analysis, etag}; measured again where the service no longer keeps it. */
export async function readVersion(item) {
  const { analysis } = item;
  const path = analysis.links.self.replace(/^\//, "");
  try {
    return await request(path, "version");
  } catch (problem) {
    if (problem.code !== "not-found") throw problem;
    await revive(item, analysis);
    return request(path, "version");
  }
}

/** Have a result that the service no longer keeps measured again, and give it the correction that the page has. */
async function revive(item, { correction, links }) {
  await analyse(item.file, item.pixelSize, item.ageDays, item.frame ?? null);
  if (!correction) return;
  const version = await request(links.self.replace(/^\//, ""), "version");
  if (version.analysis.correction) return; // another person was faster
  const { by, note, head: { ellipse } } = correction;
  try {
    await saveCorrection(version, { ellipse, by, note });
  } catch (problem) {
    if (problem.code !== "precondition-failed") throw problem;
  }
}

/** Put an ellipse beside the automatic one of the version that was read; returns the new version. */
export async function saveCorrection(version, drawn) {
  const headers = { "content-type": "application/json" };
  return changeVersion(version, { method: "PUT", headers, body: JSON.stringify(drawn) });
}

/** Go back to the automatic ellipse; returns the new version. */
export async function removeCorrection(version) {
  return changeVersion(version, { method: "DELETE" });
}

async function changeVersion({ analysis, etag }, options) {
  const headers = { ...options.headers, "if-match": etag };
  return request(analysis.links.correction.replace(/^\//, ""), "version", { ...options, headers });
}

/** A proxy that compresses answers marks their tags as weak, and a weak one never matches. */
async function toVersion(answer) {
  return { analysis: await answer.json(), etag: answer.headers.get("etag")?.replace(/^W\//, "") ?? "" };
}

/** The origins of viewers that may hand images to the page. */
export async function readEmbedOrigins() {
  return (await readShipped("web/embed/origins.json")).json();
}

export async function readShipped(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Problem({ code: "not-found", detail: "A file of this page is missing." });
  return answer;
}

/** An answer's content, `json`, `blob` or `version`; one that breaks off, or is none of the service's, is a problem, too. */
async function request(path, kind, options = {}) {
  let answer;
  try {
    answer = await send(path, options);
    if (answer.ok) return await (kind === "version" ? toVersion(answer) : answer[kind]());
  } catch {
    throw toUnreachable();
  }
  throw await toProblem(answer);
}

function send(path, options) {
  const headers = { ...options.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  return fetch(path, { ...options, headers });
}

/** The problem of a connection that broke. */
export function toUnreachable() {
  return new Problem({
    code: "unreachable",
    detail: "The connection broke before the service's answer came. Is it running, and the file not too large for it?",
  });
}

async function toProblem(answer) {
  const retryAfterS = Number(answer.headers.get("retry-after")) || 1;
  const facts = await answer.json().catch(() => null);
  if (typeof facts?.detail === "string") return new Problem(facts, retryAfterS);
  const detail = `The answer was an error (${answer.status}) that says no more.`;
  return new Problem({ code: "unknown", detail, status: answer.status }, retryAfterS);
}
