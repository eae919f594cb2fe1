// The selected image on the stage: the picture itself, what was found, and the maps that explain it.

import { Problem, readKept } from "./api.js";
import { traceMask } from "./edge.js";
import { makeAxes, makeEdge, makeEllipse } from "./marks.js";
import { drawStage } from "./report/snapshot.js";
import { toCounted } from "./versions.js";
import { NOTES, toCaption, toLayerName, toStatus } from "./words.js";

const NOTHING = { width: 1, height: 1, pixelXMm: null };
const byId = (id) => document.getElementById(id);

export class Picture {
  #viewer;
  #item = null;
  #shown = null; // the analysis, or the file before there is one
  #urls = [];
  #mapsUrls = new Map();
  #maps = { saliency: [], attention: [] };

  constructor(viewer) {
    this.#viewer = viewer;
    for (const name of ["edge", "ellipse", "axes"]) {
      byId(`show-${name}`).addEventListener("change", () => this.#showMarks());
    }
    byId("views").addEventListener("change", () => this.#changeView());
    byId("layer").addEventListener("change", () => this.#showMap());
    byId("blend").addEventListener("input", () => this.#showBlend());
  }

  /** What this model can explain; what it cannot is not offered. */
  offer({ saliency_layers = [], default_saliency_layer = null, attention_levels = [] }) {
    const first = saliency_layers.filter((layer) => layer === default_saliency_layer);
    const others = saliency_layers.filter((layer) => layer !== default_saliency_layer);
    this.#maps = { saliency: [...first, ...others], attention: attention_levels };
    byId("saliency-choice").hidden = !saliency_layers.length;
    byId("attention-choice").hidden = !attention_levels.length;
  }

  /** Show an item as far as it is known; cheap when nothing changed. */
  show(item) {
    const known = item && (item.analysis ?? item.file ?? item);
    if (known === this.#shown) return;
    // One item's picture beside another's number would be wrong, however shortly.
    if (item !== this.#item) this.#viewer.open({ ...NOTHING, label: item?.name ?? "No picture yet" });
    [this.#shown, this.#item] = [known, item];
    this.#forget();
    byId("welcome").hidden = Boolean(item);
    say("stage-empty", "");
    say("picture-fault", "");
    byId("caption").hidden = true;
    byId("viewer").classList.remove("unreliable", "corrected");
    if (item) this.#open(item).catch((problem) => this.#tell(known, problem));
    if (!item?.analysis) this.#changeView();
  }

  async #open(item) {
    const { analysis } = item;
    const known = this.#shown;
    const file = await openFile(item.file);
    if (known !== this.#shown) return;
    const size = analysis ? toSize(analysis.image) : file;
    this.#viewer.open({
      width: size?.width ?? 1,
      height: size?.height ?? 1,
      pixelXMm: analysis?.image.pixel_size_x_mm ?? null,
      label: analysis ? `${item.name}: ${toStatus(item)}` : item.name,
    });
    if (analysis) {
      showCaption(analysis);
      await Promise.all([this.#changeView(), this.#drawFound(item, file)]);
      return;
    }
    if (file) this.#viewer.setPicture("base", this.#toUrl(item.file));
    say("stage-empty", file ? "" : item.file ? "This browser cannot show this file." : "The image was not kept. Choose the file again.");
  }

  /** What was found, over the picture that was measured: never over one that is turned otherwise. */
  async #drawFound({ analysis, file: content }, file) {
    const { image, links, head, quality, correction } = analysis;
    const isAsStored = file && image.orientation === 1
      && file.width === image.width_px && file.height === image.height_px;
    const url = this.#toUrl(isAsStored ? content : await readKept(this.#item, links.image));
    if (this.#shown !== analysis) return;
    this.#viewer.setPicture("base", url, { isAsStored: true });
    say("stage-empty", "");
    const counted = toCounted(analysis).head;
    if (!counted) return;
    byId("viewer").classList.toggle("unreliable", !quality.acceptable && !correction);
    byId("viewer").classList.toggle("corrected", Boolean(correction));
    const replaced = correction && head ? [makeEllipse(head.ellipse, "replaced")] : [];
    this.#viewer.layers.ellipse.replaceChildren(...replaced, makeEllipse(counted.ellipse, correction ? "corrected" : ""));
    this.#viewer.layers.axes.replaceChildren(makeAxes(counted.ellipse));
    this.#showMarks();
    if (head) await this.#drawEdge(analysis);
  }

  async #drawEdge(analysis) {
    const path = await traceMask(await readKept(this.#item, analysis.links.mask));
    if (this.#shown === analysis) this.#viewer.layers.edge.replaceChildren(makeEdge(path));
  }

  #showMarks() {
    for (const name of ["edge", "ellipse", "axes"]) {
      this.#viewer.layers[name].classList.toggle("off", !byId(`show-${name}`).checked);
    }
  }

  /** What lies over the picture: `measurement` for no map, `saliency` or `attention`. */
  get view() {
    return document.querySelector("[name=view]:checked").value;
  }

  /** Where the map that is shown is read, bare; null without one. */
  get mapPath() {
    if (byId("explain-controls").hidden) return null;
    const { links } = this.#item.analysis;
    const asked = encodeURIComponent(byId("layer").value);
    return this.view === "saliency"
      ? `${links.saliency}?layer=${asked}&format=map`
      : `${links.self}/attention?level=${asked}`;
  }

  readMap() {
    return readKept(this.#item, this.mapPath);
  }

  /** Whether the stage shows something else than the service's own overlay. */
  get isChanged() {
    const isOff = ["edge", "ellipse", "axes"].some((name) => !byId(`show-${name}`).checked);
    return this.mapPath !== null || (isOff && !byId("marks").hidden);
  }

  /** The stage as it is seen, as PNG. */
  draw() {
    const { headline, details } = toCaption(this.#item.analysis);
    const level = byId("layer").selectedOptions[0]?.text;
    const map = this.view === "saliency" ? "Grad-CAM" : "Attention";
    const sentences = this.mapPath ? [`${map}, ${level}, blend ${byId("blend-value").value}.`] : [];
    return drawStage(byId("canvas"), this.#viewer.size, [headline, details, ...sentences]);
  }

  async #changeView() {
    const maps = this.#maps[this.view] ?? [];
    const hasHead = Boolean(this.#item?.analysis?.head);
    byId("marks").hidden = !hasHead && !this.#item?.analysis?.correction;
    byId("explain").hidden = !(hasHead && (this.#maps.saliency.length || this.#maps.attention.length));
    byId("explain-controls").hidden = !(maps.length && hasHead);
    const isCorrected = this.view === "measurement" && Boolean(this.#item?.analysis?.correction);
    byId("explain-note").textContent = isCorrected ? NOTES.corrected : hasHead ? NOTES[this.view] : "";
    byId("explain-limit").hidden = byId("explain-controls").hidden;
    byId("explain-note").classList.toggle("seen", !byId("explain-controls").hidden || isCorrected);
    byId("layer").replaceChildren(...maps.map((each) => new Option(toLayerName(each), each)));
    byId("save-map").hidden = this.mapPath === null;
    await this.#showMap();
  }

  async #showMap() {
    const [known, view] = [this.#shown, this.view];
    this.#viewer.setPicture("map", null);
    say("picture-fault", "");
    if (byId("explain-controls").hidden) return;
    const analysis = this.#item.analysis;
    const asked = encodeURIComponent(byId("layer").value);
    // Colours alone (blend 1): the page blends them itself, so that the slider asks for nothing.
    const path = view === "saliency"
      ? `${analysis.links.saliency}?layer=${asked}&blend=1&format=overlay&caption=false`
      : `${analysis.links.self}/attention?level=${asked}`;
    try {
      if (!this.#mapsUrls.has(path)) this.#mapsUrls.set(path, this.#toUrl(await readKept(this.#item, path)));
      const isWanted = known === this.#shown && view === this.view
        && asked === encodeURIComponent(byId("layer").value);
      if (isWanted) this.#viewer.setPicture("map", this.#mapsUrls.get(path));
    } catch (problem) {
      this.#tell(known, problem);
    }
    this.#showBlend();
  }

  #showBlend() {
    const share = byId("blend").valueAsNumber;
    byId("blend-value").value = `${share} %`;
    this.#viewer.layers.map.setAttribute("opacity", share / 100);
  }

  #tell(known, problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (known === this.#shown) say("picture-fault", `The drawing is incomplete: ${problem.detail}`);
  }

  #toUrl(blob) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    return url;
  }

  #forget() {
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    this.#mapsUrls.clear();
  }
}

function say(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

function showCaption(analysis) {
  const { headline, details } = toCaption(analysis);
  byId("caption-headline").textContent = headline;
  byId("caption-headline").classList.toggle("doubtful", !analysis.quality.acceptable && !analysis.correction);
  byId("caption-details").textContent = details;
  byId("caption").hidden = false;
}

function toSize({ width_px, height_px }) {
  return { width: width_px, height: height_px };
}

/** The size of a file that the browser can show, turned as the browser turns it; null of one that it cannot. */
async function openFile(file) {
  try {
    const picture = await createImageBitmap(file);
    const size = { width: picture.width, height: picture.height };
    picture.close();
    return size;
  } catch {
    return null;
  }
}
