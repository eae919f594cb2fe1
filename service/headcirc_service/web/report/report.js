// A report on paper or as PDF, by the browser's own print: one case a page.

import { Problem, readKept } from "../api.js";
import { byId, make, say } from "../page.js";
import { toCaption } from "../words.js";
import { toLines, USE } from "./text.js";

export class Report {
  #urls = [];
  #toSelected;

  /** `toSelected()` is the item that the browser's own print command reports. */
  constructor(toSelected) {
    this.#toSelected = toSelected;
    addEventListener("beforeprint", () => this.#reportSelected());
    addEventListener("afterprint", () => this.#clear());
  }

  /** Report items: their pictures are read first. What was not measured is named at the end. */
  async print(items) {
    this.#clear();
    const measured = items.filter(({ analysis }) => analysis);
    const cases = [];
    for (const [i, item] of measured.entries()) {
      say("report-progress", `Preparing the report: ${i + 1} of ${measured.length}`);
      cases.push(makeCase(item, await this.#readPictures(item)));
    }
    say("report-progress", "");
    this.#fill(cases, items.filter(({ analysis }) => !analysis));
    print();
  }

  #fill(cases, others) {
    const missing = others.map(({ name, problem }) => make("li", {}, `${name}: ${problem?.detail ?? "not measured yet"}`));
    byId("report").replaceChildren(
      ...cases,
      ...(missing.length ? [make("section", { className: "case" }, make("h2", {}, "Not measured"), make("ul", {}, ...missing))] : []),
    );
    document.body.classList.toggle("has-report", Boolean(cases.length + missing.length));
  }

  /** The browser's print command waits for nothing: the case that is shown, as its picture is now. */
  #reportSelected() {
    const item = this.#toSelected();
    if (document.body.classList.contains("has-report") || !item?.analysis) return;
    const drawing = byId("canvas").cloneNode(true);
    for (const each of [drawing, ...drawing.querySelectorAll("[id]")]) each.removeAttribute("id");
    const { width_px: width, height_px: height } = item.analysis.image;
    drawing.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`);
    const chart = byId("growth-chart").hidden ? null : byId("growth-picture").cloneNode();
    chart?.removeAttribute("id");
    this.#fill([makeCase(item, { picture: make("div", { className: "stage" }, drawing), chart })], []);
  }

  async #readPictures(item) {
    const { links, growth } = item.analysis;
    return {
      picture: await this.#readPicture(item, links.overlay && `${links.overlay}?caption=false`, "Picture with the ellipse"),
      chart: growth ? await this.#readPicture(item, links.growth_svg, "Growth chart") : null,
    };
  }

  async #readPicture(item, path, alt) {
    if (!path) return null;
    try {
      const picture = make("img", { src: URL.createObjectURL(await readKept(item, path)), alt });
      this.#urls.push(picture.src);
      await picture.decode();
      return picture;
    } catch (problem) {
      if (problem instanceof Problem) return make("p", {}, `${alt}: not available. ${problem.detail}`);
      throw problem;
    }
  }

  #clear() {
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls = [];
    byId("report").replaceChildren();
    document.body.classList.remove("has-report");
  }
}

function makeCase(item, { picture, chart }) {
  const { headline, details } = toCaption(item.analysis);
  const caption = make("figcaption", {}, make("strong", {}, headline), ` ${details}`);
  const rows = toLines(item).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  const made = make("section", { className: "case" },
    make("header", {}, make("h2", {}, item.name), make("p", {}, `${USE} Headcirc, ${toDay(item.analysis.created)}`)),
    make("figure", {}, ...(picture ? [picture] : []), caption),
    make("dl", {}, ...rows));
  if (chart) made.append(make("figure", { className: "chart" }, chart));
  return made;
}

function toDay(created) {
  return created.slice(0, 16).replace("T", " ") + " UTC";
}
